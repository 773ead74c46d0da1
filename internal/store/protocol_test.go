package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

// again is a failure after which the same channel may be tried again.
func again(c store.Claimed, sid string, wait time.Duration, budget int) store.StatusEvent {
	e := event(c, sid, message.Undelivered)
	e.ErrorCode, e.Again, e.Doubles, e.Retries = 30003, wait, true, budget
	return e
}

// ripen makes a message that waits for its next try due.
func (l *ledger) ripen(id string) {
	l.t.Helper()
	l.exec(`update message set not_before = now() where id = $1`, id)
	l.makeDue()
}

func (l *ledger) sent(c store.Claimed, sid string) {
	l.t.Helper()
	l.record(outcome(c, message.Accepted, sid))
}

func (l *ledger) claim(channel message.Channel, id string) store.Claimed {
	l.t.Helper()
	l.ripen(id)
	result := l.claimWith(sendOn(channel), id)
	require.Len(l.t, result.Claimed, 1)
	return result.Claimed[0]
}

func TestFailureReportedLaterIsTriedAgainWithinItsBudget(t *testing.T) {
	t.Parallel()
	l := open(t)
	first := l.accepted(person, message.SMS, "SM1")
	id := first.Message.ID
	require.Equal(t, []message.State{message.Queued}, l.apply(again(first, "SM1", 10*time.Minute, 2), again(first, "SM1", 10*time.Minute, 2)))
	m := l.message(id)
	require.Equal(t, message.ReasonRetry, m.Reason)
	require.Equal(t, 30003, m.ErrorCode)
	require.WithinDuration(t, time.Now().Add(10*time.Minute), m.NotBefore, time.Minute)
	require.Empty(t, l.claimWith(sendOn(message.SMS), id).Claimed, "not before the wait is over")
	require.Empty(t, l.sweep(1000, "e"))

	second := l.claim(message.SMS, id)
	require.Equal(t, 1, second.Tries)
	require.Empty(t, l.apply(again(first, "SM1", time.Minute, 2)), "a repeated word of the first attempt while the second is open")
	l.requireStates(second, message.Sending, message.Sending)
	l.sent(second, "SM2")
	l.apply(again(second, "SM2", 10*time.Minute, 2))
	require.WithinDuration(t, time.Now().Add(20*time.Minute), l.message(id).NotBefore, time.Minute, "the wait doubles")

	third := l.claim(message.SMS, id)
	l.sent(third, "SM3")
	require.Equal(t, []message.State{message.Undelivered}, l.apply(again(third, "SM3", 10*time.Minute, 2)))
	require.Equal(t, message.ReasonRetriesExhausted, l.message(id).Reason)
	require.Equal(t, []message.State{message.Delivered}, l.apply(event(third, "SM3", message.Delivered)), "it came after all")
}

func TestLateDeliveryWinsWhileTheNextAttemptIsQueued(t *testing.T) {
	t.Parallel()
	l := open(t)
	first := l.accepted(person, message.SMS, "SM1")
	id := first.Message.ID
	l.apply(again(first, "SM1", time.Minute, 5))
	second := l.claim(message.SMS, id)
	l.sent(second, "SM2")
	l.apply(again(second, "SM2", time.Minute, 5))
	require.Equal(t, message.Queued, l.message(id).State)
	require.Equal(t, []message.State{message.Delivered}, l.apply(event(first, "SM1", message.Delivered)), "an older attempt too")
	l.ripen(id)
	require.Empty(t, l.claimWith(sendOn(message.SMS), id).Claimed, "no second send")
	require.Zero(t, get[int](l, `select count(*) from belt`))
}

func TestDeliveryOfAnOlderAttemptIsNotForgottenWhenTheNewestFails(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*ledger, store.Claimed){
		"by status": func(l *ledger, c store.Claimed) {
			l.sent(c, "SM2")
			l.apply(again(c, "SM2", time.Minute, 5))
		},
		"by refusal": func(l *ledger, c store.Claimed) {
			o := outcome(c, message.Refused, "")
			o.MessageState, o.Reason, o.Try = message.Queued, message.ReasonRetry, true
			l.record(o)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := open(t)
			first := l.accepted(person, message.SMS, "SM1")
			l.apply(again(first, "SM1", time.Minute, 5))
			second := l.claim(message.SMS, first.Message.ID)
			require.Empty(t, l.apply(event(first, "SM1", message.Delivered)), "the newest attempt is open")
			fail(l, second)
			require.Equal(t, message.Delivered, l.message(first.Message.ID).State)
			require.Zero(t, get[int](l, `select count(*) from belt`))
		})
	}
}

