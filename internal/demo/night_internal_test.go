package demo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
)

// The story goes the same way at any time of any day.
func TestItIsAlwaysNightSomewhere(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	places := map[string]bool{}
	for now := start; now.Before(start.AddDate(1, 0, 0)); now = now.Add(30 * time.Minute) {
		where, err := nightAt(now)
		require.NoError(t, err)
		places[where.place] = true
		number, err := address.Parse(string(where.number), "US")
		require.NoError(t, err, where.place)
		require.Equal(t, where.number, number)
	}
	require.Len(t, places, 3)
}
