package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Mark says which database this is and how far it has come, see migrations/00005_life_marks.sql.
type Mark struct {
	Ledger      string // id of the database, made with its schema
	Position    int64  // grows
	Incarnation string // of the server as it is now
	Known       string // the incarnation when the position was set; empty before the first time
	At          time.Time
}

// Moved tells whether the database is another copy, or another server has taken over, since its position was set.
func (m Mark) Moved() bool { return m.Known != "" && m.Known != m.Incarnation }

// ErrMoved says that the database is not the one, or not as far, as the process last saw it: it was restored, or a standby
// took over. Nothing was decided or claimed. It is temporary: whoever watches over the marks says what becomes of it.
var ErrMoved = errors.New("the database is another one, or an older copy, than it was a moment ago")

const readMark = `select ledger::text, position, ledger_incarnation(), incarnation, marked_at from ledger_mark`

func scanMark(row pgx.Row) (Mark, error) {
	var m Mark
	err := row.Scan(&m.Ledger, &m.Position, &m.Incarnation, &m.Known, &m.At)
	return m, err
}

// Mark reads the mark.
func (s *Store) Mark(ctx context.Context) (Mark, error) {
	m, err := scanMark(s.pool.QueryRow(ctx, readMark))
	if err != nil {
		return Mark{}, fmt.Errorf("read the ledger's mark: %w", err)
	}
	return m, nil
}

// Advance moves the position on by one and returns the mark. It is ErrMoved
// when the database is not the one of the mark from, or not as far.
func (s *Store) Advance(ctx context.Context, from Mark) (Mark, error) {
	m, err := scanMark(s.pool.QueryRow(ctx, `update ledger_mark set position = position + 1, incarnation = ledger_incarnation(), marked_at = now()
		where ledger = $1::uuid and position >= $2
		returning ledger::text, position, ledger_incarnation(), incarnation, marked_at`, from.Ledger, from.Position))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Mark{}, fmt.Errorf("advance the ledger's mark: %w", ErrMoved)
	case err != nil:
		return Mark{}, fmt.Errorf("advance the ledger's mark: %w", err)
	}
	return m, nil
}

// Expect makes Decide and Claim refuse, with ErrMoved, to work on another database than that of the mark, or on one that is
// not as far. Until the first call they work on any.
func (s *Store) Expect(m Mark) { s.expected.Store(&m) }

// checkMark compares the database with the one that is expected. What is read is of the same database as the transaction.
func (s *Store) checkMark(ctx context.Context, tx pgx.Tx) error {
	var p pipeline
	moved := s.queueMarkCheck(&p)
	if err := p.run(ctx, tx); err != nil {
		return fmt.Errorf("read the ledger's mark: %w", err)
	}
	return moved()
}

// queueMarkCheck is checkMark in a pipeline: moved is to be called when that has run.
func (s *Store) queueMarkCheck(p *pipeline) (moved func() error) {
	expected := s.expected.Load()
	if expected == nil {
		return func() error { return nil }
	}
	var now Mark
	p.query(readMark, func(rows pgx.Rows) (err error) {
		now, err = pgx.CollectOneRow(rows, func(row pgx.CollectableRow) (Mark, error) { return scanMark(row) })
		return err
	})
	return func() error {
		if now.Ledger != expected.Ledger || now.Position < expected.Position || now.Incarnation != expected.Incarnation {
			return ErrMoved
		}
		return nil
	}
}
