package config

import (
	"log/slog"
	"time"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/notification"
)

// Config is the whole configuration. Load makes it; it is not changed afterwards.
type Config struct {
	// HTTP is about the two listeners.
	HTTP HTTP
	// DataDir is where the embedded NATS and the private Postgres keep their data.
	DataDir string
	// NATS is the server of the streams.
	NATS NATS
	// Database is the Postgres server.
	Database Database
	// PostgresBin is the directory of the programs of the private Postgres; empty means search.
	PostgresBin string
	// RulesDir is the directory of the rule files.
	RulesDir string
	// TemplatesDir is the directory of the template files; empty means the shipped ones.
	TemplatesDir string
	// Salesforce is about the SOAP door.
	Salesforce Salesforce
	// Twilio is the account that sends, and that webhooks come from.
	Twilio Twilio
	// Senders are who messages come from; one named default, made from the values of Twilio, none when there are none.
	Senders []Sender
	// DefaultRegion is the region (ISO 3166-1) of phone numbers that are written without a country code.
	DefaultRegion string
	// Dispatch is about the calls to Twilio.
	Dispatch Dispatch
	// ShutdownTimeout is how long work in flight may take at the end.
	ShutdownTimeout time.Duration
	// Log is about the log.
	Log Log
	// Warnings are remarks about what was read, for example a variable that does not exist.
	Warnings []string

	origins map[string]origin
}

// HTTP is about the two listeners.
type HTTP struct {
	// Addr is where the public listener listens, host:port.
	Addr string
	// AdminAddr is where the private listener listens, host:port.
	AdminAddr string
	// PublicURL is how the world reaches the public listener, without a slash at the end; empty when not set.
	PublicURL string
	// MaxConcurrentRequests bounds the requests that the public listener works on at once.
	MaxConcurrentRequests int
}

// NATS is the server of the streams.
type NATS struct {
	// URL has one or more servers with commas between them, and may carry a password; empty means embedded.
	URL Secret
	// Creds is the path of a credentials file.
	Creds string
	// CA is the path of the certificates of the authorities that servers are checked by; empty means those of the machine.
	CA string
	// Cert and Key are the paths of the certificate that we show, and of its private key.
	Cert, Key string
	// Replicas is how many servers keep each stream.
	Replicas int
}

// Database is the Postgres server.
type Database struct {
	// URL leads to the database, with the password; empty means a private server.
	URL Secret
}

// Salesforce is about the SOAP door.
type Salesforce struct {
	// OrgIDs are the organisations that may send.
	OrgIDs []notification.OrgID
	// PathSecret is the last part of the endpoint's path; empty means the path has none.
	PathSecret Secret
	// MaxBodyBytes is the size of the largest envelope.
	MaxBodyBytes int64
	// ConfirmTimeout is how long an envelope waits for its storage.
	ConfirmTimeout time.Duration
}

// Twilio is the account that sends, and that webhooks come from.
type Twilio struct {
	// AccountSID is the account, AC...
	AccountSID string
	// AuthTokens verify signatures, each of them; the first one sends when there is no API key.
	AuthTokens []Secret
	// APIKey and APISecret send, when set.
	APIKey    string
	APISecret Secret
	// APIURL is the base URL of the REST API, without a slash at the end.
	APIURL string
	// MessagingServiceSID sends SMS, MG...; it goes before From.
	MessagingServiceSID string
	// From sends SMS.
	From address.Address
	// WhatsAppFrom sends WhatsApp messages.
	WhatsAppFrom address.Address
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
}

// Dispatch is about the calls to Twilio.
type Dispatch struct {
	// SendTimeout is the deadline of one call.
	SendTimeout time.Duration
	// ReconcileAfter is the wait before an unknown outcome is looked up, and between two look-ups.
	ReconcileAfter time.Duration
	// Concurrency is how many calls go on at once.
	Concurrency int
}

// Log is about the log.
type Log struct {
	// Level is the least important level that is written.
	Level slog.Level
	// Format is text or json.
	Format string
}

// DefaultSender is the name of the sender that is made from the Twilio values.
const DefaultSender = "default"

func (c *Config) makeSenders() {
	tw := c.Twilio
	if tw.MessagingServiceSID == "" && tw.From == "" && tw.WhatsAppFrom == "" {
		return
	}
	c.Senders = []Sender{{
		Name: DefaultSender, MessagingServiceSID: tw.MessagingServiceSID, SMSFrom: tw.From, WhatsAppFrom: tw.WhatsAppFrom,
	}}
}
