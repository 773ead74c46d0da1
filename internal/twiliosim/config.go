package twiliosim

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"time"
)

// OptOutMode says how STOP is handled.
type OptOutMode string

// The modes.
const (
	// OptOutDefault is Twilio's default handling: STOP and START words on SMS block and unblock; no OptOutType.
	OptOutDefault OptOutMode = ""
	// OptOutAdvanced is Advanced Opt-Out: WhatsApp too, and the webhook carries OptOutType.
	OptOutAdvanced OptOutMode = "advanced"
	// OptOutOff leaves the words to us.
	OptOutOff OptOutMode = "off"
)

// Delay is a time chosen evenly between two bounds.
type Delay struct{ Min, Max time.Duration }

// Delays is the timing of a message's life, each since the step before. All zero: as fast as possible, for tests.
type Delays struct {
	Answer    Delay // of every API call
	Sent      Delay
	Delivered Delay
	Read      Delay // WhatsApp only
}

// RealisticDelays is a timing as a person sees it.
func RealisticDelays() Delays {
	return Delays{
		Answer:    Delay{40 * time.Millisecond, 120 * time.Millisecond},
		Sent:      Delay{200 * time.Millisecond, 700 * time.Millisecond},
		Delivered: Delay{500 * time.Millisecond, 2500 * time.Millisecond},
		Read:      Delay{2 * time.Second, 8 * time.Second},
	}
}

// Callbacks says how status callbacks misbehave for every message; a Fault does it for one.
type Callbacks struct {
	Duplicate bool // each is posted twice
	Reorder   bool // the last comes first
	Drop      bool // none is posted
	Early     bool // the first is posted before the answer to the create call
}

// Service is a Messaging Service.
type Service struct {
	SID     string
	Name    string
	Senders []string // its pool, +E.164 or whatsapp:+E.164
}

// Config describes the simulated account. AccountSID and AuthToken are required.
type Config struct {
	AccountSID string
	AuthToken  string              // signs webhooks, and opens the API
	APIKeys    map[string]string   // key SID to secret, to open the API
	Services   []Service           // empty: any MG... exists, with one made-up sender
	Senders    []string            // numbers of the account; empty: any
	Templates  map[string]string   // HX... to text with {{1}}; empty: any HX... exists
	Approvals  map[string]Approval // of Templates, where they are not approved, English utility templates
	InboundURL string              // where inbound messages go; empty: Inbound only records

	Delays       Delays
	Callbacks    Callbacks
	ReadReceipts bool // WhatsApp messages end as read
	OptOut       OptOutMode
	// NoWindow allows free text on WhatsApp at any time; by default it ends undelivered with 63016 unless the person wrote in the last 24 hours.
	NoWindow bool
	// NoMagic switches MagicNumbers off.
	NoMagic bool
	// ContentPage is the most templates on one page of the Content API; 0 for Twilio's limit.
	ContentPage int
	// MaxConcurrent answers 429 (code 20429) to create calls beyond this many at once; 0 for no limit.
	MaxConcurrent int
	// ListLag hides a new message from lists for this long, as an eventually consistent store does.
	ListLag time.Duration

	// Journal is a file that remembers the messages of the account: a simulator that is started on it again, also after a
	// kill -9, has what it had. Empty: all is forgotten with the process.
	Journal string

	Workers         int           // for callbacks; default 16
	CallbackTimeout time.Duration // for each try; default 15 s, Twilio's
	Log             *slog.Logger  // nil for none
}

const (
	defaultWorkers         = 16
	defaultCallbackTimeout = 15 * time.Second
	defaultSender          = "+15005550006"
)

// shapes of the ids and addresses that the API checks.
type shapes struct {
	number, scoped, contentSID *regexp.Regexp
}

func newShapes() shapes {
	return shapes{
		number:     regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`),
		scoped:     regexp.MustCompile(`^[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]{1,128}$`),
		contentSID: regexp.MustCompile(`^HX[0-9a-fA-F]{32}$`),
	}
}

// validate reports all problems at once and fills in defaults.
func (c *Config) validate() error {
	var problems []error
	if c.AccountSID == "" || c.AuthToken == "" {
		problems = append(problems, errors.New("account SID and auth token are required"))
	}
	if c.InboundURL != "" {
		if u, err := url.Parse(c.InboundURL); err != nil || u.Host == "" {
			problems = append(problems, errors.New("the inbound URL is not a URL with a host"))
		}
	}
	switch c.OptOut {
	case OptOutDefault, OptOutAdvanced, OptOutOff:
	default:
		problems = append(problems, fmt.Errorf("opt-out mode %q is none of \"\", advanced, off", c.OptOut))
	}
	if c.Workers <= 0 {
		c.Workers = defaultWorkers
	}
	if c.CallbackTimeout <= 0 {
		c.CallbackTimeout = defaultCallbackTimeout
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if len(problems) > 0 {
		return fmt.Errorf("twilio simulator: %w", errors.Join(problems...))
	}
	return nil
}
