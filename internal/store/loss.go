package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// StreamMark is a stream as it was last seen.
type StreamMark struct {
	Created time.Time
	LastSeq uint64
	LastAt  time.Time // when the message of LastSeq was stored; zero when that is not known
	Seen    time.Time
}

// LossKind says what was found of a stream.
type LossKind string

// The kinds of losses.
const (
	LossMadeAnew LossKind = "made_anew" // it was deleted, or the store of the server
	LossOlder    LossKind = "older"     // the store was put back to an earlier time
)

// StreamLoss is a stream that was found made anew or put back. What was in it since Seen and not worked on is lost.
type StreamLoss struct {
	ID      int64
	Stream  string
	Kind    LossKind
	Seen    time.Time
	Noticed time.Time
}

// StreamMarks returns the streams as they were last seen. Read it before the streams themselves are looked at.
func (s *Store) StreamMarks(ctx context.Context) (map[string]StreamMark, error) {
	rows, err := s.pool.Query(ctx, `select stream, created_at, last_seq, coalesce(last_at, '0001-01-01'), seen_at from stream_mark`)
	if err != nil {
		return nil, fmt.Errorf("read the marks of the streams: %w", err)
	}
	marks := map[string]StreamMark{}
	var name string
	var m StreamMark
	var last int64
	err = each(rows, []any{&name, &m.Created, &last, &m.LastAt, &m.Seen}, func() error {
		m.LastSeq = uint64(last)
		marks[name] = m
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the marks of the streams: %w", err)
	}
	return marks, nil
}

// NoteStream notes a stream as it is now.
func (s *Store) NoteStream(ctx context.Context, name string, now StreamMark) error {
	_, err := s.pool.Exec(ctx, `insert into stream_mark as m (stream, created_at, last_seq, last_at) values ($1, $2, $3, $4)
		on conflict (stream) do update set last_seq = greatest(m.last_seq, excluded.last_seq), seen_at = now(),
			last_at = case when excluded.last_seq >= m.last_seq then excluded.last_at else m.last_at end
		where m.created_at = excluded.created_at`, name, now.Created, int64(now.LastSeq), orNull(now.LastAt))
	if err != nil {
		return fmt.Errorf("note the mark of stream %s: %w", name, err)
	}
	return nil
}

// NoteLoss notes that a stream is not what it was when it was seen last, once for all processes that see it. Messages that
// travelled on a stream that no longer has them are put on the belt again. It returns whether this call was the first.
func (s *Store) NoteLoss(ctx context.Context, name string, kind LossKind, was, now StreamMark) (bool, error) {
	first := false
	err := s.inTx(ctx, "note the loss of a stream", func(tx pgx.Tx) error {
		var seen time.Time
		err := tx.QueryRow(ctx, `update stream_mark m set created_at = $4, last_seq = $5, last_at = $6, seen_at = now()
			from (select stream, seen_at from stream_mark where stream = $1 for update) old
			where m.stream = old.stream and m.created_at = $2 and m.last_seq >= $3 and m.last_at is not distinct from $7 returning old.seen_at`,
			name, was.Created, int64(was.LastSeq), now.Created, int64(now.LastSeq), orNull(now.LastAt), orNull(was.LastAt)).Scan(&seen)
		if errors.Is(err, pgx.ErrNoRows) {
			first = false // another process did
			return nil
		}
		if err != nil {
			return err
		}
		first = true
		var p pipeline
		p.exec(`insert into stream_loss (stream, what, seen_at) values ($1, $2, $3)`, name, string(kind), seen)
		if name == beltStream {
			p.exec(`update belt set seq = 0, due_at = least(due_at, now()) where seq > $1`, int64(now.LastSeq))
		}
		return p.run(ctx, tx)
	})
	return first, err
}

// beltStream is the stream whose sequences the table belt has.
const beltStream = "MESSAGES"

// OpenLosses returns the losses that no operator has settled, oldest first.
func (s *Store) OpenLosses(ctx context.Context) ([]StreamLoss, error) {
	rows, err := s.pool.Query(ctx, `select id, stream, what, seen_at, noticed_at from stream_loss where settled_at is null order by id`)
	if err != nil {
		return nil, fmt.Errorf("read the losses of streams: %w", err)
	}
	losses, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (StreamLoss, error) {
		var l StreamLoss
		err := row.Scan(&l.ID, &l.Stream, (*string)(&l.Kind), &l.Seen, &l.Noticed)
		return l, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the losses of streams: %w", err)
	}
	return losses, nil
}

// SettleLosses notes that an operator has seen to the losses, with an entry of the audit for each.
func (s *Store) SettleLosses(ctx context.Context, losses []StreamLoss, operator, note string) error {
	return s.inTx(ctx, "settle the losses of streams", func(tx pgx.Tx) error {
		var p pipeline
		for _, l := range losses {
			detail, err := json.Marshal(map[string]any{"loss": l.ID, "what": l.Kind, "seen": l.Seen, "note": note})
			if err != nil {
				return err
			}
			p.exec(`with settled as (update stream_loss set settled_at = now() where id = $1 and settled_at is null returning id)
				insert into audit (operator, action, subject, detail) select $2, 'recover', $3, $4::jsonb from settled`,
				l.ID, operator, "stream "+l.Stream, string(detail))
		}
		return p.run(ctx, tx)
	})
}
