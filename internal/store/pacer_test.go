package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// passes counts the segments that a pacer lets through when messages of a size are tried every 10 ms of made-up time.
func passes(rate *pacer, from time.Time, during time.Duration, size int) int {
	n := 0
	for at := from; at.Before(from.Add(during)); at = at.Add(10 * time.Millisecond) {
		for rate.now = at; rate.take(size); {
			n += size
		}
	}
	return n
}

func TestPacerHoldsTheRate(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		pace       time.Duration
		size, want int // in a minute
	}{
		"3 a second":               {time.Second / 3, 1, 3*60 + 2},
		"the same as 180 a minute": {time.Minute / 180, 1, 3*60 + 2},
		"3 a second, long ones":    {time.Second / 3, 5, 3*60 + 5},
		"100 a second":             {10 * time.Millisecond, 1, 100*60 + 99},
		"2 a minute":               {30 * time.Second, 1, 2},
		"longer than its rate":     {time.Second, 8, 64},
	} {
		rate := &pacer{pace: c.pace, arrival: began}
		require.Equal(t, c.want, passes(rate, began, time.Minute, c.size), name)
	}
}

func TestPacerAfterARestAndInAHurry(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	rate := &pacer{pace: time.Second / 4, arrival: began.Add(-time.Hour), now: began}
	for range 4 {
		require.True(t, rate.take(1), "a second's worth at once, however long the rest was")
	}
	require.False(t, rate.take(1))
	require.Equal(t, time.Second/4, rate.wait())
	rate.now = rate.now.Add(rate.wait())
	require.True(t, rate.take(9), "a long one passes when its turn comes")
	require.Equal(t, 9*time.Second/4, rate.wait(), "and is paid for by those after it")
	require.True(t, (*pacer)(nil).take(1000), "without a rate")
}
