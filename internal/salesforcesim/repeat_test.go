package salesforcesim_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/salesforcesim"
)

func TestRepeatSendsADeliveredNotificationAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &listener{answer: failing(0)}
		o := virtual(t, l, salesforcesim.Config{})
		saved := save(t, o, "Opportunity", salesforcesim.Record{"StageName": "Closed Won"})
		id := saved.Notifications[0]
		require.ErrorIs(t, o.Repeat(id), salesforcesim.ErrNotDelivered)
		drain(t, o)
		save(t, o, "Opportunity", salesforcesim.Record{"StageName": "Closed Won", "Name": "another"})
		require.NoError(t, o.Repeat(id))
		drain(t, o)

		sent := 0
		for _, e := range l.all() {
			for _, n := range e.Notifications {
				if n.ID == string(id) {
					sent++
				}
			}
		}
		require.Equal(t, 2, sent)
		require.Len(t, l.all(), 2, "what is due together goes together")
		stats := o.Stats()
		require.Equal(t, 2, stats.Acked)
		require.Equal(t, 3, stats.AckedTries)
		require.Equal(t, 1, stats.Repeated)
		require.Zero(t, stats.Outstanding)
	})
}
