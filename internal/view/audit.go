package view

import (
	"encoding/json"
	"time"

	"github.com/beckonhq/beckon/internal/store"
)

// Audit is one deed of an operator.
type Audit struct {
	ID       int64           `json:"id"`
	At       time.Time       `json:"at"`
	Operator string          `json:"operator"`
	Action   string          `json:"action"`
	Subject  string          `json:"subject"`
	Detail   json.RawMessage `json:"detail"`
}

// NewAudit shows a deed.
func NewAudit(e store.AuditEntry) Audit {
	return Audit{ID: e.ID, At: e.At.UTC(), Operator: e.Operator, Action: e.Action, Subject: e.Subject, Detail: e.Detail}
}
