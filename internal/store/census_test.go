package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

func TestCensusShowsEverything(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.decide(ignore, envelope(1, note(1, 1)))
	l.decide(ignore, envelope(2, note(1, 1)))
	sent := l.accepted("+12125550101", message.SMS, "SM1")
	open := l.sending("+12125550102", message.SMS)
	l.queue("+12125550103")

	census, err := l.Census(t.Context())
	require.NoError(t, err)
	outcomes := map[notification.Outcome]int{}
	for _, n := range census.Notifications {
		outcomes[n.Outcome]++
		require.WithinDuration(t, time.Now(), n.DecidedAt, time.Minute)
		if n.ID == noteID(1) {
			require.Equal(t, 1, n.Repeats)
		}
	}
	require.Equal(t, map[notification.Outcome]int{notification.NoMatch: 1, notification.Matched: 3}, outcomes)
	states := map[string]message.State{}
	for _, m := range census.Messages {
		states[string(m.To)] = m.State
	}
	require.Equal(t, map[string]message.State{
		"+12125550101": message.Accepted, "+12125550102": message.Sending, "+12125550103": message.Queued,
	}, states)
	attempts := map[string]string{}
	for _, a := range census.Attempts {
		attempts[a.ID] = a.MessageID + " " + string(a.State) + " " + a.SID
	}
	require.Equal(t, map[string]string{
		sent.AttemptID: sent.Message.ID + " accepted SM1", open.AttemptID: open.Message.ID + " sending ",
	}, attempts)

	queued, unfinished, err := l.InMotion(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{1, 1}, []int{queued, unfinished})
}
