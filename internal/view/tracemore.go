package view

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

// Replay is what an operator's replay did with a notification.
type Replay struct {
	ID          string          `json:"replay_id"`
	Mode        string          `json:"mode"`
	Result      string          `json:"result"`
	Outcome     string          `json:"outcome,omitempty"`
	RuleSet     string          `json:"rule_set,omitempty"`
	OnceSkipped []string        `json:"once_skipped,omitempty"`
	Decision    json.RawMessage `json:"decision"`
	Made        int             `json:"messages_made"`
	Held        int             `json:"messages_held"`
	DecidedAt   time.Time       `json:"decided_at"`
}

// Gates is what the gates said of a message at one time, when they did not simply let it pass.
type Gates struct {
	At      time.Time          `json:"at"`
	Answers []store.GateAnswer `json:"answers"`
}

// Belt is where a queued message is.
type Belt struct {
	DueAt time.Time `json:"due_at"`
	Seq   *int64    `json:"stream_seq"` // in MESSAGES; null: on the belt, not noted yet; 0: it waits in the ledger
	Open  string    `json:"open"`       // another message to this person is in this state: sending or unknown
}

func newReplays(list []store.ReplayTrace) []Replay {
	out := make([]Replay, 0, len(list))
	for _, r := range list {
		out = append(out, Replay{
			ID: r.ID, Mode: string(r.Mode), Result: string(r.Result), Outcome: string(r.Outcome), RuleSet: r.RuleSet,
			OnceSkipped: r.OnceSkipped, Decision: r.Detail, Made: r.Made, Held: r.Held, DecidedAt: r.DecidedAt.UTC(),
		})
	}
	return out
}

// About tells whether a dead letter is about a notification: it names it, or is the envelope that brought it.
func About(letter *stream.StoredDeadLetter, n store.NotificationTrace) bool {
	if letter.Stream != stream.Notifications {
		return false
	}
	return letter.Only == n.ID && letter.Org == n.Org || letter.Only == "" && letter.Seq == uint64(n.StreamSeq)
}

// AboutAny is About for all notifications of a trace.
func AboutAny(t *store.Trace) func(*stream.StoredDeadLetter) bool {
	return func(letter *stream.StoredDeadLetter) bool {
		return slices.ContainsFunc(t.Notifications, func(n store.NotificationTrace) bool { return About(letter, n) })
	}
}
