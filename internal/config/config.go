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
	// Senders are who messages come from: one named default, made from the values of Twilio when there are any, and those of the
	// file's list.
	Senders []Sender
	// DefaultRegion is the region (ISO 3166-1) of phone numbers that are written without a country code.
	DefaultRegion string
	// Dispatch is about the calls to Twilio.
	Dispatch Dispatch
	// Consent is about replies that are opt-outs.
	Consent Consent
	// QuietHours is about the times at which people may be written to.
	QuietHours QuietHours
	// Retention is how long content stays in the ledger.
	Retention Retention
	// Replies is about what people write back.
	Replies Replies
	// ShutdownTimeout is how long work in flight may take at the end.
	ShutdownTimeout time.Duration
	// Log is about the log.
	Log Log
	// PricesFile is the path of the prices that costs are estimated with; empty means no costs.
	PricesFile string
	// Warnings are remarks about what was read, for example a variable that does not exist.
	Warnings []string

	origins map[string]origin
	listed  []setting // of the senders in the file
}

// HTTP is about the two listeners.
type HTTP struct {
	// Addr is where the public listener listens, host:port.
	Addr string
	// AdminAddr is where the private listener listens, host:port.
	AdminAddr string
	// APITokens let whoever has one of them use the API of the private listener; none: only this machine may.
	APITokens []Secret
	// PublicURL is how the world reaches the public listener, without a slash at the end; empty when not set.
	PublicURL string
	// TLSCert and TLSKey are the paths of the certificate and the private key of the public listener; empty means no TLS.
	TLSCert, TLSKey string
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
	// Sync is SyncAlways when the operator declares that the server syncs each write, else SyncUnknown.
	Sync string
}

// What an operator may declare of a NATS server of his own.
const (
	SyncUnknown = "unknown"
	SyncAlways  = "always"
)

// SyncKnown tells whether what the server confirms is known to be on its disk: it is the embedded one, or the operator says so.
func (n *NATS) SyncKnown() bool { return n.URL == "" || n.Sync == SyncAlways }

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
	// ClientCerts is the path of the client certificates of which one must be shown; empty means none is asked for.
	ClientCerts string
	// MaxBodyBytes is the size of the largest envelope.
	MaxBodyBytes int64
	// ConfirmTimeout is how long an envelope waits for its storage.
	ConfirmTimeout time.Duration
}

// Twilio is the account that sends, and that webhooks come from.
type Twilio struct {
	Account

	// APIURL is the base URL of the REST API, without a slash at the end.
	APIURL string
	// ContentURL is the base URL of the Content API; empty means the one that belongs to APIURL.
	ContentURL string
	// MessagingServiceSID sends SMS, MG...; it goes before From.
	MessagingServiceSID string
	// From sends SMS.
	From address.Address
	// WhatsAppFrom sends WhatsApp messages.
	WhatsAppFrom address.Address
	// Rate bounds what the sender default sends.
	Rate Rate
	// ReactionsFile is the path of a table of reactions that goes before the shipped one; empty means none.
	ReactionsFile string
}

// Dispatch is about the calls to Twilio.
type Dispatch struct {
	// SendTimeout is the deadline of one call.
	SendTimeout time.Duration
	// ReconcileAfter is the wait before an unknown outcome is looked up, and between two look-ups.
	ReconcileAfter time.Duration
	// Concurrency is how many calls of each sender go on at once, unless it says otherwise itself.
	Concurrency int
	// PollAfter is the age at which a message without a final state is asked for.
	PollAfter time.Duration
	// PollsPerMinute bounds these questions.
	PollsPerMinute int
	// InboundCheck is how often replies are looked for whose webhooks were missed.
	InboundCheck time.Duration
	// MediaCheck says whether the servers of pictures and files are asked before sending: one of the constants below.
	MediaCheck string
}

// Whose servers are asked what a picture or file is.
const (
	MediaCheckYes     = "yes"     // all on public addresses
	MediaCheckPrivate = "private" // those in private networks too
	MediaCheckNo      = "no"
)

// QuietHours is about the times at which people may be written to.
type QuietHours struct {
	// File is the path of a table of hours that goes before the shipped one; empty means none.
	File string
	// Unknown is on, off or a span such as 12:00-20:00: the hours of people of whom no US state is known.
	Unknown string
	// ZoneInfo is the path of time zone data, a directory or a zip file; empty means those of the machine.
	ZoneInfo string
}

// Consent is about replies that are opt-outs.
type Consent struct {
	// OptOutFile is a vocabulary that adds to the shipped one; empty means none.
	OptOutFile string
	// ReviewAfter is how long a human has to decide whether a reply is an opt-out.
	ReviewAfter time.Duration
	// ReviewThen is the decision when nobody did: opt_out or keep.
	ReviewThen string
	// RevokeScope is what a keyword opts out of: all or program.
	RevokeScope string
	// RevokeAllFrom is the moment from which a keyword of somebody in the United States is about everything whatever RevokeScope says;
	// the zero time: never.
	RevokeAllFrom time.Time
	// DoubleOptIn is on when marketing needs a confirmed opt-in, else off.
	DoubleOptIn string
	// ErasureKeys make the hashes that stay of erased addresses; the first one makes new ones.
	ErasureKeys []Secret
	// ConfirmWithin is how long a YES confirms an opt-in, from when the question was sent.
	ConfirmWithin time.Duration
	// AskSender is the sender that asks people to confirm an opt-in.
	AskSender string
}

// Retention is how long each kind of content stays; 0 means for ever.
type Retention struct {
	Contents, Replies, Snapshots, Decisions time.Duration
}

// Log is about the log.
type Log struct {
	// Level is the least important level that is written.
	Level slog.Level
	// Format is text or json.
	Format string
}

// AsksToConfirm tells whether people are asked to confirm an opt-in.
func (c *Config) AsksToConfirm() bool { return c.Consent.DoubleOptIn == "on" }
