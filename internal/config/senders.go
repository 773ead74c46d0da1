package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
)

// Account is access to a Twilio account.
type Account struct {
	// AccountSID is the account, AC...
	AccountSID string
	// AuthTokens verify signatures, each of them; the first one sends when there is no API key.
	AuthTokens []Secret
	// APIKey and APISecret send, when set.
	APIKey    string
	APISecret Secret
}

// Sender is one identity that messages come from.
type Sender struct {
	// Name is what rules call it.
	Name string
	// MessagingServiceSID or SMSFrom sends SMS; both empty means no SMS.
	MessagingServiceSID string
	SMSFrom             address.Address
	// WhatsAppFrom sends WhatsApp messages; empty means none.
	WhatsAppFrom address.Address
	// Rate bounds what it sends; zero means no bound.
	Rate Rate
	// Concurrency is how many of its calls go on at once.
	Concurrency int
	// TwilioAnswers is who answers STOP and HELP, see Replies; empty means as there.
	TwilioAnswers string
	// Account is the one that it sends as: its own, or that of the Twilio values.
	Account Account
}

// Rate is a number of segments in a time; the zero Rate is none.
type Rate struct {
	Segments int
	Per      time.Duration
}

// Pace is the time for each segment, 0 without a rate.
func (r Rate) Pace() time.Duration {
	if r.Segments == 0 {
		return 0
	}
	return r.Per / time.Duration(r.Segments)
}

// String is the form in which it is written, 3/s, empty without a rate.
func (r Rate) String() string {
	if r.Segments == 0 {
		return ""
	}
	return strconv.Itoa(r.Segments) + "/" + map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h"}[r.Per]
}

// maxRate keeps the time for one segment far above the clock's resolution.
const maxRate = 1_000_000

func rate(p *Rate) value {
	form := regexp.MustCompile(`^([0-9]{1,9})/([smh])$`)
	return scalar(func(s string) error {
		parts := form.FindStringSubmatch(s)
		if parts == nil {
			return fmt.Errorf("%q: want segments in a time, for example 3/s, 180/m or 5000/h", s)
		}
		n, err := strconv.Atoi(parts[1])
		if err != nil || n < 1 || n > maxRate {
			return fmt.Errorf("%q: want from 1 to %d segments", s, maxRate)
		}
		*p = Rate{n, map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[parts[2]]}
		return nil
	}, func() string { return p.String() })
}

// senderName becomes part of subjects and consumers on the belt.
func senderName(p *string) value {
	form := regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	return scalar(func(s string) error {
		if !form.MatchString(s) || len(s) > 40 {
			return fmt.Errorf("%q: want kebab-case, at most 40 small letters, digits and single hyphens", s)
		}
		*p = s
		return nil
	}, func() string { return *p })
}

// senderSetting is a key of an item of the list senders.
type senderSetting struct {
	Setting
	field func(*Sender) value
}

func senderSettings() []senderSetting {
	key := func(name, meaning string, field func(*Sender) value) senderSetting {
		v := field(&Sender{})
		return senderSetting{Setting{Path: "senders[]." + name, Meaning: meaning, Secret: v.secret, List: v.list}, field}
	}
	return []senderSetting{
		key("name", "What rules call it, in kebab-case.", func(s *Sender) value { return senderName(&s.Name) }),
		key("messaging_service_sid", "The Messaging Service that sends its SMS, MG...; goes before from.",
			func(s *Sender) value { return sid(&s.MessagingServiceSID, "MG") }),
		key("from", "The number that sends its SMS, +E.164 or a short code.", func(s *Sender) value { return phone(&s.SMSFrom, true) }),
		key("whatsapp_from", "The number that sends its WhatsApp messages, +E.164.",
			func(s *Sender) value { return phone(&s.WhatsAppFrom, false) }),
		key("rate", "Most segments in a time, over all dispatchers: 3/s, 180/m, 5000/h; none: no bound.",
			func(s *Sender) value { return rate(&s.Rate) }),
		key("concurrency", "How many of its calls go on at once, in each dispatcher; none: dispatch.concurrency.",
			func(s *Sender) value { return number(&s.Concurrency, 1, 10_000) }),
		key("twilio_answers", "On which channels Twilio itself answers its own words for STOP and HELP: sms, whatsapp, both or none; none given: replies.twilio_answers.",
			func(s *Sender) value { return whoAnswers(&s.TwilioAnswers) }),
		key("account_sid", "Its own Twilio account, AC...; none: that of the section twilio.",
			func(s *Sender) value { return sid(&s.Account.AccountSID, "AC") }),
		key("auth_tokens", "Of its own account, like twilio.auth_tokens.", func(s *Sender) value { return secrets(&s.Account.AuthTokens) }),
		key("api_key", "Of its own account, SK...", func(s *Sender) value { return sid(&s.Account.APIKey, "SK") }),
		key("api_secret", "The secret of the API key.", func(s *Sender) value { return secret(&s.Account.APISecret) }),
	}
}