func TestEachChannelHasItsOwnBudget(t *testing.T) {
	t.Parallel()
	l := open(t)
	first := l.accepted(person, message.WhatsApp, "SM1")
	id := first.Message.ID
	e := again(first, "SM1", time.Minute, 1)
	e.Fallback = true
	l.apply(e)
	second := l.claim(message.WhatsApp, id)
	require.Equal(t, 1, second.Tries)
	l.sent(second, "SM2")
	e = again(second, "SM2", time.Minute, 1)
	e.Fallback = true
	l.apply(e)
	require.Equal(t, message.ReasonFallback, l.message(id).Reason, "the first channel is used up")
	third := l.claim(message.SMS, id)
	require.Zero(t, third.Tries)
	l.sent(third, "SM3")
	require.Equal(t, []message.State{message.Queued}, l.apply(again(third, "SM3", time.Minute, 1)))
}

func TestRetryThatWouldBeTooLateExpires(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.accepted(person, message.SMS, "SM1")
	require.Equal(t, []message.State{message.Expired}, l.apply(again(c, "SM1", 5*time.Hour, 5)))
	require.Equal(t, message.ReasonValidity, l.message(c.Message.ID).Reason)
	require.Equal(t, []message.State{message.Delivered}, l.apply(event(c, "SM1", message.Delivered)), "an attempt that arrived counts")
}

// A try again that would come too late costs nothing where another channel is left: it goes there while there is time.
func TestRetryThatWouldBeTooLateIsLeftToAnotherChannel(t *testing.T) {
	t.Parallel()
	l := open(t)
	first := l.accepted(person, message.WhatsApp, "SM1")
	e := again(first, "SM1", 5*time.Hour, 5)
	e.Fallback = true
	require.Equal(t, []message.State{message.Queued}, l.apply(e))
	m := l.message(first.Message.ID)
	require.Equal(t, message.ReasonFallback, m.Reason)
	require.WithinDuration(t, time.Now(), m.NotBefore, time.Minute, "at once")
	second := l.claim(message.SMS, m.ID)
	l.sent(second, "SM2")
	e = again(second, "SM2", 5*time.Hour, 5)
	e.Fallback = true
	require.Equal(t, []message.State{message.Expired}, l.apply(e), "there is no further channel")
}

// A callback that comes before the outcome is stored, and names no attempt, is obeyed when its SID is known.
func TestEarlyFailureIsTriedAgain(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.sending(person, message.SMS)
	e := again(c, "SM1", 10*time.Minute, 2)
	e.MessageID, e.AttemptID = "", ""
	require.Empty(t, l.apply(e))
	l.sent(c, "SM1")
	require.Equal(t, message.ReasonRetry, l.message(c.Message.ID).Reason)
	require.WithinDuration(t, time.Now().Add(10*time.Minute), l.message(c.Message.ID).NotBefore, time.Minute)
}

func TestOptOutOfAnUnknownMessageCounts(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.apply(store.StatusEvent{
		SID: "SM9", Status: "undelivered", State: message.Undelivered, ErrorCode: 63014, Received: time.Now(), OptOut: consent.FromErrorCode,
		To: person, Channel: message.WhatsApp,
	})
	states, err := l.Consent(t.Context(), []address.Address{person})
	require.NoError(t, err)
	require.Equal(t, consent.OptOut, states[person].On(message.WhatsApp))
	require.Empty(t, states[person].On(message.SMS))
}

