package dispatcher

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// turn is a change of state that a breaker told of.
type turn struct {
	state breakerState
	cause cause
}

func recorded() (*breaker, *[]turn) {
	var turns []turn
	b := newBreaker(5, firstProbe, func(state breakerState, of cause, _ string) { turns = append(turns, turn{state, of}) })
	return b, &turns
}

func admit(t *testing.T, b *breaker, n int) leave {
	t.Helper()
	got, err := b.admit(t.Context(), n)
	require.NoError(t, err)
	return got
}

// trusted is a breaker that has had an answer just now.
func trusted(t *testing.T) (*breaker, *[]turn) {
	t.Helper()
	b, turns := recorded()
	b.answered(admit(t, b, 1).era)
	return b, turns
}

func TestBreakerOpensOnFailuresInARow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, turns := trusted(t)
		era := admit(t, b, 100).era
		for range 3 {
			for range 4 {
				b.failed(era, "a time-out")
			}
			require.Empty(t, *turns)
			b.answered(era)
		}
		for range 5 {
			b.failed(era, "a time-out")
		}
		require.Equal(t, []turn{{stateOpen, causeOutage}}, *turns)
		require.Equal(t, "a time-out", b.reason())
		for range 50 { // the others that were in flight
			b.failed(era, "a time-out")
			b.answered(era)
		}
		require.Len(t, *turns, 1, "what began before is no news")
		_, err := b.admit(t.Context(), 1)
		require.ErrorIs(t, err, errShut)
	})
}

func TestBreakerProbesAtGrowingIntervals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, turns := trusted(t)
		b.stop(admit(t, b, 10).era, causeAccount, "wrong credentials")
		for _, seconds := range []int{5, 10, 20, 40, 80, 120, 120} {
			began := time.Now()
			require.NoError(t, b.ready(t.Context()))
			require.InEpsilon(t, float64(seconds), time.Since(began).Seconds(), 0.21)
			probe := admit(t, b, 10)
			require.Equal(t, 1, probe.calls, "exactly one")
			_, err := b.admit(t.Context(), 10)
			require.ErrorIs(t, err, errShut)
			b.stop(probe.era, causeAccount, "wrong credentials")
		}
		require.NoError(t, b.ready(t.Context()))
		was, now := b.answered(admit(t, b, 10).era)
		require.True(t, now)
		require.Equal(t, causeAccount, was)
		require.Empty(t, b.reason())
		require.Equal(t, 10, admit(t, b, 10).calls, "at once as many as want to")
		require.Equal(t, turn{stateClosed, causeAccount}, (*turns)[len(*turns)-1])
		b.stop(b.era, causeAccount, "again") // what fails again soon is not asked more often for it
		require.Greater(t, b.left(), 90*time.Second)
	})
}

func TestBreakerProbeThatNeverBeganGoesToTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, _ := trusted(t)
		b.shut(causeAccount, "a sibling was told")
		require.NoError(t, b.ready(t.Context()))
		probe := admit(t, b, 3)
		waited := make(chan time.Time)
		go func() {
			if b.ready(t.Context()) == nil {
				waited <- time.Now()
			}
		}()
		synctest.Wait()
		began := time.Now()
		b.release(probe, 1)
		require.Equal(t, began, <-waited)
		require.Equal(t, 1, admit(t, b, 3).calls)
	})
}

func TestBreakerFeelsItsWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, _ := recorded()
		first := admit(t, b, 100)
		require.Equal(t, 5, first.calls, "nobody knows yet how Twilio is")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := b.admit(ctx, 100)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		go func() {
			time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
			b.answered(first.era)
		}()
		began := time.Now()
		require.Equal(t, 100, admit(t, b, 100).calls)
		require.Equal(t, time.Second, time.Since(began), "the answer lets the others go")
		b.failed(b.era, "a time-out")
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = b.admit(ctx, 1)
		require.ErrorIs(t, err, context.DeadlineExceeded, "with too many in flight, none is added in doubt")
		b.answered(b.era)
		require.Equal(t, 7, admit(t, b, 7).calls)
		for range 110 {
			b.answered(b.era)
		}
		_ = sleep(t.Context(), trust+time.Second)
		b.inFlight = 0
		require.Equal(t, 5, admit(t, b, 100).calls, "an old answer says nothing of now")
	})
}

func TestBreakerHoldsAndDoesNotAlarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, turns := trusted(t)
		began := time.Now()
		b.hold(10 * time.Second)
		b.hold(5 * time.Second) // never shorter
		_, err := b.admit(t.Context(), 1)
		require.ErrorIs(t, err, errShut)
		go func() {
			_ = sleep(t.Context(), 4*time.Second)
			b.hold(26 * time.Second) // while somebody waits
		}()
		require.NoError(t, b.ready(t.Context()))
		require.Equal(t, 30*time.Second, time.Since(began))
		require.Empty(t, *turns)
		b.hold(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, b.ready(ctx), context.DeadlineExceeded)
	})
}

func TestBreakerOfASiblingIsReset(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, turns := trusted(t)
		b.shut(causeAccount, "suspended")
		left := b.left()
		b.shut(causeAccount, "suspended")
		require.Equal(t, left, b.left(), "told twice, it waits no longer")
		b.reset(causeSender)
		require.NotEmpty(t, b.reason())
		b.reset(causeAccount)
		require.Empty(t, b.reason())
		require.Equal(t, 9, admit(t, b, 9).calls)
		require.Equal(t, []turn{{stateOpen, causeAccount}, {stateClosed, causeAccount}}, *turns)
	})
}
