package rule

import (
	"time"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

// Snapshot is the last-known copy of a record: its fields that are not null. Seen is false when the record was never
// seen, which differs from a record that was seen with nothing in it.
type Snapshot struct {
	Fields map[string]string
	Seen   bool
}

// Input is everything that a decision depends on, besides the Set. Decide and NextSnapshot only read it.
type Input struct {
	Notification notification.Notification
	Org          notification.OrgID
	Object       string // sObject API name
	Received     time.Time
	// Known holds the names of all fields that this notification's action ever carried. A field that is absent from
	// the notification is null when it is in Known, and not sent when it is not.
	Known    map[string]struct{}
	Previous Snapshot
}

// Verdict is how one rule ended.
type Verdict string

// The verdicts.
const (
	VerdictMatched     Verdict = "matched"
	VerdictNotMatched  Verdict = "not_matched"
	VerdictError       Verdict = "error"
	VerdictNoRecipient Verdict = "no_recipient" // it matched, but `to` is null or empty
)

// Decision is what a Set says about one notification.
type Decision struct {
	Outcome notification.Outcome `json:"outcome"`  // matched, no_rule_matched or rule_error
	RuleSet string               `json:"rule_set"` // version of the Set
	Results []Result             `json:"results,omitempty"`
	// PreviousUsed has the last-known values that the expressions looked at; nil is null.
	PreviousUsed map[string]*string `json:"previous_used,omitempty"`
	PreviousSeen bool               `json:"previous_seen"`
	Deleted      bool               `json:"deleted,omitempty"` // the record was deleted before it was sent; no rule was asked
}

// Result is the verdict of one rule. Error has no field values.
type Result struct {
	Rule     string  `json:"rule"`
	Verdict  Verdict `json:"verdict"`
	Error    string  `json:"error,omitempty"`
	Messages []Draft `json:"messages,omitempty"`
	Consent  *Word   `json:"consent,omitempty"` // of an item of `consent:`
}

// Draft is a message that a rule asks for. To holds the texts as the record has them (not yet phone numbers), trimmed,
// without empty and repeated ones; one message goes to each. Values of Vars are string, bool, int64, uint64, float64 or
// nil; times are text in RFC 3339.
type Draft struct {
	Rule          string            `json:"rule"`
	To            []string          `json:"to"`
	Contact       string            `json:"contact,omitempty"`
	Language      string            `json:"language,omitempty"`
	Channels      []message.Channel `json:"channels"`
	Template      string            `json:"template"`
	Sender        string            `json:"sender"`
	Purpose       message.Purpose   `json:"purpose"`
	Program       string            `json:"program"`
	QuietHours    QuietHours        `json:"quiet_hours"`
	Place         Place             `json:"place,omitzero"`
	Breaker       *Breaker          `json:"breaker,omitempty"`
	OptOutBreaker *OptOutBreaker    `json:"opt_out_breaker,omitempty"`
	Vars          map[string]any    `json:"vars,omitempty"`
	Once          Once              `json:"once,omitempty"`
	Delay         time.Duration     `json:"delay,omitempty"` // nanoseconds
	// ExpiresAfter is how long after the first moment at which sending is permitted a message may be sent; nanoseconds.
	ExpiresAfter time.Duration `json:"expires_after"`
}