// TestValidity follows the time that a message has: from the first moment at which sending was permitted.
func TestValidity(t *testing.T) {
	t.Parallel()
	l := open(t)
	look := func(id string, verdict store.Verdict) (seen store.Candidate) {
		l.makeDue()
		l.claimWith(func(c store.Candidate) store.Verdict { seen = c; return verdict }, id)
		return seen
	}
	left := func(c store.Candidate) float64 { return c.ExpiresAt.Sub(c.Now).Hours() }
	id := l.queue(person)[0]
	require.InDelta(t, 4, left(look(id, store.Verdict{Wait: 8 * time.Hour, Defer: true})), 0.1, "the default")
	require.WithinDuration(t, time.Now().Add(8*time.Hour), l.message(id).NotBefore, time.Minute)
	l.ripen(id)
	seen := look(id, store.Verdict{Wait: time.Second})
	require.InDelta(t, 4, left(seen), 0.1, "it begins when sending is permitted")
	require.False(t, seen.Permitted)
	l.exec(`update message set permitted_at = now() - interval '1 hour', not_before = now() where id = $1`, id)
	seen = look(id, store.Verdict{Wait: 2 * time.Hour, Defer: true})
	require.True(t, seen.Permitted)
	require.InDelta(t, 3, left(seen), 0.1, "once permitted it runs")
	l.exec(`update message set not_before = now() where id = $1`, id)
	look(id, store.Verdict{Wait: 3 * time.Hour, Defer: true})
	require.Equal(t, message.Expired, l.message(id).State, "it would be too late then")

	id = l.queue("+14155550101")[0]
	l.exec(`update message set expires_after = interval '10 minutes' where id = $1`, id)
	c := l.claim(message.SMS, id)
	require.WithinDuration(t, time.Now().Add(10*time.Minute), c.Expires, time.Minute)
	id = l.queue("+14155550102")[0]
	l.claimWith(func(store.Candidate) store.Verdict { return store.Verdict{Expire: true} }, id)
	l.requireExpired(id)
}

func (l *ledger) requireExpired(id string) {
	l.t.Helper()
	m := l.message(id)
	require.Equal(l.t, message.Expired, m.State)
	require.Equal(l.t, message.ReasonValidity, m.Reason)
}

// Nobody claims these: the sweeper ends them, whether they travel or not.
func TestSweepExpiresWhatIsTooLate(t *testing.T) {
	t.Parallel()
	l := open(t)
	ids := l.queue("+14155550101", "+14155550102", "+14155550103")
	require.NoError(t, l.Travelling(t.Context(), []store.BeltRef{{Org: org, ID: ids[0]}}, []uint64{100}, "e"))
	l.exec(`update message set permitted_at = now() - interval '5 hours' where id in ($1, $2)`, ids[0], ids[1])
	l.makeDue()
	var published []store.BeltRef
	swept, err := l.Sweep(t.Context(), sweepOf(0, "e", 10), func(_ context.Context, refs []store.BeltRef) ([]uint64, error) {
		published = refs
		return []uint64{101}, nil
	})
	require.NoError(t, err)
	require.Equal(t, store.Swept{Looked: 3, Expired: 2}, swept)
	require.Equal(t, []store.BeltRef{{Org: org, ID: ids[2], Sender: sender}}, published)
	l.requireExpired(ids[0])
	l.requireExpired(ids[1])
}

func TestOlderMessageGoesFirst(t *testing.T) {
	t.Parallel()
	l := open(t)
	ids := l.queue(person, person, "+14155550101")
	sms := sendOn(message.SMS)
	result := l.claimWith(sms, ids[1], ids[2])
	require.Len(t, result.Claimed, 1, "another person's")
	require.Equal(t, ids[2], result.Claimed[0].Message.ID)
	require.Equal(t, 1, result.Waiting)

	t.Run("an older one that goes another way holds up nobody", func(t *testing.T) {
		t.Parallel()
		ids := l.queue("+14155550102", "+14155550102")
		result := l.claimWith(func(c store.Candidate) store.Verdict {
			if c.Message.ID == ids[0] {
				return store.Verdict{Send: message.WhatsApp}
			}
			return store.Verdict{Send: message.SMS, Index: 1}
		}, ids[1])
		require.Len(t, result.Claimed, 1)
	})
	t.Run("nor one that waits for a later time, or that will not be sent", func(t *testing.T) {
		t.Parallel()
		for i, verdict := range []store.Verdict{
			{Wait: time.Hour, On: message.SMS, Defer: true}, {Suppress: message.ReasonOptedOut}, {Expire: true},
		} {
			to := address.Address(fmt.Sprintf("+1415555020%d", i))
			ids := l.queue(to, to)
			result := l.claimWith(func(c store.Candidate) store.Verdict {
				if c.Message.ID == ids[0] {
					return verdict
				}
				return store.Verdict{Send: message.SMS, Index: 1}
			}, ids[1])
			require.Len(t, result.Claimed, 1, verdict)
		}
		ids := l.queue("+14155550103", "+14155550103")
		l.exec(`update message set not_before = now() + interval '1 hour' where id = $1`, ids[0])
		require.Len(t, l.claimWith(sms, ids[1]).Claimed, 1)
	})
	t.Run("but one that waits for the channel does", func(t *testing.T) {
		t.Parallel()
		ids := l.queue("+14155550104", "+14155550104")
		result := l.claimWith(func(c store.Candidate) store.Verdict {
			if c.Message.ID == ids[0] {
				return store.Verdict{Wait: time.Minute, On: message.SMS}
			}
			return store.Verdict{Send: message.SMS, Index: 1}
		}, ids[1])
		require.Empty(t, result.Claimed)
	})
	t.Run("another claim that holds the older one and waits for the person's lock does not lose its place", func(t *testing.T) {
		t.Parallel()
		ids := l.queue("+14155550105", "+14155550105")
		tx, err := l.db.Begin(t.Context())
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), `select 1 from message where id = $1 for update`, ids[0])
		require.NoError(t, err)
		require.Empty(t, l.claimWith(sms, ids...).Claimed)
		require.NoError(t, tx.Rollback(t.Context()))
		result := l.claimWith(sms, ids[1], ids[0])
		require.Len(t, result.Claimed, 1)
		require.Equal(t, ids[0], result.Claimed[0].Message.ID)
	})
}

