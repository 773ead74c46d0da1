package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/notification"
)

const (
	replyTries = 3                // in vain, before a human is called
	replyLease = 30 * time.Second // how long one may take: of one that has not ended then, the process died
	noteTime   = 2 * time.Second  // to take a note back
)

// ErrDied says why a reply, or a question without an answer, is given up that never failed.
var ErrDied = errors.New("the process died each time that it was decided")

// tries are the statements by which replies, or questions without an answer, are taken one by one.
type tries struct {
	begin  string // notes a try of the next one, returns its key and its tries
	args   []any  // of begin
	forget string // takes the note back, by the key
	read   func(ctx context.Context, tx pgx.Tx, key string) (*PendingReply, error)
}

// try decides the next one. The note of the try is committed before it begins and goes with what is decided, or is taken back when there
// was nothing to decide after all or the database failed: what stays are tries that failed otherwise, or in which the process died.
func (s *Store) try(ctx context.Context, t tries, perHour int, decide func(PendingReply) DecidedReply) (ReplyResult, error) {
	for {
		var key string
		var n int
		err := s.inTx(ctx, "begin to decide a reply", func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, t.begin, t.args...).Scan(&key, &n)
		})
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return ReplyResult{}, nil
		case err != nil:
			return ReplyResult{}, err
		case n > replyTries:
			return ReplyResult{SID: key}, ErrDied
		}
		result := ReplyResult{SID: key}
		gone := false
		err = s.inTx(ctx, "decide a reply", func(tx pgx.Tx) error {
			if err := s.checkMark(ctx, tx); err != nil {
				return err
			}
			pending, err := t.read(ctx, tx, key)
			if gone = err == nil && pending == nil; err != nil || gone {
				return err
			}
			result, err = writeDecided(ctx, tx, pending, decide(*pending), perHour)
			return err
		})
		if gone || Temporary(err) { // if it can't be taken back the lease says the same, later
			err = errors.Join(err, s.takeBack(ctx, t.forget, key))
		}
		if err != nil || !gone {
			return result, err
		}
	}
}

// takeBack forgets a try, also when ctx has ended.
func (s *Store) takeBack(ctx context.Context, statement, key string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	if _, err := s.pool.Exec(ctx, statement, key); err != nil {
		return fmt.Errorf("take the note of a try back: %w", err)
	}
	return nil
}

// PutOffReply lets a reply that could not be decided be due after the wait, and marks its conversation for a human when it has been
// tried so often in vain: then it is decided as a dead letter.
func (s *Store) PutOffReply(ctx context.Context, sid, why string, wait time.Duration) (gaveUp bool, err error) {
	err = s.inTx(ctx, "put off a reply", func(tx pgx.Tx) error {
		var n int
		var conversation string
		err := tx.QueryRow(ctx, `update reply_task set due_at = now() + $2::interval where sid = $1 returning tries, conversation_id::text`, sid, wait).
			Scan(&n, &conversation)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // somebody else has decided it
		}
		if gaveUp = err == nil && n >= replyTries; !gaveUp {
			return err
		}
		return giveUp(ctx, tx, sid, conversation, why)
	})
	return gaveUp, err
}

// PutOffTimeOut lets a question that could not be decided about be due after the wait. When it has been tried so often in vain, it
// is closed as a dead letter and its conversation marked for a human. key is the SID of the result of TimeOutQuestion.
func (s *Store) PutOffTimeOut(ctx context.Context, key, why string, wait time.Duration) (gaveUp bool, err error) {
	id, err := questionID(key)
	if err != nil {
		return false, err
	}
	err = s.inTx(ctx, "put off a time-out", func(tx pgx.Tx) error {
		var conversation string
		if err := tx.QueryRow(ctx, `select conversation_id::text from question where id = $1`, id).Scan(&conversation); err != nil {
			return fmt.Errorf("read a question: %w", err)
		}
		if _, err := lockConversation(ctx, tx, conversation); err != nil {
			return err
		}
		var n int
		err := tx.QueryRow(ctx, `update question set retry_at = now() + $2::interval where id = $1 and state = 'open' returning tries`, id, wait).Scan(&n)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // somebody else has decided it
		}
		if gaveUp = err == nil && n >= replyTries; !gaveUp {
			return err
		}
		if _, err := tx.Exec(ctx, `update question set state = 'timed_out' where id = $1`, id); err != nil {
			return fmt.Errorf("close a question: %w", err)
		}
		return giveUp(ctx, tx, key, conversation, why)
	})
	return gaveUp, err
}

// questionID is the question that the key of a time-out names.
func questionID(key string) (int64, error) {
	id, err := strconv.ParseInt(strings.TrimPrefix(key, timeoutPrefix), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no key of a time-out", key)
	}
	return id, nil
}

// giveUp calls a human to a conversation.
func giveUp(ctx context.Context, tx pgx.Tx, key, conversation, why string) error {
	var p pipeline
	p.exec(`update conversation set marked_at = coalesce(marked_at, now()) where id = $1::uuid`, conversation)
	if err := queueReplyDecision(&p, key, DecidedReply{Outcome: notification.DeadLetter, Detail: map[string]any{"error": why}}, ""); err != nil {
		return err
	}
	return p.run(ctx, tx)
}
