package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// timeoutPrefix begins the key of what comes of a question's time-out, where the SID of a reply stands else.
const timeoutPrefix = "timeout/"

// overdue are questions q whose time is over. A reply that came before that goes first: then it is decided, perhaps as the answer,
// and only then is the question asked for again. Of the replies only the one that is next counts, as DecideReply takes no other.
const overdue = `q.state = 'open' and q.expires_at <= now()
	and not exists (select from reply_task t join inbound i on i.sid = t.sid
		where t.conversation_id = q.conversation_id and i.received_at < q.expires_at and not exists (select from reply_task o
			where o.conversation_id = t.conversation_id and (o.seq, o.sid) < (t.seq, t.sid)))`

// TimeOutQuestion decides what becomes of the next question that has got no answer in its time, exactly once: the decision and all
// that comes of it are one transaction, under the lock of the address, so that of an answer and the time-out one alone counts. The
// result has an empty SID when no question waits. A question waits while a reply may come that was received in its time. Tries are
// counted as by DecideReply. decide must be pure.
func (s *Store) TimeOutQuestion(ctx context.Context, b ReplyBounds, decide func(PendingReply) DecidedReply) (ReplyResult, error) {
	return s.try(ctx, tries{
		begin: `update question set tries = tries + 1, retry_at = now() + $1::interval where id = (
			select q.id from question q where ` + overdue + ` and coalesce(q.retry_at <= now(), true)
			and q.expires_at <= now() - $2::interval order by q.expires_at limit 1 for update skip locked) returning '` + timeoutPrefix + `' || id, tries`,
		args:   []any{replyLease, b.Since},
		forget: `update question set tries = tries - 1, retry_at = null where '` + timeoutPrefix + `' || id = $1 and state = 'open'`,
		read:   readQuestion,
	}, b.PerHour, decide)
}

// readQuestion takes the address lock and reads the question; nil when meanwhile it was answered, or another process has decided about
// it.
func readQuestion(ctx context.Context, tx pgx.Tx, key string) (*PendingReply, error) {
	r := PendingReply{SID: key, TimedOut: true}
	id, err := questionID(key)
	if err != nil {
		return nil, err
	}
	var conversation string
	if err := tx.QueryRow(ctx, `select conversation_id::text from question where id = $1`, id).Scan(&conversation); err != nil {
		return nil, fmt.Errorf("read a question: %w", err)
	}
	if err := r.lock(ctx, tx, conversation); err != nil {
		return nil, err
	}
	var askedBy string
	err = tx.QueryRow(ctx, `select q.name, q.answers, q.asked, q.expires_at, q.asked_by, now() from question q where q.id = $1 and `+overdue, id).
		Scan(&r.Question, &r.Answers, &r.Asked, &r.Received, &askedBy, &r.Now)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // nothing is wrong
	}
	if err != nil {
		return nil, fmt.Errorf("read a question: %w", err)
	}
	var p pipeline
	r.queueAnswered(&p, `m.origin = 'reply_rule' and m.origin_key = $1`, askedBy)
	if err := p.run(ctx, tx); err != nil {
		return nil, fmt.Errorf("read how a question was asked: %w", err)
	}
	return &r, nil
}
