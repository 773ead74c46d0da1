package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

// permutations of n numbers.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var out [][]int
	for _, shorter := range permutations(n - 1) {
		for at := range n {
			one := append(append(append([]int{}, shorter[:at]...), n-1), shorter[at:]...)
			out = append(out, one)
		}
	}
	return out
}

// TestStatusMovesForward applies five events in every order, one by one and all at once.
func TestStatusMovesForward(t *testing.T) {
	t.Parallel()
	l := open(t)
	states := []message.State{message.Sent, message.Delivered, message.Read, message.Undelivered, message.Failed}
	orders := permutations(len(states))
	require.Len(t, orders, 120)
	var single, batched []store.StatusEvent
	want := map[string]message.State{}
	expected := map[string][]message.State{}
	for n, order := range orders {
		to := address.Address(fmt.Sprintf("+1415556%04d", n))
		one := l.accepted(to, message.SMS, fmt.Sprintf("SM-one-%d", n))
		all := l.accepted(to, message.WhatsApp, fmt.Sprintf("SM-all-%d", n))
		state := message.Accepted
		var path []message.State
		for _, i := range order {
			if state.Before(states[i]) {
				state = states[i]
				path = append(path, state)
			}
			single = append(single, event(one, fmt.Sprintf("SM-one-%d", n), states[i]))
			batched = append(batched, event(all, fmt.Sprintf("SM-all-%d", n), states[i]))
		}
		want[one.Message.ID], want[all.Message.ID] = state, state
		expected[one.Message.ID] = path
		require.Equal(t, message.Read, state, "read says that it was read, whatever else was said")
	}
	got := map[string][]message.State{}
	for _, e := range single {
		got[e.MessageID] = append(got[e.MessageID], l.apply(e)...)
	}
	require.Equal(t, expected, got)
	l.apply(batched...)
	require.Empty(t, l.apply(append(single, batched...)...), "repeated")
	require.Equal(t, len(single)+len(batched), get[int](l, `select count(*) from delivery_event`))
	require.NoError(t, l.Messages(t.Context(), store.MessageFilter{}, func(m message.Message) error {
		require.Equal(t, want[m.ID], m.State)
		return nil
	}))
}

func TestFinalStatesStay(t *testing.T) {
	t.Parallel()
	for _, first := range []message.State{message.Delivered, message.Undelivered, message.Failed} {
		for _, then := range []message.State{message.Sent, message.Delivered, message.Undelivered, message.Failed} {
			t.Run(string(first+" "+then), func(t *testing.T) {
				t.Parallel()
				l := open(t)
				c := l.accepted(person, message.SMS, "SM1")
				l.apply(event(c, "SM1", first))
				require.Empty(t, l.apply(event(c, "SM1", then)))
				l.requireStates(c, first, first)
			})
		}
	}
}

func failure(c store.Claimed, sid string) store.StatusEvent {
	e := event(c, sid, message.Undelivered)
	e.ErrorCode, e.Fallback = 63024, true
	return e
}

func TestFallback(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.accepted(person, message.WhatsApp, "SM1")
	require.Equal(t, []message.State{message.Queued}, l.apply(failure(c, "SM1"), failure(c, "SM1")))
	require.Empty(t, l.apply(failure(c, "SM1")))
	l.requireStates(c, message.Queued, message.Undelivered)
	m := l.message(c.Message.ID)
	require.Equal(t, message.ReasonFallback, m.Reason)
	require.Equal(t, 63024, m.ErrorCode)
	require.Equal(t, []string{m.ID}, l.sweep(0, "e"))

	result := l.claimWith(func(c store.Candidate) store.Verdict {
		require.Equal(t, 1, c.NextChannel)
		return sendOn(message.SMS)(c)
	}, m.ID)
	second := result.Claimed[0]
	require.Empty(t, l.apply(event(c, "SM1", message.Read)), "an older attempt's word")
	l.requireStates(c, message.Sending, message.Read)
	require.Empty(t, l.apply(failure(c, "SM1")))
	l.record(outcome(second, message.Accepted, "SM2"))
	require.Equal(t, []message.State{message.Undelivered}, l.apply(failure(second, "SM2")), "no channel is left")
	require.Equal(t, message.ReasonDelivery, l.message(m.ID).Reason)
}

func TestFallbackRecalled(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.accepted(person, message.WhatsApp, "SM1")
	l.apply(failure(c, "SM1"))
	require.Equal(t, []message.State{message.Read}, l.apply(event(c, "SM1", message.Read)), "it was read before the next channel was tried")
	l.requireStates(c, message.Read, message.Read)
}

func TestStatusOptOut(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.accepted(person, message.SMS, "SM1")
	e := event(c, "SM1", message.Failed)
	e.ErrorCode, e.OptOut = 21610, consent.FromErrorCode
	l.apply(e)
	l.apply(e)
	entries, err := l.ConsentHistory(t.Context(), person)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, message.SMS, entries[0].Channel)
	require.Equal(t, "SM1", entries[0].Evidence)
	require.Equal(t, org, entries[0].Org)
	require.NotContains(t, entries[0].Note, string(person))
}