// SenderReference lists the keys of each item of the list senders, which has no variables.
func SenderReference() []Setting {
	var list []Setting
	for _, s := range senderSettings() {
		list = append(list, s.Setting)
	}
	return list
}

const sendersPath = "senders"

// listed is a sender of the file and where it stands.
type listed struct {
	sender *Sender
	at     Problem
}

// of is the setting of one item of the list.
func (s senderSetting) of(sender *Sender, index int) setting {
	s.Path = strings.Replace(s.Path, "[]", fmt.Sprintf("[%d]", index), 1)
	return setting{Setting: s.Setting, field: func(*Config) value { return s.field(sender) }}
}

// senders reads the list of senders.
func (l *loader) senders(file string, node *yaml.Node) {
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return
	}
	if node.Kind != yaml.SequenceNode {
		l.problem(at(file, sendersPath, node), "want a list of senders, each with a name")
		return
	}
	for i, item := range node.Content {
		where := at(file, fmt.Sprintf("%s[%d]", sendersPath, i), item)
		if item.Kind != yaml.MappingNode {
			l.problem(where, "want keys and values: name, from and so on")
			continue
		}
		sender := &Sender{}
		before := len(l.problems)
		l.sender(file, i, sender, item)
		if sender.Name == "" && len(l.problems) == before {
			l.problem(where, "it has no name")
		}
		l.listed = append(l.listed, listed{sender, where})
	}
}

func (l *loader) sender(file string, index int, sender *Sender, node *yaml.Node) {
	known := map[string]setting{}
	var names []string
	for _, s := range senderSettings() {
		name := strings.TrimPrefix(s.Path, "senders[].")
		known[name], names = s.of(sender, index), append(names, name)
		l.config.listed = append(l.config.listed, known[name])
		l.config.origins[known[name].Path] = fromDefault
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, content := node.Content[i], node.Content[i+1]
		s, ok := known[key.Value]
		path := fmt.Sprintf("%s[%d].%s", sendersPath, index, key.Value)
		switch {
		case seen[key.Value]:
			l.problem(at(file, path, key), "stands twice")
		case ok:
			l.leaf(file, s, content)
		default:
			l.problem(at(file, path, key), "there is no such key%s", didYouMean(key.Value, names))
		}
		seen[key.Value] = true
	}
}

