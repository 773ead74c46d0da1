package quiet

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Dates of Easter: US Naval Observatory, "The Date of Easter".
func TestEaster(t *testing.T) {
	t.Parallel()
	for _, day := range []string{
		"2000-04-23", "2008-03-23", "2011-04-24", "2019-04-21", "2024-03-31", "2025-04-20", "2026-04-05", "2027-03-28", "2028-04-16",
		"2029-04-01", "2030-04-21", "2038-04-25", "1961-04-02", "1818-03-22", "2285-03-22",
	} {
		want, err := time.Parse(time.DateOnly, day)
		require.NoError(t, err)
		require.Equal(t, want, easter(want.Year()))
	}
}