func TestMessageLeavesAFinalStateOnlyWithAnAttemptThatSaysSo(t *testing.T) {
	t.Parallel()
	l := open(t)
	delivered := l.accepted(person, message.SMS, "SM1")
	l.apply(event(delivered, "SM1", message.Delivered))
	failed := l.accepted("+14155550101", message.SMS, "SM2")
	l.apply(event(failed, "SM2", message.Failed))
	suppressed := l.queue("+14155550102")[0]
	l.claimWith(func(store.Candidate) store.Verdict { return store.Verdict{Suppress: message.ReasonOptedOut} }, suppressed)
	set := func(id, state string) error {
		_, err := l.db.Exec(t.Context(), `update message set state = $2 where id = $1`, id, state)
		return err
	}
	for _, state := range []string{"queued", "sent", "undelivered", "read", "suppressed"} {
		require.ErrorContains(t, set(delivered.Message.ID, state), "no attempt says so", state)
	}
	require.ErrorContains(t, set(failed.Message.ID, "delivered"), "no attempt says so")
	require.ErrorContains(t, set(suppressed, "queued"), "no attempt says so")
	require.ErrorContains(t, set(suppressed, "delivered"), "no attempt says so")
	fresh := l.queue("+14155550103")[0]
	require.ErrorContains(t, set(fresh, "delivered"), "message_needs_attempt")
	require.NoError(t, set(failed.Message.ID, "queued"), "its only attempt has failed")
	require.NoError(t, set(failed.Message.ID, "failed"))
}

func TestPolls(t *testing.T) {
	t.Parallel()
	l := open(t)
	due := func() []store.Poll {
		polls, err := l.DuePolls(t.Context(), 10)
		require.NoError(t, err)
		return polls
	}
	stuck := l.accepted(person, message.SMS, "SM1")
	done := l.accepted("+14155550101", message.SMS, "SM2")
	open := l.sending("+14155550102", message.SMS)
	l.apply(event(done, "SM2", message.Delivered))
	require.NoError(t, l.CollectPolls(t.Context(), time.Hour))
	require.Empty(t, due(), "too young")
	l.exec(`update mark set at = now() - interval '1 minute'`)
	require.NoError(t, l.CollectPolls(t.Context(), time.Millisecond))
	require.Equal(t, []store.Poll{{AttemptID: stuck.AttemptID, MessageID: stuck.Message.ID, SID: "SM1", Sender: sender}}, due())
	require.Empty(t, due(), "each at its time")
	require.Equal(t, 2, get[int](l, `select count(*) from poll`), "the open one may come to be stuck")

	l.exec(`update attempt set started_at = now() - interval '5 hours' where id = $1`, stuck.AttemptID)
	l.exec(`update poll set due_at = now()`)
	require.Len(t, due(), 1)
	require.InDelta(t, 5*3600, get[float64](l, `select extract(epoch from due_at - now())::float8 from poll where attempt_id = $1`, stuck.AttemptID),
		60, "again when it is twice as old")
	require.NoError(t, l.PutOffPoll(t.Context(), stuck.AttemptID, time.Minute))
	l.exec(`update attempt set started_at = now() - interval '37 hours' where id = $1`, stuck.AttemptID)
	l.sent(open, "SM3")
	l.apply(event(open, "SM3", message.Read))
	l.exec(`update poll set due_at = now()`)
	require.Empty(t, due(), "it is given up, and the other one is done")
	require.Zero(t, get[int](l, `select count(*) from poll`))
}

