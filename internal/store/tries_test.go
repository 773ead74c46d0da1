package store_test

import (
	"context"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

type decideNext = func(context.Context, store.ReplyBounds, func(store.PendingReply) store.DecidedReply) (store.ReplyResult, error)

// dies decides the next one in a process that ends in the middle of it, and lets its lease be over.
func (l *ledger) dies(next decideNext) {
	l.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = next(context.Background(), everyReply(), func(store.PendingReply) store.DecidedReply {
			runtime.Goexit()
			return store.DecidedReply{}
		})
	}()
	<-done
	again, err := next(l.t.Context(), everyReply(), survey)
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
	result, err := l.DecideReply(t.Context(), everyReply(), survey)
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
	result, err := l.TimeOutQuestion(t.Context(), everyReply(), survey)
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
			result, err := next(ctx, everyReply(), func(p store.PendingReply) store.DecidedReply {
				cancel()
				return survey(p)
			})
			cancel()
			require.ErrorIs(t, err, context.Canceled)
			require.NotEmpty(t, result.SID)
			require.Zero(t, get[int](l, `select coalesce(sum(tries), 0) from (select tries from reply_task union all select tries from question) t`))
		}
		result, err := next(t.Context(), everyReply(), survey)
		require.NoError(t, err)
		require.NotEmpty(t, result.SID)
		l.overdue(time.Minute)
	}
	require.Equal(t, "timed_out 1", l.questions()[:11])
}

// What turns out to be done, or to have to wait, was no try.
func TestATryThatFindsNothingIsNotCounted(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.accepted(person, message.SMS, "SM1")
	l.hears(store.Reply{SID: "IN1", Body: "rate", Seq: 1})
	l.overdue(time.Minute)
	held := l.holds(person)
	done := make(chan store.ReplyResult, 1)
	go func() {
		result, err := l.TimeOutQuestion(context.Background(), everyReply(), survey)
		assert.NoError(t, err)
		done <- result
	}()
	l.becomes(waitsForLock, 1)
	require.Equal(t, 1, get[int](l, `select tries from question`))
	l.exec(`update question set expires_at = now() + interval '1 hour'`)
	require.NoError(t, held.Commit(t.Context()))
	require.Empty(t, (<-done).SID)
	require.Zero(t, get[int](l, `select tries from question`))
	l.overdue(time.Minute)
	require.NotEmpty(t, l.timeOut().SID, "it need not wait for a lease")
}

// everyReply is what a router knows when the dispatchers have worked on all replies.
func everyReply() store.ReplyBounds { return store.ReplyBounds{PerHour: 100, Settled: math.MaxUint64} }

// Several dispatchers store replies, and the second may be there first.
func TestRepliesAreDecidedInTheirOrder(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.accepted(person, message.SMS, "SM1")
	var order []string
	decide := func(settled uint64) {
		for {
			result, err := l.DecideReply(t.Context(), store.ReplyBounds{PerHour: 100, Settled: settled}, survey)
			require.NoError(t, err)
			if result.SID == "" {
				return
			}
			order = append(order, result.SID)
		}
	}
	l.reply(store.Reply{SID: "IN5", Body: "1", Seq: 5})
	decide(3)
	require.Empty(t, order, "the fourth may be theirs")
	l.reply(store.Reply{SID: "IN4", Body: "rate", Seq: 4})
	decide(5)
	require.Equal(t, []string{"IN4", "IN5"}, order)
	l.reply(store.Reply{SID: "IN6", Body: "x", Seq: 6})
	decide(1)
	l.exec(`update reply_task set created_at = now() - interval '2 minutes'`)
	decide(1)
	require.Equal(t, []string{"IN4", "IN5", "IN6"}, order, "a stream that was made anew has other places")
}

func TestAQuestionWaitsForRepliesThatMayCome(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.accepted(person, message.SMS, "SM1")
	l.hears(store.Reply{SID: "IN1", Body: "rate", Seq: 1})
	l.overdue(time.Minute)
	bounds := everyReply()
	bounds.Since = 2 * time.Minute
	result, err := l.TimeOutQuestion(t.Context(), bounds, survey)
	require.NoError(t, err)
	require.Empty(t, result.SID, "what was received a minute ago may still come")
	l.hears(store.Reply{SID: "IN2", Body: "price", Seq: 2, Received: time.Now().Add(-90 * time.Second)})
	require.Equal(t, "answered 1", l.questions())
}
