package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

// ReplayTrace is what an operator's replay did with a notification.
type ReplayTrace struct {
	ID          string
	Mode        notification.ReplayMode
	Result      ReplayResult
	Outcome     notification.Outcome
	RuleSet     string
	Detail      json.RawMessage
	OnceSkipped []string
	Made        int
	Held        int
	DecidedAt   time.Time
}

// GateTrace is what the gates said of a message at one time.
type GateTrace struct {
	At      time.Time
	Answers []GateAnswer
}

// BeltTrace is where a queued message is: due at a time; on a sequence of MESSAGES, or on none.
type BeltTrace struct {
	DueAt time.Time
	Seq   *int64        // nil: not noted yet; 0: claimed before, lies until it is due
	Open  message.State // of another message's attempt to the same person: sending, unknown, or empty
}

// traceMore adds what operators did and what the gates said.
func (s *Store) traceMore(ctx context.Context, t *Trace) error {
	var p pipeline
	subjects := []string{}
	for i := range t.Notifications {
		n := &t.Notifications[i]
		subjects = append(subjects, string(n.ID))
		p.query(`select replay_id, mode, result, outcome, rule_set, detail, once_skipped, made, held, decided_at from replayed
			where org = $1 and notification_id = $2 order by decided_at`, collectInto(&n.Replays), string(n.Org), string(n.ID))
	}
	for i := range t.Messages {
		m := &t.Messages[i]
		subjects = append(subjects, m.ID)
		p.query(`select at, answers from gate_answer where message_id = $1::uuid order by id`, collectInto(&m.Gates), m.ID)
		var places []BeltTrace
		p.query(`select b.due_at, b.seq, coalesce((select l.phase from live_attempt l where l.address = $2 limit 1), '')
			from belt b where b.message_id = $1::uuid`, func(rows pgx.Rows) error {
			if err := collectInto(&places)(rows); err != nil || len(places) == 0 {
				return err
			}
			m.Belt = &places[0]
			return nil
		}, m.ID, string(m.To))
		p.query(`select salt from message where id = $1::uuid`, func(rows pgx.Rows) (err error) {
			m.Salt, err = pgx.CollectOneRow(rows, pgx.RowTo[string])
			return err
		}, m.ID)
	}
	p.query(`select id, at, operator, action, subject, detail from audit where subject = any ($1)
		or subject in (select replay_id from replayed where notification_id = any ($1)) order by id`, collectInto(&t.Audit), subjects)
	if err := s.inTx(ctx, "read the ledger", func(tx pgx.Tx) error { return p.run(ctx, tx) }); err != nil {
		return fmt.Errorf("trace what operators and gates did: %w", err)
	}
	return nil
}

func collectInto[T any](list *[]T) func(pgx.Rows) error {
	return func(rows pgx.Rows) (err error) {
		*list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[T])
		return err
	}
}
