package view

import (
	"time"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

// Consent is what the ledger says of one person, as `beckon consent show --json` and the API give it. It carries personal data.
type Consent struct {
	Address string            `json:"address"`
	Program string            `json:"program"`
	State   map[string]string `json:"state"` // channel -> the newest action, or none
	// Marketing has the channels on which marketing of the program may be sent.
	Marketing   []string        `json:"marketing"`
	History     []ConsentEntry  `json:"history"`
	Review      bool            `json:"under_review,omitempty"`
	DoubleOptIn []OptInQuestion `json:"double_opt_in,omitempty"`
}

// ConsentEntry is one entry of the ledger.
type ConsentEntry struct {
	Action         string    `json:"action"`
	Channel        string    `json:"channel"`
	Source         string    `json:"source"`
	Evidence       string    `json:"evidence"`
	Note           string    `json:"note"`
	Org            string    `json:"org"`
	OccurredAt     time.Time `json:"occurred_at"`
	RecordedAt     time.Time `json:"recorded_at"`
	Scope          string    `json:"scope"`
	Program        string    `json:"program,omitempty"` // of the scope: a program or a brand
	Purpose        string    `json:"purpose,omitempty"`
	Address        string    `json:"address"`
	Disclosure     string    `json:"disclosure,omitempty"`
	DisclosureHash string    `json:"disclosure_sha256,omitempty"`
	SourceURL      string    `json:"source_url,omitempty"`
	IP             string    `json:"ip,omitempty"`
	Operator       string    `json:"operator,omitempty"`
}

// OptInQuestion is what became of asking a person to confirm an opt-in.
type OptInQuestion struct {
	Channel   string     `json:"channel"`
	Scope     string     `json:"scope"`
	Program   string     `json:"program,omitempty"`
	State     string     `json:"state"`            // see the constants
	Reason    string     `json:"reason,omitempty"` // why nobody was asked, or is not yet, or could not be
	OptInAt   time.Time  `json:"opt_in_at"`
	AskedAt   *time.Time `json:"asked_at,omitempty"`
	Until     *time.Time `json:"until,omitempty"` // a YES counts
	MessageID string     `json:"message_id,omitempty"`
}

// States of an OptInQuestion.
const (
	QuestionDue       = "due"        // nobody has decided yet whether to ask
	QuestionNotAsked  = "not_asked"  // and never will be
	QuestionQueued    = "queued"     // its message waits to be sent
	QuestionFailed    = "failed"     // its message did not go out, or did not arrive
	QuestionWaiting   = "waiting"    // for YES
	QuestionConfirmed = "confirmed"  // by YES, or otherwise
	QuestionOptedOut  = "opted_out"  // an opt-out came after it
	QuestionNoAnswer  = "unanswered" // in its time
)

// DoubleOptIn is how the configuration has it.
type DoubleOptIn struct {
	On     bool
	Within time.Duration // how long a YES counts
}

// NewConsent is the view of what is held on a person, for one program.
func NewConsent(held *store.PersonConsent, program string, double DoubleOptIn) Consent {
	v := Consent{Address: string(held.Address), Program: program, State: map[string]string{}, Marketing: []string{}, History: []ConsentEntry{}}
	for _, channel := range []message.Channel{message.SMS, message.WhatsApp} {
		v.State[string(channel)] = string(held.State.In(channel, program))
		if held.State.Granted(channel, program, double.On) {
			v.Marketing = append(v.Marketing, string(channel))
		}
		if v.State[string(channel)] == "" {
			v.State[string(channel)] = "none"
		}
	}
	v.Review = held.State.UnderReview()
	for i := range held.History {
		v.History = append(v.History, newConsentEntry(&held.History[i]))
	}
	for i := range held.Questions {
		v.DoubleOptIn = append(v.DoubleOptIn, newOptInQuestion(&held.Questions[i], held, double.Within))
	}
	return v
}

func newConsentEntry(e *consent.Entry) ConsentEntry {
	return ConsentEntry{
		Action: string(e.Action), Channel: string(e.Channel), Source: string(e.Source), Evidence: e.Evidence, Note: e.Note,
		Org: string(e.Org), OccurredAt: e.OccurredAt.UTC(), RecordedAt: e.RecordedAt.UTC(), Scope: string(e.Scope.KindOrAll()),
		Program: e.Scope.Name, Purpose: string(e.Purpose), Address: string(e.Address), Disclosure: e.Proof.Disclosure,
		DisclosureHash: e.Proof.Hash(), SourceURL: e.Proof.SourceURL, IP: e.Proof.IP, Operator: e.Proof.Operator,
	}
}

func newOptInQuestion(q *store.OptInQuestion, held *store.PersonConsent, within time.Duration) OptInQuestion {
	optIn := q.OptIn.Mark()
	v := OptInQuestion{
		Channel: string(q.OptIn.Channel), Scope: string(q.OptIn.Scope.KindOrAll()), Program: q.OptIn.Scope.Name, Reason: q.Reason,
		OptInAt: q.OptIn.OccurredAt.UTC(), MessageID: q.MessageID,
	}
	if q.Sent() {
		asked, until := q.SentAt.UTC(), q.SentAt.Add(within).UTC()
		v.AskedAt, v.Until = &asked, &until
	}
	switch {
	case q.MessageID == "" && q.Reason != "":
		v.State = QuestionNotAsked
	case held.State.Ended(optIn):
		v.State = QuestionOptedOut
	case held.State.Confirmed(optIn):
		v.State = QuestionConfirmed
	case q.MessageID == "":
		v.State = QuestionDue
	case q.Pending():
		v.State, v.Reason = QuestionQueued, string(q.MessageReason)
	case !q.Sent():
		v.State, v.Reason = QuestionFailed, string(q.MessageReason)
	case held.Now.After(*v.Until):
		v.State = QuestionNoAnswer
	default:
		v.State = QuestionWaiting
	}
	return v
}
