package view

import (
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/salesforce"
	"github.com/beckonhq/beckon/internal/stream"
)

// Held is a message of a stream that carries a person's address, as `beckon consent export` gives it. Of an envelope it has the
// notifications about the person alone: the others are about others.
type Held struct {
	Stream        string             `json:"stream"`
	Seq           uint64             `json:"seq"`
	Subject       string             `json:"subject"`
	StoredAt      time.Time          `json:"stored_at"`
	Notifications []HeldNotification `json:"notifications,omitempty"`
	Text          string             `json:"text,omitempty"`       // of a webhook: its form
	Unreadable    bool               `json:"unreadable,omitempty"` // an envelope that can't be taken apart
}

// HeldNotification is a notification with its record's fields.
type HeldNotification struct {
	ID       string            `json:"id"`
	RecordID string            `json:"record_id"`
	Fields   map[string]string `json:"fields"`
}

// NewHeld shows what was found by the same test of a text.
func NewHeld(found stream.Found, fits func(text string) bool) Held {
	v := Held{Stream: string(found.Stream), Seq: found.Seq, Subject: found.Subject, StoredAt: found.Stored.UTC()}
	if found.Stream != stream.Notifications && !strings.HasPrefix(found.Subject, "deadletters."+string(stream.Notifications)+".") {
		v.Text = string(found.Data)
		return v
	}
	envelope, err := salesforce.Decode(found.Data, salesforce.DefaultLimits())
	if v.Unreadable = err != nil; v.Unreadable {
		return v
	}
	for i := range envelope.Notifications {
		n := &envelope.Notifications[i]
		one, about := HeldNotification{ID: string(n.ID), RecordID: string(n.RecordID), Fields: map[string]string{}}, false
		for _, field := range n.Fields {
			about = about || fits(field.Value)
			one.Fields[field.Name] = field.Value
		}
		if about {
			v.Notifications = append(v.Notifications, one)
		}
	}
	return v
}
