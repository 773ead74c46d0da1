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

// timeoutPrefix begins the key of what comes of a question's time-out, where the SID of a reply stands else.
const timeoutPrefix = "timeout/"

// overdue are questions q whose time is over. A reply that came before that goes first: then it is decided, perhaps as the answer,
// and only then is the question asked for again. Of the replies only the one that is next counts, as DecideReply takes no other.
const overdue = `q.state = 'open' and q.expires_at <= now() and coalesce(q.retry_at <= now(), true)
	and not exists (select from reply_task t join inbound i on i.sid = t.sid
		where t.conversation_id = q.conversation_id and i.received_at < q.expires_at and not exists (select from reply_task o
			where o.conversation_id = t.conversation_id and (o.seq, o.sid) < (t.seq, t.sid)))`

// TimeOutQuestion decides what becomes of the next question that has got no answer in its time, exactly once: the decision and all
// that comes of it are one transaction, under the lock of the address, so that of an answer and the time-out one alone counts. The
// result has an empty SID when no question waits. decide must be pure.
func (s *Store) TimeOutQuestion(ctx context.Context, perHour int, decide func(PendingReply) DecidedReply) (ReplyResult, error) {
	var result ReplyResult
	err := s.inTx(ctx, "time out a question", func(tx pgx.Tx) error {
		result = ReplyResult{}
		if err := s.checkMark(ctx, tx); err != nil {
			return err
		}
		var id int64
		var conversation string
		err := tx.QueryRow(ctx, `select q.id, q.conversation_id::text from question q where `+overdue+` order by q.expires_at limit 1`).
			Scan(&id, &conversation)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("find a question whose time is over: %w", err)
		}
		r := PendingReply{SID: timeoutPrefix + strconv.FormatInt(id, 10), TimedOut: true}
		still, err := r.readQuestion(ctx, tx, id, conversation)
		if err != nil || !still {
			return err
		}
		result.SID = r.SID
		result, err = writeDecided(ctx, tx, &r, decide(r), perHour)
		return err
	})
	return result, err
}

// readQuestion takes the address lock and reads the question; still is false when meanwhile it was answered, or another process has
// decided about it.
func (r *PendingReply) readQuestion(ctx context.Context, tx pgx.Tx, id int64, conversation string) (still bool, err error) {
	if err := r.lock(ctx, tx, conversation); err != nil {
		return false, err
	}
	var askedBy string
	err = tx.QueryRow(ctx, `select q.name, q.answers, q.asked, q.expires_at, q.asked_by, now() from question q where q.id = $1 and `+overdue, id).
		Scan(&r.Question, &r.Answers, &r.Asked, &r.Received, &askedBy, &r.Now)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read a question: %w", err)
	}
	var p pipeline
	r.queueAnswered(&p, `m.origin = 'reply_rule' and m.origin_key = $1`, askedBy)
	if err := p.run(ctx, tx); err != nil {
		return false, fmt.Errorf("read how a question was asked: %w", err)
	}
	return true, nil
}

// PutOffTimeOut lets a question that could not be decided about be due after the wait. When it has been tried so often in vain, it
// is closed as a dead letter and its conversation marked for a human. key is the SID of the result of TimeOutQuestion.
func (s *Store) PutOffTimeOut(ctx context.Context, key, why string, wait time.Duration, most int) (gaveUp bool, err error) {
	id, err := strconv.ParseInt(strings.TrimPrefix(key, timeoutPrefix), 10, 64)
	if err != nil {
		return false, fmt.Errorf("put off a time-out: %q is no key of one", key)
	}
	err = s.inTx(ctx, "put off a time-out", func(tx pgx.Tx) error {
		var conversation string
		if err := tx.QueryRow(ctx, `select conversation_id::text from question where id = $1`, id).Scan(&conversation); err != nil {
			return fmt.Errorf("read a question: %w", err)
		}
		if _, err := lockConversation(ctx, tx, conversation); err != nil {
			return err
		}
		var tries int
		err := tx.QueryRow(ctx, `update question set tries = tries + 1, retry_at = now() + $2::interval where id = $1 and state = 'open'
			returning tries`, id, wait).Scan(&tries)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // somebody else has decided it
		}
		if gaveUp = err == nil && tries >= most; !gaveUp {
			return err
		}
		var p pipeline
		p.exec(`update question set state = 'timed_out' where id = $1`, id)
		p.exec(`update conversation set marked_at = coalesce(marked_at, now()) where id = $1::uuid`, conversation)
		if err := queueReplyDecision(&p, key, DecidedReply{Outcome: notification.DeadLetter, Detail: map[string]any{"error": why}}, ""); err != nil {
			return err
		}
		return p.run(ctx, tx)
	})
	return gaveUp, err
}
