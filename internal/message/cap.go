package message

import "time"

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

// Cap is a bound on messages in a sliding window. Rule, Purpose and Sender, where they are not empty, narrow what it is about. Of Messages
// and Segments one at least is not 0. Suppress tells what becomes of a message beyond it: it is not sent at all, else deferred.
type Cap struct {
	Name     string        `json:"name"`
	Scope    Scope         `json:"scope"`
	Rule     string        `json:"rule,omitempty"`
	Purpose  Purpose       `json:"purpose,omitempty"`
	Sender   string        `json:"sender,omitempty"`
	Messages int           `json:"messages,omitempty"`
	Segments int           `json:"segments,omitempty"`
	Per      time.Duration `json:"per"` // nanoseconds
	Suppress bool          `json:"suppress,omitempty"`
}

// About tells whether the cap is about messages of a rule, a purpose and a sender.
func (c Cap) About(rule string, purpose Purpose, sender string) bool {
	return (c.Rule == "" || c.Rule == rule) && (c.Purpose == "" || c.Purpose == purpose) && (c.Sender == "" || c.Sender == sender)
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
