package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

// Census is the ledger as an auditor compares it with those of others: every notification, message and attempt, without what
// was in them. It is held in memory whole.
type Census struct {
	Notifications []CountedNotification
	Messages      []CountedMessage
	Attempts      []CountedAttempt
}

// CountedNotification is a notification with its decision; Outcome is empty when it has none.
type CountedNotification struct {
	ID        notification.ID
	Outcome   notification.Outcome
	Repeats   int // how often it was sent again
	DecidedAt time.Time
}

// CountedMessage is a message as it stands.
type CountedMessage struct {
	ID             string
	NotificationID notification.ID
	To             address.Address
	State          message.State
	Reason         message.Reason
	ErrorCode      int
	UpdatedAt      time.Time
}

// CountedAttempt is one attempt; StartedAt is when it was claimed.
type CountedAttempt struct {
	ID        string
	MessageID string
	State     message.State
	SID       string
	StartedAt time.Time
}

// Census reads the whole ledger as it stands at one moment.
func (s *Store) Census(ctx context.Context) (*Census, error) {
	var census Census
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, s.pool, snapshot, func(tx pgx.Tx) error {
		for _, read := range []func(context.Context, pgx.Tx) error{census.readNotifications, census.readMessages, census.readAttempts} {
			if err := read(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	return &census, nil
}

func (c *Census) readNotifications(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `select n.id, coalesce(d.outcome, ''), coalesce(d.decided_at, 'epoch'),
			(select count(*) from duplicate r where r.org = n.org and r.id = n.id)
		from notification n left join decision d on d.org = n.org and d.notification_id = n.id`)
	if err != nil {
		return err
	}
	c.Notifications, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (CountedNotification, error) {
		var n CountedNotification
		err := row.Scan((*string)(&n.ID), (*string)(&n.Outcome), &n.DecidedAt, &n.Repeats)
		return n, err
	})
	return err
}

func (c *Census) readMessages(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `select id::text, notification_id, recipient, state, reason, error_code, updated_at from message`)
	if err != nil {
		return err
	}
	c.Messages, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (CountedMessage, error) {
		var m CountedMessage
		err := row.Scan(&m.ID, (*string)(&m.NotificationID), (*string)(&m.To), (*string)(&m.State), (*string)(&m.Reason),
			&m.ErrorCode, &m.UpdatedAt)
		return m, err
	})
	return err
}

func (c *Census) readAttempts(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `select id::text, message_id::text, state, coalesce(sid, ''), started_at from attempt`)
	if err != nil {
		return err
	}
	c.Attempts, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (CountedAttempt, error) {
		var t CountedAttempt
		err := row.Scan(&t.ID, &t.MessageID, (*string)(&t.State), &t.SID, &t.StartedAt)
		return t, err
	})
	return err
}

// InMotion counts what is not finished: messages that wait to be sent, and attempts whose outcome is not known yet.
func (s *Store) InMotion(ctx context.Context) (queued, open int, err error) {
	err = s.pool.QueryRow(ctx, `select (select count(*) from belt), (select count(*) from live_attempt)`).Scan(&queued, &open)
	if err != nil {
		return 0, 0, fmt.Errorf("count what is in motion: %w", err)
	}
	return queued, open, nil
}
