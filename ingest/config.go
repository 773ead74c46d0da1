package ingest

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforce"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/twilio"
)

const (
	defaultMaxBody        = 16 << 20
	defaultMaxConcurrent  = 512
	defaultMaxBytes       = 256 << 20
	defaultConfirmTimeout = 10 * time.Second
	maxCallbackBody       = 1 << 20
	maxCallbackBytes      = 64 << 20         // of all callbacks in progress
	bodyTimeout           = 20 * time.Second // for a body to arrive
)

// Publisher makes things durable: nil means stored. *stream.Client is one.
type Publisher interface {
	PublishNotification(ctx context.Context, e stream.Envelope, body []byte) error
	PublishCallback(
		ctx context.Context, kind stream.CallbackKind, id string, header map[string]string, body []byte,
	) error
}

// Verifier checks the signature of a Twilio callback against the URL that Twilio was given. *twilio.Verifier is one.
type Verifier interface {
	Verify(target, contentType string, body []byte, signature string) error
}

// Salesforce holds the settings of the SOAP endpoint.
type Salesforce struct {
	// Orgs are the organisations whose messages are accepted; at least one.
	Orgs []notification.OrgID
	// PathSecret, when set, makes /salesforce/outbound-messages/<secret> the only endpoint.
	PathSecret string
	// Pinned tells whether a client certificate is accepted, of which the handshake has proven the key. When set, a request
	// without a certificate that it accepts is refused. nil: none is asked for.
	Pinned func(*x509.Certificate) bool
	// MaxBody is the largest body in bytes. Default 16 MiB.
	MaxBody int64
	// Limits bound what a document may ask of the decoder. Default salesforce.DefaultLimits.
	Limits salesforce.Limits
}

// Twilio holds the settings of the callback endpoints.
type Twilio struct {
	// Verifier checks signatures; required.
	Verifier Verifier
	// PublicURL is how Twilio reaches this listener, for example https://beckon.example.com or, behind a proxy that
	// strips it, with a path prefix. Without it every callback is refused, as no signature can be checked.
	PublicURL string
	// Senders are our own addresses: they tell which sender a callback is about. None: all are about the default one.
	Senders []Sender
	// Reactions tells which error codes of a status say that the person opted out. Default: the shipped table.
	Reactions *twilio.Reactions
}

// Config holds the settings and dependencies of the stage.
type Config struct {
	Salesforce Salesforce
	Twilio     Twilio
	Publisher  Publisher // required
	// ConfirmTimeout bounds the wait for JetStream's confirmation. Default 10 s, far under Salesforce's 60 s.
	ConfirmTimeout time.Duration
	// MaxConcurrent bounds the requests in progress, for Salesforce and Twilio each; more get 503. Default 512.
	MaxConcurrent int
	// MaxBytes bounds the bytes of all envelopes in progress; more get 503. Default 256 MiB, at least one largest body.
	MaxBytes int64
	// Log gets one line an outcome: refusals as warnings, the rest for debugging. Default: discarded.
	Log *slog.Logger
	// Metrics gets the stage's metrics. Default: a registry of its own.
	Metrics prometheus.Registerer
}

func (c Config) withDefaults() Config {
	if c.Salesforce.MaxBody <= 0 {
		c.Salesforce.MaxBody = defaultMaxBody
	}
	if c.Salesforce.Limits == (salesforce.Limits{}) {
		c.Salesforce.Limits = salesforce.DefaultLimits()
	}
	if c.ConfirmTimeout <= 0 {
		c.ConfirmTimeout = defaultConfirmTimeout
	}
	if c.MaxConcurrent <= 0 {
		c.MaxConcurrent = defaultMaxConcurrent
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = defaultMaxBytes
	}
	if c.Twilio.Reactions == nil {
		c.Twilio.Reactions = twilio.DefaultReactions()
	}
	c.MaxBytes = max(c.MaxBytes, c.Salesforce.MaxBody+1)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	return c
}

func (c Config) validate() error {
	switch {
	case len(c.Salesforce.Orgs) == 0:
		return fmt.Errorf("%w: no Salesforce organisation is configured", ErrConfig)
	case c.Publisher == nil:
		return fmt.Errorf("%w: no publisher is given", ErrConfig)
	case c.Twilio.Verifier == nil:
		return fmt.Errorf("%w: no verifier of Twilio signatures is given", ErrConfig)
	case strings.Contains(c.Salesforce.PathSecret, "/"):
		return fmt.Errorf("%w: the path secret contains a slash", ErrConfig)
	}
	for _, org := range c.Salesforce.Orgs {
		if len(org) != notification.ShortIDLength {
			return fmt.Errorf("%w: an organisation id is not in its 15-character form", ErrConfig)
		}
	}
	if c.Twilio.PublicURL == "" {
		return nil
	}
	u, err := url.Parse(c.Twilio.PublicURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%w: the public URL is not like https://host or https://host/prefix", ErrConfig)
	}
	return nil
}
