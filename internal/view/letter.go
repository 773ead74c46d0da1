package view

import (
	"time"

	"github.com/beckonhq/beckon/internal/stream"
)

// Letter is a dead letter without what it holds.
type Letter struct {
	ID             uint64    `json:"id"`
	StoredAt       time.Time `json:"stored_at"`
	FirstStoredAt  time.Time `json:"first_stored_at"` // the original
	Stream         string    `json:"stream"`
	Seq            uint64    `json:"seq"`
	Org            string    `json:"org"`
	NotificationID string    `json:"notification_id"` // empty: all of the original
	Reason         string    `json:"reason"`
	History        []string  `json:"history"`
	Bytes          int       `json:"bytes"`
}

// WholeLetter is a dead letter with what it holds: personal data.
type WholeLetter struct {
	Letter

	Subject string            `json:"subject"`
	Headers map[string]string `json:"headers"`
	Data    string            `json:"data"`
}

// NewLetter shows a dead letter.
func NewLetter(l *stream.StoredDeadLetter) Letter {
	history := l.History
	if history == nil {
		history = []string{}
	}
	return Letter{
		ID: l.Number, StoredAt: l.Stored.UTC(), FirstStoredAt: l.First.UTC(), Stream: string(l.Stream), Seq: l.Seq, Org: string(l.Org),
		NotificationID: string(l.Only), Reason: l.Reason, History: history, Bytes: len(l.Data),
	}
}

// NewWholeLetter shows all of a dead letter.
func NewWholeLetter(l *stream.StoredDeadLetter) WholeLetter {
	return WholeLetter{Letter: NewLetter(l), Subject: l.Subject, Headers: l.Header, Data: string(l.Data)}
}
