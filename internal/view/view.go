package view

import (
	"encoding/json"
	"time"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

// Message is a message as `beckon messages list --json` and the API give it. It carries personal data (To): it goes to
// operators, not to logs.
type Message struct {
	ID             string   `json:"id"`
	Org            string   `json:"org"`
	State          string   `json:"state"`
	Reason         string   `json:"reason"`
	Detail         string   `json:"detail,omitempty"`
	Origin         string   `json:"origin"` // rule, human, reply_rule, compliance, console, double_opt_in
	Rule           string   `json:"rule"`
	Sender         string   `json:"sender"`
	Template       string   `json:"template"`
	Language       string   `json:"language"`
	Channel        string   `json:"channel"` // of the newest attempt; before the first one, the channel preferred most
	Channels       []string `json:"channels"`
	Purpose        string   `json:"purpose"`
	To             string   `json:"to"`
	Object         string   `json:"object"`
	RecordID       string   `json:"record_id"`
	ContactID      string   `json:"contact_id,omitempty"`
	NotificationID string   `json:"notification_id"`
	SID            string   `json:"sid"`
	ErrorCode      int      `json:"error_code"` // Twilio's; 0 when there is none
	Segments       int      `json:"segments"`   // of the SMS form; 0 when there is none
	Attempts       int      `json:"attempts"`

	NotBefore time.Time `json:"not_before"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// NewMessage shows a message.
func NewMessage(m message.Message) Message {
	v := Message{
		ID: m.ID, Org: string(m.Org), State: string(m.State), Reason: string(m.Reason), Detail: m.Detail, Origin: string(m.Origin), Rule: m.Rule, Sender: m.Sender,
		Template: m.Template, Language: m.Language, Channel: string(m.Channel), Purpose: string(m.Purpose), To: string(m.To),
		Object: m.Object, RecordID: string(m.RecordID), ContactID: m.ContactID, NotificationID: string(m.NotificationID),
		SID: m.SID, ErrorCode: m.ErrorCode, Segments: m.Segments(), Attempts: m.Attempts,
		NotBefore: m.NotBefore.UTC(), CreatedAt: m.CreatedAt.UTC(), UpdatedAt: m.UpdatedAt.UTC(),
	}
	v.Channels = make([]string, 0, len(m.Channels)) // an empty list is no null
	for _, channel := range m.Channels {
		v.Channels = append(v.Channels, string(channel))
	}
	if v.Channel == "" && len(v.Channels) > 0 {
		v.Channel = v.Channels[0]
	}
	return v
}

// Trace is the whole way of a notification, message or record.
type Trace struct {
	Notifications []Notification  `json:"notifications"`
	Messages      []TracedMessage `json:"messages"`
	DeadLetters   []Letter        `json:"dead_letters"`
	Audit         []Audit         `json:"audit"`
	Why           string          `json:"why"` // why it was not sent, or what it waits for, in plain words
}

// Notification is a notification with its decision.
type Notification struct {
	ID          string          `json:"id"`
	Org         string          `json:"org"`
	Object      string          `json:"object"`
	RecordID    string          `json:"record_id"`
	ReceivedAt  time.Time       `json:"received_at"`
	DecidedAt   time.Time       `json:"decided_at"`
	Duplicates  int             `json:"duplicates"`
	Outcome     string          `json:"outcome"`
	RuleSet     string          `json:"rule_set"`
	OnceSkipped []string        `json:"once_skipped,omitempty"`
	Decision    json.RawMessage `json:"decision"`
	StreamSeq   int64           `json:"stream_seq"` // in NOTIFICATIONS
	Replays     []Replay        `json:"replays"`
}

// TracedMessage is a message with what happened to it.
type TracedMessage struct {
	Message

	AttemptList []Attempt `json:"attempt_list"`
	Events      []Event   `json:"events"`
	Replies     []Reply   `json:"replies"`
	Gates       []Gates   `json:"gates"`
	Question    *Question `json:"question,omitempty"`  // that it asked
	Belt        *Belt     `json:"belt,omitempty"`      // while it is queued
	ForcedBy    string    `json:"forced_by,omitempty"` // the replay that made it a second time
}

// Attempt is one attempt to send.
type Attempt struct {
	ID        string    `json:"id"`
	Number    int       `json:"number"`
	Channel   string    `json:"channel"`
	State     string    `json:"state"`
	SID       string    `json:"sid"`
	ErrorCode int       `json:"error_code"`
	Detail    string    `json:"detail,omitempty"`
	StartedAt time.Time `json:"started_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Event is one delivery status that Twilio reported.
type Event struct {
	SID        string    `json:"sid"`
	Status     string    `json:"status"`
	ErrorCode  int       `json:"error_code"`
	ReceivedAt time.Time `json:"received_at"`
}

// Reply is what a person answered.
type Reply struct {
	SID        string    `json:"sid"`
	From       string    `json:"from"`
	Channel    string    `json:"channel"`
	Body       string    `json:"body"`
	Keyword    string    `json:"keyword,omitempty"`
	ReceivedAt time.Time `json:"received_at"`
	Decided    *Talk     `json:"decided,omitempty"` // by the reply rules
}

// NewTrace shows a trace. The letters are those that may be about it; others are left out.
func NewTrace(t *store.Trace, letters ...stream.StoredDeadLetter) Trace {
	v := Trace{Notifications: []Notification{}, Messages: []TracedMessage{}, DeadLetters: []Letter{}, Audit: []Audit{}}
	for _, n := range t.Notifications {
		v.Notifications = append(v.Notifications, Notification{
			ID: string(n.ID), Org: string(n.Org), Object: n.Object, RecordID: string(n.RecordID), ReceivedAt: n.ReceivedAt.UTC(),
			DecidedAt: n.DecidedAt.UTC(), Duplicates: n.Duplicates, Outcome: string(n.Outcome), RuleSet: n.RuleSet,
			OnceSkipped: n.OnceSkipped, Decision: n.Detail, StreamSeq: n.StreamSeq, Replays: newReplays(n.Replays),
		})
		for i := range letters {
			if About(&letters[i], n) {
				v.DeadLetters = append(v.DeadLetters, NewLetter(&letters[i]))
			}
		}
	}
	for _, m := range t.Messages {
		v.Messages = append(v.Messages, newTracedMessage(m))
	}
	for _, e := range t.Audit {
		v.Audit = append(v.Audit, NewAudit(e))
	}
	v.Why = why(&v, time.Now())
	return v
}

func newTracedMessage(m store.MessageTrace) TracedMessage {
	v := TracedMessage{Message: NewMessage(m.Message), AttemptList: []Attempt{}, Events: []Event{}, Replies: []Reply{}, Gates: []Gates{}, ForcedBy: m.Salt}
	v.Question = newQuestion(m.Question)
	for _, g := range m.Gates {
		v.Gates = append(v.Gates, Gates{At: g.At.UTC(), Answers: g.Answers})
	}
	if m.Belt != nil {
		v.Belt = &Belt{DueAt: m.Belt.DueAt.UTC(), Seq: m.Belt.Seq, Open: string(m.Belt.Open)}
	}
	for _, a := range m.AttemptList {
		v.AttemptList = append(v.AttemptList, Attempt{
			ID: a.ID, Number: a.Number, Channel: string(a.Channel), State: string(a.State), SID: a.SID, ErrorCode: a.ErrorCode,
			Detail: a.Detail, StartedAt: a.StartedAt.UTC(), UpdatedAt: a.UpdatedAt.UTC(),
		})
	}
	for _, e := range m.Events {
		v.Events = append(v.Events, Event{SID: e.SID, Status: e.Status, ErrorCode: e.ErrorCode, ReceivedAt: e.ReceivedAt.UTC()})
	}
	for _, r := range m.Replies {
		v.Replies = append(v.Replies, Reply{
			SID: r.SID, From: string(r.From), Channel: string(r.Channel), Body: r.Body, Keyword: r.Keyword, ReceivedAt: r.ReceivedAt.UTC(),
			Decided: newTalk(r.Decided),
		})
	}
	return v
}
