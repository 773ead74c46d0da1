package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/message"
)

// ErrNotUnknown says that a message can't be settled: its outcome is not unknown.
var ErrNotUnknown = errors.New("the outcome of the message is not unknown")

// Settlement is a person's decision about an attempt whose outcome is unknown.
type Settlement struct {
	MessageID string
	Sent      bool   // Twilio has it; else it is proven absent
	SID       string // of a message that was sent, when it is known
	Operator  string
	Note      string
}

// Settle ends the unknown outcome of a message by hand and adds that to the audit trail, in one transaction. A message that is
// absent is queued again, or expired when its validity is over. It returns the message's state. Errors: ErrNotFound,
// ErrNotUnknown, ErrSIDTaken.
func (s *Store) Settle(ctx context.Context, d Settlement) (message.State, error) {
	if uuid.Validate(d.MessageID) != nil {
		return "", ErrNotFound
	}
	var state message.State
	err := s.inTx(ctx, "settle a message", func(tx pgx.Tx) error {
		o, err := settledOutcome(ctx, tx, d)
		if err != nil {
			return err
		}
		fitting, late, taken, err := lockOutcomes(ctx, tx, []Outcome{o})
		if err := errors.Join(err, taken); err != nil {
			return err
		}
		if err := writeOutcomes(ctx, tx, fitting, late); err != nil {
			return err
		}
		detail, err := json.Marshal(map[string]any{"attempt": o.AttemptID, "sent": d.Sent, "sid": d.SID, "note": clean(d.Note)})
		if err != nil {
			return err
		}
		entry := auditEntry{operator: d.Operator, action: "messages settle", subject: d.MessageID, detail: detail}
		if err := audit(ctx, tx, entry); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `select state from message where id = $1::uuid`, d.MessageID).Scan((*string)(&state))
	})
	return state, err
}

// settledOutcome locks the unknown attempt of a message and makes an outcome of the decision.
func settledOutcome(ctx context.Context, tx pgx.Tx, d Settlement) (Outcome, error) {
	o := Outcome{
		MessageID: d.MessageID, State: message.Accepted, SID: d.SID, MessageState: message.Accepted, Detail: "settled by hand: sent",
	}
	var left time.Duration
	var attemptState message.State
	err := tx.QueryRow(ctx, `select a.id::text, a.state, greatest(array_position(m.channels, a.channel) - 1, 0),
			coalesce(m.permitted_at, m.not_before) + m.expires_after - now()
		from message m join attempt a on a.id = m.attempt_id where m.id = $1::uuid for update of a`, d.MessageID).
		Scan(&o.AttemptID, (*string)(&attemptState), &o.NextChannel, &left)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return o, ErrNotFound
	case err != nil:
		return o, fmt.Errorf("read the attempt of the message: %w", err)
	case attemptState != message.Unknown:
		return o, fmt.Errorf("%w: its newest attempt is %s", ErrNotUnknown, attemptState)
	case d.Sent:
		return o, nil
	}
	o.State, o.MessageState, o.Reason, o.Detail = message.Absent, message.Queued, message.ReasonProvenAbsent, "settled by hand: absent"
	if left <= 0 {
		o.MessageState, o.Reason = message.Expired, message.ReasonValidity
	}
	return o, nil
}

// auditEntry is something that an operator did by hand; detail is JSON.
type auditEntry struct {
	operator, action, subject string
	detail                    []byte
}

// audit adds to the trail.
func audit(ctx context.Context, tx pgx.Tx, e auditEntry) error {
	_, err := tx.Exec(ctx, `insert into audit (operator, action, subject, detail) values ($1, $2, $3, $4::jsonb)`,
		clean(e.operator), e.action, e.subject, string(e.detail))
	if err != nil {
		return fmt.Errorf("add to the audit trail: %w", err)
	}
	return nil
}