func TestStatusBindsUnknownAttempt(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.sending(person, message.SMS)
	l.expire()
	require.Equal(t, []message.State{message.Accepted}, l.apply(event(c, "SM1", message.Accepted)))
	l.requireStates(c, message.Accepted, message.Accepted)
	require.Equal(t, "SM1", l.message(c.Message.ID).SID)
	require.Empty(t, l.apply(event(c, "SM2", message.Delivered)), "another SID is not this attempt's")
	l.requireStates(c, message.Accepted, message.Accepted)
	require.Equal(t, 2, get[int](l, `select count(*) from delivery_event`), "but kept")
}

func TestStatusOfAbsentAttempt(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.absent(person)
	require.Equal(t, []message.State{message.Sent}, l.apply(event(c, "SM1", message.Sent)))
	l.requireStates(c, message.Sent, message.Sent)
	require.Empty(t, l.claimWith(sendOn(message.SMS), c.Message.ID).Claimed, "it is not sent again")

	c = l.absent("+14155550101")
	again := l.claimWith(sendOn(message.SMS), c.Message.ID).Claimed[0]
	require.Empty(t, l.apply(event(c, "SM2", message.Delivered)))
	l.requireStates(again, message.Sending, message.Sending)
	l.requireStates(c, message.Sending, message.Delivered)
}

func TestDatabaseRefusesBackward(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.accepted(person, message.SMS, "SM1")
	for _, state := range []string{"sending", "unknown"} {
		_, err := l.db.Exec(t.Context(), `update attempt set state = $1`, state)
		require.ErrorContains(t, err, "can not go back")
	}
	c := l.accepted("+14155550101", message.SMS, "SM2")
	l.apply(event(c, "SM2", message.Delivered))
	_, err := l.db.Exec(t.Context(), `update attempt set state = 'failed' where id = $1`, c.AttemptID)
	require.ErrorContains(t, err, "can not go back")
}

func TestStateRank(t *testing.T) {
	t.Parallel()
	l := open(t)
	all := append(message.States(), message.Absent, message.Canceled, message.Refused)
	for _, a := range all {
		for _, b := range all {
			require.Equal(t, a.Before(b), get[bool](l, `select state_rank($1) < state_rank($2)`, string(a), string(b)), "%s before %s", a, b)
		}
	}
}

// TestWritersDoNotBlockEachOther records, applies and expires the same attempts from many sides.
func TestWritersDoNotBlockEachOther(t *testing.T) {
	t.Parallel()
	l := open(t)
	const people = 12
	var first, second []store.Claimed
	for i := range people {
		to := address.Address(fmt.Sprintf("+1415557%04d", i))
		c := l.accepted(to, message.WhatsApp, fmt.Sprintf("SM-%d-1", i))
		l.apply(failure(c, fmt.Sprintf("SM-%d-1", i)))
		first = append(first, c)
		second = append(second, l.claimWith(sendOn(message.SMS), c.Message.ID).Claimed...)
	}
	require.Len(t, second, people)
	l.exec(`update live_attempt set lease_until = now() - interval '1 second'`)
	order := func() []int { return rand.Perm(people) }
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 10 {
				var events []store.StatusEvent
				for _, i := range order() {
					old := event(first[i], fmt.Sprintf("SM-%d-1", i), message.Read)
					fresh := event(second[i], fmt.Sprintf("SM-%d-2", i), message.Failed)
					fresh.OptOut = consent.FromErrorCode
					events = append(events, fresh, old)
				}
				if _, err := l.ApplyStatus(t.Context(), events); err != nil {
					t.Error(err)
				}
			}
		})
		wait.Go(func() {
			for range 10 {
				var outcomes []store.Outcome
				for _, i := range order() {
					o := outcome(second[i], message.Accepted, fmt.Sprintf("SM-%d-2", i))
					o.Consent = &consent.Entry{
						Org: org, Address: second[i].Message.To, Channel: message.SMS, Action: consent.OptIn, Source: consent.FromKeyword, Evidence: "x",
						OccurredAt: time.Now(),
					}
					outcomes = append(outcomes, o)
				}
				if err := l.Record(t.Context(), outcomes); err != nil {
					t.Error(err)
				}
				if _, err := l.ExpireLeases(t.Context(), time.Minute); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	for _, c := range second {
		l.requireStates(c, message.Failed, message.Failed)
	}
	require.Equal(t, 2*people, get[int](l, `select count(*) from consent`))
	require.Zero(t, get[int](l, `select deadlocks from pg_stat_database where datname = current_database()`))
}

// A status that has to wait for another transaction on its attempt is applied when that is over, not lost: Postgres looks at
// the row again then, and must find that it is still the one.
func TestStatusThatWaitsForItsAttempt(t *testing.T) {
	t.Parallel()
	l := open(t)
	c, other := l.accepted(person, message.SMS, "SM1"), l.accepted(person, message.WhatsApp, "SM2")
	l.apply(event(c, "SM1", message.Sent))
	tx, err := l.db.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `update attempt set updated_at = now()`)
	require.NoError(t, err)
	applied := make(chan error, 1)
	go func() {
		_, err := l.ApplyStatus(context.Background(), []store.StatusEvent{
			event(c, "SM1", message.Delivered), event(other, "SM2", message.Delivered),
		})
		applied <- err
	}()
	require.Eventually(t, func() bool {
		return get[int](l, `select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`) > 0
	}, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-applied)
	require.Equal(t, 2, get[int](l, `select count(*) from attempt where state = 'delivered'`))
	require.Equal(t, 2, get[int](l, `select count(*) from message where state = 'delivered'`))
}