// makeSenders puts the sender of the Twilio values and those of the list together, and checks them against one another.
func (l *loader) makeSenders() {
	c := l.config
	if c.Twilio.MessagingServiceSID != "" || c.Twilio.From != "" || c.Twilio.WhatsAppFrom != "" {
		c.Senders = []Sender{{
			Name: message.DefaultSender, MessagingServiceSID: c.Twilio.MessagingServiceSID, SMSFrom: c.Twilio.From,
			WhatsAppFrom: c.Twilio.WhatsAppFrom, Rate: c.Twilio.Rate, Concurrency: c.Dispatch.Concurrency, Account: c.Twilio.Account,
		}}
	}
	for _, one := range l.listed {
		sender := *one.sender
		for _, err := range append(sender.problems(), clashes(sender, c.Senders)...) {
			l.problem(one.at, "%v", err)
		}
		if sender.Account.AccountSID == "" {
			sender.Account = c.Twilio.Account
		} else if len(sender.Account.AuthTokens) == 0 {
			c.Warnings = append(c.Warnings, fmt.Sprintf("sender %s: without auth_tokens of its account its webhooks are refused", sender.Name))
		}
		if sender.Concurrency == 0 {
			sender.Concurrency = c.Dispatch.Concurrency
		}
		c.Senders = append(c.Senders, sender)
	}
	l.checkAsking()
}

// checkAsking looks at what the question of a double opt-in needs.
func (l *loader) checkAsking() {
	c := l.config
	if !c.AsksToConfirm() || len(c.Senders) == 0 { // without a sender: Check says so
		return
	}
	if names := c.SenderNames(); !slices.Contains(names, c.Consent.AskSender) {
		l.problem(Problem{}, "BECKON_DOUBLE_OPT_IN is on and there is no sender %q to ask by: set BECKON_ASK_SENDER to one of %s",
			c.Consent.AskSender, strings.Join(names, ", "))
	}
	if c.Replies.Business == "" {
		c.Warnings = append(c.Warnings, "BECKON_DOUBLE_OPT_IN is on without BECKON_BUSINESS_NAME, with which the shipped question begins")
	}
}

// problems is what is wrong with a sender in itself.
func (s Sender) problems() []error {
	var problems []error
	account := s.Account
	if s.MessagingServiceSID == "" && s.SMSFrom == "" && s.WhatsAppFrom == "" {
		problems = append(problems, errors.New("it needs one of messaging_service_sid, from and whatsapp_from"))
	}
	if (account.APIKey == "") != (account.APISecret == "") {
		problems = append(problems, errors.New("api_key and api_secret belong together: set both or none"))
	}
	switch given := len(account.AuthTokens) > 0 || account.APIKey != ""; {
	case given && account.AccountSID == "":
		problems = append(problems, errors.New("auth_tokens and api_key are those of an account of its own: set account_sid too"))
	case !given && account.AccountSID != "":
		problems = append(problems, errors.New("account_sid needs auth_tokens, or api_key and api_secret, of that account"))
	}
	return problems
}

// clashes is what a sender has in common with earlier ones and must not: a reply has to lead to one sender.
func clashes(s Sender, others []Sender) []error {
	var problems []error
	for _, other := range others {
		if s.Name != "" && s.Name == other.Name {
			hint := ""
			if s.Name == message.DefaultSender {
				hint = ", from the values of the section twilio"
			}
			problems = append(problems, fmt.Errorf("there is a sender %s already%s", s.Name, hint))
		}
		same := func(a, b string) bool { return a != "" && a == b }
		if same(s.MessagingServiceSID, other.MessagingServiceSID) || same(string(s.SMSFrom), string(other.SMSFrom)) ||
			same(string(s.WhatsAppFrom), string(other.WhatsAppFrom)) {
			problems = append(problems, fmt.Errorf("it has a number or service that sender %s has: replies could not be told apart", other.Name))
		}
	}
	return problems
}

// Tokens are the auth tokens of all accounts: any of them may have signed a webhook.
func (c *Config) Tokens() []Secret {
	tokens := slices.Clone(c.Twilio.AuthTokens)
	for _, sender := range c.Senders {
		for _, token := range sender.Account.AuthTokens {
			if !slices.Contains(tokens, token) {
				tokens = append(tokens, token)
			}
		}
	}
	return tokens
}

// SenderNames are the names of all senders. It is never nil.
func (c *Config) SenderNames() []string {
	names := make([]string, len(c.Senders))
	for i, sender := range c.Senders {
		names[i] = sender.Name
	}
	return names
}
