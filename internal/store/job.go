package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// TakeMark takes on a job that runs in one process at a time, each time that it is due, or at once. It returns how far the job has
// come, now for one that never ran, and whether the caller is to do it: then nobody else is for the time every.
func (s *Store) TakeMark(ctx context.Context, name string, every time.Duration, atOnce bool) (at time.Time, taken bool, err error) {
	err = s.inTx(ctx, "take a mark", func(tx pgx.Tx) error {
		taken = false
		if _, err := tx.Exec(ctx, `insert into mark (name, at) values ($1, now()) on conflict do nothing`, name); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `update mark set next_at = now() + $2::interval where name = $1 and ($3 or next_at <= now()) returning at`,
			name, every, atOnce).Scan(&at)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		taken = err == nil
		return err
	})
	return at, taken, err
}

// MoveMark notes how far a job has come; it never goes back.
func (s *Store) MoveMark(ctx context.Context, name string, at time.Time) error {
	if _, err := s.pool.Exec(ctx, `update mark set at = greatest(at, $2) where name = $1`, name, at); err != nil {
		return fmt.Errorf("move the mark %s: %w", name, err)
	}
	return nil
}

// PutOffMark lets a job be due after the wait: it could not be done.
func (s *Store) PutOffMark(ctx context.Context, name string, wait time.Duration) error {
	if _, err := s.pool.Exec(ctx, `update mark set next_at = now() + $2::interval where name = $1`, name, wait); err != nil {
		return fmt.Errorf("put off the mark %s: %w", name, err)
	}
	return nil
}

// KnownReplies returns those of the SIDs whose reply is stored.
func (s *Store) KnownReplies(ctx context.Context, sids []string) (map[string]bool, error) {
	rows, err := s.pool.Query(ctx, `select sid from inbound where sid = any ($1)`, sids)
	if err != nil {
		return nil, fmt.Errorf("read known replies: %w", err)
	}
	known := map[string]bool{}
	var sid string
	if err := each(rows, []any{&sid}, func() error { known[sid] = true; return nil }); err != nil {
		return nil, fmt.Errorf("read known replies: %w", err)
	}
	return known, nil
}
