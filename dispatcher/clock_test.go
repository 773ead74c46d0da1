package dispatcher

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

// A machine that slept between claim and call: its monotonic clock stood still, and the lease is over elsewhere.
func TestDeadlineByEitherClock(t *testing.T) {
	t.Parallel()
	require.False(t, deadlineIn(time.Minute).over())
	require.True(t, deadlineIn(-time.Minute).over())
	slept := deadlineIn(time.Minute)
	slept.wall = slept.wall.Add(-time.Hour)
	require.True(t, slept.over(), "by the wall clock")
	setBack := deadlineIn(-time.Minute)
	setBack.wall = setBack.wall.Add(time.Hour)
	require.True(t, setBack.over(), "by the monotonic clock")

	d := bare(everySender()) // it has no Twilio: a call would panic
	d.recorder = newRecorder(nil, d.metrics, d.Log)
	d.send(t.Context(), store.Claimed{AttemptID: "a"}, slept, leave{calls: 1})
	outcome := <-d.recorder.in
	require.Equal(t, message.Canceled, outcome.State)
	require.Equal(t, message.Queued, outcome.MessageState)
}

// shifted is a ledger whose clock was wrong when attempts began.
type shifted struct {
	Ledger

	by time.Duration
}

func (s shifted) DueLookups(ctx context.Context, limit int, again time.Duration) ([]store.Lookup, error) {
	lookups, err := s.Ledger.DueLookups(ctx, limit, again)
	for i := range lookups {
		lookups[i].StartedAt, lookups[i].LeaseUntil = lookups[i].StartedAt.Add(s.by), lookups[i].LeaseUntil.Add(s.by)
	}
	return lookups, err
}

// A message that Twilio has is never proven absent by a clock.
func TestWrongDatabaseClockProvesNoAbsence(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]time.Duration{"an hour fast": time.Hour, "an hour slow": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, twiliosim.Config{})
			w.shut.Store(true) // no callback tells us
			config := w.config()
			config.Ledger = shifted{w.Store, by}
			w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.LoseAnswer, To: string(person)})
			w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.LoseAnswer, To: "whatsapp:" + string(person)})
			w.run(config)
			for _, id := range w.queue(sms(person, "hello"), wa(person)) {
				w.becomes(id, message.Unknown)
				require.True(t, w.wait(func() bool {
					return w.number(`select count(*) from attempt where message_id = $1::uuid and detail like 'Twilio has a message%'`, id) == 1
				}), "it is a doubt")
				require.Equal(t, message.Unknown, w.message(id).State)
			}
			require.Len(t, w.outbound(), 2)
		})
	}
}
