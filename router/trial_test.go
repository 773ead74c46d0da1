package router

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

// mortalLedger dies over one notification: from then on it does nothing any more, also not what an orderly end would do.
type mortalLedger struct {
	Ledger

	culprit notification.ID
	died    chan struct{}
	dead    atomic.Bool
	tried   *atomic.Int64
}

var errDead = errors.New("the process is dead")

func (m *mortalLedger) Decide(ctx context.Context, envelopes []store.Envelope, decide func(store.Pending) store.Decided) (*store.DecideResult, error) {
	return m.Ledger.Decide(ctx, envelopes, func(p store.Pending) store.Decided {
		decided := decide(p)
		if p.Notification.ID == m.culprit && decided.Outcome != notification.DeadLetter {
			m.tried.Add(1)
			if m.dead.CompareAndSwap(false, true) {
				close(m.died)
			}
			<-ctx.Done()
		}
		return decided
	})
}

func (m *mortalLedger) EndTrial(ctx context.Context, trial store.Trial, brokenOff bool) error {
	if m.dead.Load() {
		return errDead
	}
	return m.Ledger.EndTrial(ctx, trial, brokenOff)
}

func TestANotificationThatKillsTheProcessIsTriedAloneAndGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, welcome)
	var all []notification.Notification
	for i := range 10 {
		all = append(all, w.won(strconv.Itoa(i), fmt.Sprintf("+1415555%04d", i)))
	}
	w.send(actionA, all[:3]...)
	w.send(actionA, all[3:7]...)
	w.send(actionA, all[7:]...)
	var tried atomic.Int64
	for range 12 {
		if life(w, all[5].ID, &tried) {
			break
		}
	}
	w.run(w.config())
	w.settled()
	letters := w.letters()
	require.Len(t, letters, 1)
	require.Equal(t, all[5].ID, letters[0].Only)
	require.Contains(t, letters[0].Reason, errDied.Error())
	require.Len(t, letters[0].History, lastTrial+1)
	require.Contains(t, letters[0].History[0], "begun, and the process ended before it was done")
	require.LessOrEqual(t, tried.Load(), int64(suspectAfter+lastTrial), "not round and round")
	require.Len(t, w.made(), 9, "never with its neighbours")
	require.Equal(t, 9, w.decided(notification.Matched))
	require.Equal(t, 1, w.decided(notification.DeadLetter))
	require.Zero(t, w.number(`select count(*) from trial`))
}

// life is one life of a process; it tells whether it ended with all work done.
func life(w *world, culprit notification.ID, tried *atomic.Int64) bool {
	ledger := &mortalLedger{Ledger: w.Store, culprit: culprit, died: make(chan struct{}), tried: tried}
	config := w.config()
	config.Ledger = ledger
	r, err := New(config)
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	last := w.last(stream.Notifications)
	done := w.wait(func() bool {
		floor, err := w.belt.Consumer(stream.Router).AckFloor(context.Background())
		return ledger.dead.Load() || err == nil && floor >= last
	})
	require.True(w.t, done)
	cancel()
	<-ended
	return !ledger.dead.Load()
}

// Postgres being away through many restarts is nobody's fault: nothing is counted.
func TestRestartsWhilePostgresIsAwayCountNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, welcome)
	w.send(actionA, w.won("1", "+14155550100"))
	away := &awayLedger{Ledger: w.Store}
	for range suspectAfter + lastTrial + 4 {
		config := w.config()
		config.Ledger = away
		before := away.asked.Load()
		stop := w.run(config)
		require.True(t, w.wait(func() bool { return away.asked.Load() > before }))
		stop()
	}
	w.run(w.config())
	w.settled()
	require.Len(t, w.made(), 1)
	require.Empty(t, w.letters())
}

// awayLedger begins trials and decides nothing.
type awayLedger struct {
	Ledger

	asked atomic.Int64
}

func (a *awayLedger) Decide(context.Context, []store.Envelope, func(store.Pending) store.Decided) (*store.DecideResult, error) {
	a.asked.Add(1)
	return nil, context.DeadlineExceeded
}

// slowLedger takes longer over a group than the server waits for an answer.
type slowLedger struct {
	Ledger

	wait  time.Duration
	calls atomic.Int64
}

func (s *slowLedger) Decide(ctx context.Context, e []store.Envelope, decide func(store.Pending) store.Decided) (*store.DecideResult, error) {
	if s.calls.Add(1) == 1 {
		pause(ctx, s.wait)
	}
	return s.Ledger.Decide(ctx, e, decide)
}

// Also the group that waits behind the long one is kept from coming again.
func TestLongWorkIsInProgress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, welcome)
	const ackWait = keepAlive + 2*time.Second
	belt, err := stream.Open(t.Context(), w.nc, stream.Options{AckWait: ackWait})
	require.NoError(t, err)
	t.Cleanup(belt.Close)
	config := w.config()
	ledger := &slowLedger{Ledger: w.Store, wait: 2 * ackWait}
	config.Ledger, config.Batch = ledger, 1
	w.send(actionA, w.won("1", "+14155550100"))
	w.send(actionA, w.won("2", "+14155550101"))
	w.run(config)
	w.settled()
	require.Equal(t, int64(2), ledger.calls.Load(), "each was delivered once")
	require.Len(t, w.made(), 2)
}
