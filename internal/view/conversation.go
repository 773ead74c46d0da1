package view

import (
	"time"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

// Conversation is a conversation as `beckon conversations list --json` and the API give it. It carries personal data (With,
// LastText).
type Conversation struct {
	ID            string     `json:"id"`
	Org           string     `json:"org"`
	Sender        string     `json:"sender"`
	Channel       string     `json:"channel"`
	With          string     `json:"with"`
	ContactID     string     `json:"contact_id"`
	RecordID      string     `json:"record_id"`
	State         string     `json:"state"`
	AssignedTo    string     `json:"assigned_to"`
	Marked        bool       `json:"marked"` // it waits for a human
	MarkedAt      *time.Time `json:"marked_at,omitempty"`
	MarkedBy      string     `json:"marked_by,omitempty"`    // the reply rule that asked for one
	PausedUntil   *time.Time `json:"paused_until,omitempty"` // until then reply rules answer nothing
	WindowEnds    *time.Time `json:"window_ends,omitempty"`  // of WhatsApp: until then free text may be sent
	LastInboundAt *time.Time `json:"last_inbound_at"`
	LastText      string     `json:"last_text"`
	CreatedAt     time.Time  `json:"created_at"`
}

// Turn is one message of a conversation.
type Turn struct {
	At        time.Time         `json:"at"`
	Direction string            `json:"direction"`           // inbound or outbound
	Text      string            `json:"text"`                // empty for an approved template of WhatsApp
	Variables map[string]string `json:"variables,omitempty"` // of that template
	SID       string            `json:"sid"`
	Keyword   string            `json:"keyword,omitempty"`
	Media     []Media           `json:"media,omitempty"`
	MessageID string            `json:"message_id,omitempty"` // of the message; of the one that the reply answers
	State     string            `json:"state,omitempty"`
	Reason    string            `json:"reason,omitempty"`
	Origin    string            `json:"origin,omitempty"`
	Rule      string            `json:"rule,omitempty"`
	Template  string            `json:"template,omitempty"`
	By        string            `json:"by,omitempty"` // who wrote it
}

// Media is a picture or file of a reply: where the private listener gives it, never where Twilio keeps it.
type Media struct {
	Path        string `json:"path"`
	ContentType string `json:"content_type"`
}

// WholeConversation is a conversation with its messages.
type WholeConversation struct {
	Conversation

	Newest string `json:"newest"` // what the person or a human wrote last: an answer may say that it has seen it
	Turns  []Turn `json:"turns"`
}

// NewConversation shows a conversation.
func NewConversation(c store.Conversation) Conversation {
	v := Conversation{
		ID: c.ID, Org: string(c.Org), Sender: c.Sender, Channel: string(c.Channel), With: string(c.With), ContactID: c.ContactID,
		RecordID: string(c.RecordID), State: string(c.State), AssignedTo: c.AssignedTo, Marked: !c.MarkedAt.IsZero(),
		MarkedAt: orNull(c.MarkedAt), MarkedBy: c.MarkedBy, PausedUntil: orNull(c.PausedUntil), LastInboundAt: orNull(c.LastInboundAt),
		LastText: c.LastText, CreatedAt: c.CreatedAt.UTC(),
	}
	if c.Channel == message.WhatsApp && c.LastInboundAt.After(c.WindowDenied) {
		v.WindowEnds = orNull(c.LastInboundAt.Add(message.WhatsAppWindow))
	}
	return v
}

// NewWholeConversation shows a conversation with its messages; newest is Newest of the store.
func NewWholeConversation(c *store.Conversation, turns []store.Turn, newest string) WholeConversation {
	v := WholeConversation{Conversation: NewConversation(*c), Turns: []Turn{}, Newest: newest}
	for i := range turns {
		v.Turns = append(v.Turns, newTurn(&turns[i]))
	}
	return v
}

func newTurn(t *store.Turn) Turn {
	v := Turn{At: t.At.UTC(), Direction: "outbound", Text: t.Text, Variables: t.Variables, SID: t.SID, Keyword: t.Keyword, MessageID: t.MessageID, By: t.By}
	if t.Inbound {
		v.Direction = "inbound"
	}
	for i, m := range t.Media {
		v.Media = append(v.Media, Media{Path: MediaPath(t.SID, i), ContentType: m.ContentType})
	}
	if m := t.Message; m != nil {
		v.State, v.Reason, v.Origin = string(m.State), string(m.Reason), string(m.Origin)
		v.Rule, v.Template = m.Rule, m.Template
	}
	return v
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
