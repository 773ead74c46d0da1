package message

import (
	"encoding/json"
	"time"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/notification"
)

// Channel is a way to reach a person.
type Channel string

// The channels.
const (
	SMS      Channel = "sms"
	WhatsApp Channel = "whatsapp"
)

// WhatsAppWindow is how long after a person's last message free text may go to them.
//
// Source: Twilio, "Key concepts: WhatsApp", the customer service window.
const WhatsAppWindow = 24 * time.Hour

// DefaultSender is the sender of messages whose rule names none.
const DefaultSender = "default"

// DefaultProgram is the program of messages whose rule names none.
const DefaultProgram = "default"

// Purpose decides which consent a message needs.
type Purpose string

// The purposes: transactional needs no opt-out on record, marketing needs an opt-in on record.
const (
	Transactional Purpose = "transactional"
	Marketing     Purpose = "marketing"
)

// Origin says what a message comes of.
type Origin string

// The origins. All go the same way to Twilio, through the same gates; one alone is exempt from an opt-out: Compliance.
const (
	OriginRule       Origin = "rule"       // a rule matched a notification
	OriginHuman      Origin = "human"      // somebody answered in a conversation
	OriginReplyRule  Origin = "reply_rule" // a reply rule matched a reply, or it was a START that ended an opt-out
	OriginCompliance Origin = "compliance" // the single answer to a STOP or HELP; its key is the SID of that reply
	OriginConsole    Origin = "console"    // an operator sent it by hand
	// OriginDoubleOptIn asks a person to confirm an opt-in, or says that the YES was understood.
	OriginDoubleOptIn Origin = "double_opt_in"
)

// Origins lists them.
func Origins() []Origin {
	return []Origin{OriginRule, OriginHuman, OriginReplyRule, OriginCompliance, OriginConsole, OriginDoubleOptIn}
}

// Reason says why a message is in a state, in words that are the same in rows, metrics and JSON.
type Reason string

// The reasons.
const (
	ReasonNone             Reason = ""
	ReasonInvalidNumber    Reason = "invalid_number"
	ReasonTemplateError    Reason = "template_error"
	ReasonOptedOut         Reason = "opted_out"
	ReasonNoConsent        Reason = "no_consent"
	ReasonNoRoute          Reason = "no_route"
	ReasonUSMarketing      Reason = "us_marketing"      // WhatsApp delivers no marketing templates to the United States
	ReasonBadMedia         Reason = "bad_media"         // its channels do not take a picture or file of it
	ReasonRejected         Reason = "rejected"          // Twilio refused the request; error_code says why
	ReasonRetriesExhausted Reason = "retries_exhausted" // every permitted try was refused
	ReasonRetry            Reason = "retry"             // queued again after a refusal that may pass
	ReasonProvenAbsent     Reason = "proven_absent"     // queued again: the earlier try never arrived
	ReasonUnclear          Reason = "unclear_outcome"   // unknown: the call's result was not seen
	ReasonMayBeSent        Reason = "may_be_sent"       // unknown: no call, it is looked up whether it was sent before the ledger was restored
	ReasonDelivery         Reason = "delivery"          // a status callback; error_code says why when it failed
	ReasonBehindUnknown    Reason = "behind_unknown"    // queued: an earlier message to this address has an unknown outcome
	ReasonSenderStopped    Reason = "sender_stopped"    // queued: Twilio refuses the sender on this channel
	ReasonUnderReview      Reason = "under_review"      // queued: the person's reply may be an opt-out, and nobody has decided yet
	ReasonQuietHours       Reason = "quiet_hours"       // queued: it may not go now where the person is; suppressed: not within two weeks
	ReasonFrequencyCap     Reason = "frequency_cap"     // queued or suppressed: a cap is full
	ReasonRulePaused       Reason = "rule_paused"       // queued: its rule is paused, by its breaker or by a human
	ReasonFallback         Reason = "fallback"          // queued again for the next channel
	ReasonWindowClosed     Reason = "window_closed"     // queued again as its approved template: the window for free text was closed
	ReasonValidity         Reason = "validity"          // expired: it could not be sent in its time
)

// DefaultValidity is how long a message may be sent when its rule does not say.
const DefaultValidity = 4 * time.Hour

// SMSContent is a rendered text message with its size on the wire.
type SMSContent struct {
	Text     string `json:"text"`
	Language string `json:"language"`
	Encoding string `json:"encoding"` // GSM-7 or UCS-2
	Segments int    `json:"segments"`
	// Media are https URLs of pictures and files: with them it goes out as MMS.
	Media []string `json:"media,omitempty"`
}

// WhatsAppContent is a rendered WhatsApp message. ContentSID with Variables is the approved template; Text is free
// text for the 24-hour window. Either may be empty.
type WhatsAppContent struct {
	ContentSID string            `json:"content_sid,omitempty"`
	Variables  map[string]string `json:"variables,omitempty"`
	Text       string            `json:"text,omitempty"`
	Media      []string          `json:"media,omitempty"` // https URLs of the files that go with Text
	Language   string            `json:"language"`
}

// Hours says when a message may go by the clock of its recipient, and where that is as the record has it. All but Wish may be empty.
type Hours struct {
	Wish       string `json:"wish"`           // respect, ignore, or the name of a window
	Zone       string `json:"zone,omitempty"` // time zone, Europe/Berlin
	Country    string `json:"country,omitempty"`
	State      string `json:"state,omitempty"`
	PostalCode string `json:"postal,omitempty"`
}

// Content is what a template rendered, per channel; nil where the template has nothing for the channel. It is made
// once, in the router, and stored on the message row.
type Content struct {
	SMS      *SMSContent      `json:"sms,omitempty"`
	WhatsApp *WhatsAppContent `json:"whatsapp,omitempty"`
}

// Message is one message to one person, as the ledger has it.
type Message struct {
	ID             string // UUID, version 7
	Org            notification.OrgID
	Origin         Origin          // empty: OriginRule
	OriginKey      string          // what it comes of, when that is no notification: it makes one message only
	NotificationID notification.ID // empty when it does not come of one
	RecordID       notification.ID
	Object         string
	ContactID      string // Salesforce id that the conversation belongs to; may be empty
	Rule           string // empty when no rule made it
	Sender         string // the name of the sender that it goes out by
	Template       string
	Language       string // the language that the template had; the one asked for when nothing could be rendered
	Purpose        Purpose
	Program        string    // that consent is asked for
	Channels       []Channel // in order of preference
	To             address.Address
	Content        Content
	Hours          *Hours // nil: it may go at any time
	Caps           []Cap  // that hold for it
	State          State
	Reason         Reason
	Detail         string // words for a person, without field values; may be empty
	NotBefore      time.Time
	ExpiresAfter   time.Duration // how long after the first moment at which sending was permitted it may be sent; 0: DefaultValidity
	CreatedAt      time.Time
	UpdatedAt      time.Time

	// Of the newest attempt; empty before the first one.
	Channel   Channel
	SID       string
	ErrorCode int
	Attempts  int
}

// Segments is the size of the message's SMS form, 0 when it has none.
func (m *Message) Segments() int {
	if m.Content.SMS == nil {
		return 0
	}
	return m.Content.SMS.Segments
}

// Has tells whether there is content for a channel.
func (c Content) Has(channel Channel) bool {
	switch channel {
	case SMS:
		return c.SMS != nil
	case WhatsApp:
		return c.WhatsApp != nil
	}
	return false
}

// JSON is the stored form.
func (c Content) JSON() ([]byte, error) { return json.Marshal(c) }
