package message

import (
	"fmt"
	"strings"
	"time"
)

// Scope says over whose messages a cap counts.
type Scope string

// The scopes.
const (
	PerPerson  Scope = "person"
	PerPurpose Scope = "purpose"
	PerRule    Scope = "rule"
	PerSender  Scope = "sender"
	PerAll     Scope = "all"
)

// Cap is a bound on messages in a sliding window. Rule, Purpose, Program and Sender, where they are not empty, narrow what it is about. Of Messages
// and Segments one at least is not 0. Suppress tells what becomes of a message beyond it: it is not sent at all, else deferred.
type Cap struct {
	Name     string        `json:"name"`
	Scope    Scope         `json:"scope"`
	Rule     string        `json:"rule,omitempty"`
	Purpose  Purpose       `json:"purpose,omitempty"`
	Program  string        `json:"program,omitempty"`
	Sender   string        `json:"sender,omitempty"`
	Messages int           `json:"messages,omitempty"`
	Segments int           `json:"segments,omitempty"`
	Per      time.Duration `json:"per"` // nanoseconds
	Suppress bool          `json:"suppress,omitempty"`
}

// About tells whether the cap is about a message, by its rule, purpose, program and sender.
func (c Cap) About(m *Message) bool {
	return (c.Rule == "" || c.Rule == m.Rule) && (c.Purpose == "" || c.Purpose == m.Purpose) &&
		(c.Program == "" || c.Program == m.Program) && (c.Sender == "" || c.Sender == m.Sender)
}

// Bound is what the cap allows, for people: 3 messages in 24h.
func (c Cap) Bound() string {
	var bounds []string
	count := func(n int, what string) {
		if n > 1 {
			what += "s"
		}
		if n > 0 {
			bounds = append(bounds, fmt.Sprintf("%d %s", n, what))
		}
	}
	count(c.Messages, "message")
	count(c.Segments, "segment")
	per := c.Per.String()
	if c.Per%time.Minute == 0 {
		per = strings.TrimSuffix(per, "0s")
	}
	if c.Per%time.Hour == 0 {
		per = strings.TrimSuffix(per, "0m")
	}
	return strings.Join(bounds, " and ") + " in " + per
}

// Key is what the cap counts a message under.
func (c Cap) Key(m *Message) string {
	switch c.Scope {
	case PerPerson:
		return string(m.To)
	case PerPurpose:
		return string(m.Purpose)
	case PerRule:
		return m.Rule
	case PerSender:
		return m.Sender
	case PerAll:
	}
	return ""
}