// Two pollers take different attempts, and only one of them collects.
func TestPollersShare(t *testing.T) {
	t.Parallel()
	l := open(t)
	for i := range 6 {
		l.accepted(address.Address(fmt.Sprintf("+1415555030%d", i)), message.SMS, fmt.Sprintf("SM%d", i))
	}
	require.NoError(t, l.CollectPolls(t.Context(), time.Hour))
	l.exec(`update mark set at = now() - interval '1 minute'`)
	tx, err := l.db.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `select 1 from mark for update`)
	require.NoError(t, err)
	require.NoError(t, l.CollectPolls(t.Context(), time.Millisecond), "it does not wait")
	require.Zero(t, get[int](l, `select count(*) from poll`))
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, l.CollectPolls(t.Context(), time.Millisecond))
	tx, err = l.db.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `select 1 from poll order by attempt_id limit 2 for update`)
	require.NoError(t, err)
	polls, err := l.DuePolls(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, polls, 4)
	require.NoError(t, tx.Rollback(t.Context()))
}

func TestMarks(t *testing.T) {
	t.Parallel()
	l := open(t)
	at, taken, err := l.TakeMark(t.Context(), "m", time.Hour, false)
	require.NoError(t, err)
	require.True(t, taken)
	require.WithinDuration(t, time.Now(), at, time.Minute)
	_, taken, err = l.TakeMark(t.Context(), "m", time.Hour, false)
	require.NoError(t, err)
	require.False(t, taken)
	later := at.Add(time.Minute)
	require.NoError(t, l.MoveMark(t.Context(), "m", later))
	require.NoError(t, l.MoveMark(t.Context(), "m", at), "never back")
	at, taken, err = l.TakeMark(t.Context(), "m", time.Hour, true)
	require.NoError(t, err)
	require.True(t, taken, "at once")
	require.WithinDuration(t, later, at, time.Millisecond)
	require.NoError(t, l.PutOffMark(t.Context(), "m", 0))
	_, taken, err = l.TakeMark(t.Context(), "m", time.Hour, false)
	require.NoError(t, err)
	require.True(t, taken)
}

func TestSettle(t *testing.T) {
	t.Parallel()
	l := open(t)
	unknown := func(to address.Address) store.Claimed {
		c := l.sending(to, message.SMS)
		l.expire()
		return c
	}
	settle := func(c store.Claimed, sent bool, sid string) (message.State, error) {
		return l.Settle(t.Context(), store.Settlement{MessageID: c.Message.ID, Sent: sent, SID: sid, Operator: "ana", Note: "looked"})
	}
	sent, absent, late := unknown("+14155550101"), unknown("+14155550102"), unknown("+14155550103")
	state, err := settle(sent, true, "SM1")
	require.NoError(t, err)
	require.Equal(t, message.Accepted, state)
	l.requireStates(sent, message.Accepted, message.Accepted)
	require.Equal(t, "SM1", l.message(sent.Message.ID).SID)
	_, err = settle(sent, false, "")
	require.ErrorIs(t, err, store.ErrNotUnknown)
	_, err = settle(absent, true, "SM1")
	require.ErrorIs(t, err, store.ErrSIDTaken)
	l.requireStates(absent, message.Unknown, message.Unknown)
	state, err = settle(absent, false, "")
	require.NoError(t, err)
	require.Equal(t, message.Queued, state)
	require.Equal(t, []message.Channel{message.SMS}, []message.Channel{l.claim(message.SMS, absent.Message.ID).Channel}, "it goes again")
	l.exec(`update message set expires_after = interval '1 microsecond' where id = $1`, late.Message.ID)
	state, err = settle(late, false, "")
	require.NoError(t, err)
	require.Equal(t, message.Expired, state)
	for _, id := range []string{uuid.NewString(), "no id"} {
		_, err = l.Settle(t.Context(), store.Settlement{MessageID: id})
		require.ErrorIs(t, err, store.ErrNotFound)
	}
	require.Equal(t, 3, get[int](l, `select count(*) from audit where operator = 'ana' and action = 'messages settle' and detail->>'note' = 'looked'`))
	for _, sql := range []string{`update audit set operator = 'bob'`, `delete from audit`, `truncate audit`} {
		_, err := l.db.Exec(t.Context(), sql)
		require.ErrorContains(t, err, "only ever added to")
	}
}
