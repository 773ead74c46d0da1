package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	pollMark     = "polls"
	pollWindow   = time.Hour      // of attempts, looked at in one go
	pollOverlap  = time.Minute    // how far the clocks that make ids may be apart
	pollsGiveUp  = 36 * time.Hour // an attempt this old is not asked for any more
	leastPollGap = time.Minute
)

// Poll is an attempt whose state Twilio is to be asked for.
type Poll struct {
	AttemptID string
	MessageID string
	SID       string
	Sender    string
}

// uuidAt is the least id, of version 7, of the time that stands in its parameter.
const uuidAt = `(lpad(to_hex((extract(epoch from (%s)::timestamptz) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid`

// CollectPolls notes the attempts that have become older than after since the last call and are short of a final state, so that
// DuePolls gives them. Each attempt is looked at once; one process at a time does so, for the others the call does nothing.
func (s *Store) CollectPolls(ctx context.Context, after time.Duration) error {
	return s.inTx(ctx, "collect attempts to poll", func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `insert into mark (name, at) values ($1, now() - $2::interval) on conflict do nothing`, pollMark, pollsGiveUp)
		if err != nil {
			return err
		}
		var from, to time.Time
		err = tx.QueryRow(ctx, `select at, least(at + $2::interval, now() - $3::interval) from mark where name = $1 for update skip locked`,
			pollMark, pollWindow, after).Scan(&from, &to)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // another process is at it
		}
		if err != nil || to.Sub(from) < min(leastPollGap, after) {
			return err
		}
		_, err = tx.Exec(ctx, `insert into poll (attempt_id, due_at) select id, now() from attempt
			where id >= `+fmt.Sprintf(uuidAt, "$1")+` and id < `+fmt.Sprintf(uuidAt, "$2")+`
				and state in ('sending', 'unknown', 'accepted', 'sent')
			on conflict do nothing`, from.Add(-pollOverlap), to)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `update mark set at = $2 where name = $1`, pollMark, to)
		return err
	})
}

// DuePolls takes up to limit attempts that are due and lets each be due again when it is twice as old. Those that have come to a
// final state meanwhile, or are too old, are let go.
func (s *Store) DuePolls(ctx context.Context, limit int) ([]Poll, error) {
	rows, err := s.pool.Query(ctx, `with due as (
			select p.attempt_id as id from poll p where p.due_at <= now() order by p.due_at limit $1 for update skip locked
		), aged as (
			select a.id, a.sid, a.message_id, a.sender, now() - a.started_at as age,
				a.state in ('sending', 'unknown', 'accepted', 'sent') and a.started_at > now() - $2::interval as going
			from due join attempt a on a.id = due.id
		), gone as (
			delete from poll p using aged where p.attempt_id = aged.id and not aged.going
		), kept as (
			update poll p set due_at = now() + greatest(aged.age, $3::interval) from aged where p.attempt_id = aged.id and aged.going
			returning aged.id::text, aged.message_id::text, aged.sid, aged.sender)
		select * from kept where sid is not null`, limit, pollsGiveUp, leastPollGap)
	if err != nil {
		return nil, fmt.Errorf("find attempts to poll: %w", err)
	}
	polls, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Poll])
	if err != nil {
		return nil, fmt.Errorf("find attempts to poll: %w", err)
	}
	return polls, nil
}

// PutOffPoll lets an attempt be due after the wait: Twilio could not be asked.
func (s *Store) PutOffPoll(ctx context.Context, attemptID string, wait time.Duration) error {
	if _, err := s.pool.Exec(ctx, `update poll set due_at = now() + $2::interval where attempt_id = $1::uuid`, attemptID, wait); err != nil {
		return fmt.Errorf("put off the poll of attempt %s: %w", attemptID, err)
	}
	return nil
}

// DropPoll lets an attempt go: Twilio has nothing to say of it any more.
func (s *Store) DropPoll(ctx context.Context, attemptID string) error {
	if _, err := s.pool.Exec(ctx, `delete from poll where attempt_id = $1::uuid`, attemptID); err != nil {
		return fmt.Errorf("drop the poll of attempt %s: %w", attemptID, err)
	}
	return nil
}
