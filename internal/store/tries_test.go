package store_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

type decideNext = func(context.Context, int, func(store.PendingReply) store.DecidedReply) (store.ReplyResult, error)

// dies decides the next one in a process that ends in the middle of it, and lets its lease be over.
func (l *ledger) dies(next decideNext) {
	l.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = next(context.Background(), 100, func(store.PendingReply) store.DecidedReply {
			runtime.Goexit()
			return store.DecidedReply{}
		})
	}()
	<-done
	again, err := next(l.t.Context(), 100, survey)
	require.NoError(l.t, err)
	require.Empty(l.t, again.SID, "the lease holds")
	l.exec(`update reply_task set due_at = now() where due_at > now()`)
	l.exec(`update question set retry_at = now() where retry_at > now()`)
}

func TestAReplyOfWhichTheProcessDiesEnds(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.accepted(person, message.SMS, "SM1")
	l.reply(store.Reply{SID: "IN1", Body: "rate", Seq: 1})
	l.reply(store.Reply{SID: "IN2", Body: "rate", Seq: 2})
	for range 3 {
		l.dies(l.DecideReply)
	}
	result, err := l.DecideReply(t.Context(), 100, survey)
	require.ErrorIs(t, err, store.ErrDied)
	require.Equal(t, "IN1", result.SID)
	gaveUp, err := l.PutOffReply(t.Context(), result.SID, store.Reason(err), time.Hour)
	require.NoError(t, err)
	require.True(t, gaveUp)
	require.Equal(t, "dead_letter", get[string](l, `select outcome from reply_decision where sid = 'IN1'`))
	require.Equal(t, 1, get[int](l, `select count(*) from conversation where marked_at is not null`))
	l.hears()
	require.Equal(t, "matched", get[string](l, `select outcome from reply_decision where sid = 'IN2'`), "the next one is no worse for it")
}

func TestATimeOutOfWhichTheProcessDiesEnds(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.accepted(person, message.SMS, "SM1")
	l.hears(store.Reply{SID: "IN1", Body: "rate", Seq: 1})
	l.overdue(time.Minute)
	for range 3 {
		l.dies(l.TimeOutQuestion)
	}
	result, err := l.TimeOutQuestion(t.Context(), 100, survey)
	require.ErrorIs(t, err, store.ErrDied)
	gaveUp, err := l.PutOffTimeOut(t.Context(), result.SID, store.Reason(err), time.Hour)
	require.NoError(t, err)
	require.True(t, gaveUp)
	require.Equal(t, "timed_out 1", l.questions())
}

// A server that is away counts nothing.
func TestATryThatTheDatabaseEndsIsNotCounted(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.accepted(person, message.SMS, "SM1")
	l.reply(store.Reply{SID: "IN1", Body: "rate", Seq: 1})
	for _, next := range []decideNext{l.DecideReply, l.TimeOutQuestion} {
		for range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			result, err := next(ctx, 100, func(p store.PendingReply) store.DecidedReply {
				cancel()
				return survey(p)
			})
			cancel()
			require.ErrorIs(t, err, context.Canceled)
			require.NotEmpty(t, result.SID)
			require.Zero(t, get[int](l, `select coalesce(sum(tries), 0) from (select tries from reply_task union all select tries from question) t`))
		}
		result, err := next(t.Context(), 100, survey)
		require.NoError(t, err)
		require.NotEmpty(t, result.SID)
		l.overdue(time.Minute)
	}
	require.Equal(t, "timed_out 1", l.questions()[:11])
}
