package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Trial names one try of a part of a delivery, alone. Before is the part that was tried last and has ended.
type Trial struct {
	Stream string
	Seq    uint64
	Part   string
	Before string
}

// BeginTrial notes, durably, that a try begins, and returns when those began that have not ended, this one included.
func (s *Store) BeginTrial(ctx context.Context, t Trial) ([]time.Time, error) {
	var begun []time.Time
	err := s.pool.QueryRow(ctx, `with ended as (delete from trial where stream = $1 and seq = $2 and part = $4 and $4 <> $3)
		insert into trial as t (stream, seq, part, begun) values ($1, $2, $3, array[now()])
		on conflict (stream, seq, part) do update set begun = t.begun || now() returning begun`,
		t.Stream, int64(t.Seq), t.Part, t.Before).Scan(&begun)
	if err != nil {
		return nil, fmt.Errorf("note that a trial begins: %w", err)
	}
	return begun, nil
}

// EndTrial forgets the trials of a delivery; with brokenOff only the last beginning of this part, since the try has ended in
// order without a result.
func (s *Store) EndTrial(ctx context.Context, t Trial, brokenOff bool) error {
	sql, args := `delete from trial where stream = $1 and seq = $2`, []any{t.Stream, int64(t.Seq)}
	if brokenOff {
		sql = `update trial set begun = trim_array(begun, 1) where stream = $1 and seq = $2 and part = $3 and cardinality(begun) > 0`
		args = append(args, t.Part)
	}
	if _, err := s.pool.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("note that a trial has ended: %w", err)
	}
	return nil
}

// Reason is an error's text for a dead letter: of what the database refused, the code and the names of what it is about, since
// its own words may quote a value.
func Reason(err error) string {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err.Error()
	}
	var text strings.Builder
	text.WriteString("the database refused it: SQLSTATE " + pg.Code)
	for _, name := range []struct{ what, name string }{
		{"table", pg.TableName}, {"column", pg.ColumnName}, {"constraint", pg.ConstraintName}, {"type", pg.DataTypeName},
	} {
		if name.name != "" {
			text.WriteString(", " + name.what + " " + name.name)
		}
	}
	return text.String()
}
