package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/stream/streamtest"
)

const clusterPatience = 50 * time.Second // the machine may be busy with other tests

// Several processes bring up the same streams at once; a stream's leader is killed, then a second node, while they publish:
// what is confirmed is stored and delivered, what can't be stored is not confirmed, and all works again by itself.
func TestCluster(t *testing.T) {
	t.Parallel()
	cluster := streamtest.StartCluster(t)
	clients := openTogether(t, cluster, 4)
	c := clients[0]
	requireReplicated(t, c)
	epoch, err := c.Epoch(t.Context())
	require.NoError(t, err)

	load := startLoad(t, clients)
	load.awaitMore(t, 200)
	first := cluster.Leader(t, string(Notifications))
	cluster.Kill(t, first)
	load.awaitMore(t, 200)
	requireEpoch(t, clients, epoch)

	second := cluster.Leader(t, string(Notifications))
	cluster.Kill(t, second)
	load.awaitRefusals(t)
	for range 20 { // also when a node that was left alone answers for its stream
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		require.ErrorIs(t, c.Ready(ctx), ErrUnavailable, "without a majority it is not ready")
		cancel()
		sleep(t.Context(), 100*time.Millisecond)
	}

	cluster.Start(t, first)
	load.awaitMore(t, 200)
	requireEpoch(t, clients, epoch)
	require.Eventually(t, func() bool { return c.Ready(t.Context()) == nil }, clusterPatience, 50*time.Millisecond, "two of three are enough")
	load.stop()
	load.requireAllDelivered(t, c)
}

// openTogether opens clients at the same moment, as processes that start together do.
func openTogether(t *testing.T, cluster *streamtest.Cluster, n int) []*Client {
	t.Helper()
	clients, errs := make([]*Client, n), make([]error, n)
	var opening sync.WaitGroup
	for i := range n {
		nc := cluster.Connect(t)
		opening.Go(func() {
			// A question may get lost in a change of leaders: serve asks again, too.
			for began := time.Now(); time.Since(began) < clusterPatience; {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				clients[i], errs[i] = Open(ctx, nc, Options{Replicas: 3, ConfirmTimeout: 3 * time.Second, AckWait: 5 * time.Second})
				cancel()
				if errs[i] == nil || errors.Is(errs[i], ErrIncompatible) {
					return
				}
			}
		})
	}
	opening.Wait()
	for i, c := range clients {
		require.NoError(t, errs[i])
		t.Cleanup(c.Close)
	}
	return clients
}

func requireReplicated(t *testing.T, c *Client) {
	t.Helper()
	for _, name := range Names() {
		s, err := c.js.Stream(t.Context(), string(name))
		require.NoError(t, err)
		require.Equal(t, 3, s.CachedInfo().Config.Replicas, name)
		require.Len(t, s.CachedInfo().Cluster.Replicas, 2, name)
		require.Equal(t, name == Notifications, s.CachedInfo().Config.AllowDirect,
			"%s: a follower that lags must not answer for the leader", name)
	}
	for _, name := range c.opts.consumers() {
		info, err := c.consumerInfo(t.Context(), name)
		require.NoError(t, err)
		require.Len(t, info.Cluster.Replicas, 2, "%s has what it acknowledged on as many nodes as its stream", name)
	}
}

func requireEpoch(t *testing.T, clients []*Client, want time.Time) {
	t.Helper()
	for _, c := range clients {
		require.EventuallyWithT(t, func(t *assert.CollectT) {
			got, err := c.Epoch(context.Background())
			require.NoError(t, err)
			require.Equal(t, want, got, "the stream's life does not depend on who leads it")
		}, clusterPatience, 50*time.Millisecond)
	}
}

// load publishes until it is stopped, each message until it is confirmed, as Salesforce does.
type load struct {
	mu        sync.Mutex
	confirmed []string
	refused   atomic.Int64
	done      context.CancelFunc
	work      sync.WaitGroup
}

func startLoad(t *testing.T, clients []*Client) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{done: cancel}
	t.Cleanup(l.stop)
	for worker := range 24 { // enough for atomic batches
		c := clients[worker%len(clients)]
		l.work.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				l.insist(ctx, c, fmt.Sprintf("%d-%d", worker, n))
			}
		})
	}
	return l
}

func (l *load) insist(ctx context.Context, c *Client, id string) {
	for {
		err := c.PublishNotification(ctx, envelope(id), []byte(id))
		if err == nil {
			l.mu.Lock()
			l.confirmed = append(l.confirmed, id)
			l.mu.Unlock()
			return
		}
		if ctx.Err() != nil {
			return
		}
		l.refused.Add(1)
		sleep(ctx, 50*time.Millisecond)
	}
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.confirmed)
}

func (l *load) awaitMore(t *testing.T, n int) {
	t.Helper()
	before := l.count()
	require.Eventually(t, func() bool { return l.count() >= before+n }, clusterPatience, 10*time.Millisecond, "work resumes by itself")
}

// awaitRefusals waits until each worker was refused more than once, and checks that nothing was confirmed in the second half
// of that time: what the last leader had under way when the majority went may still have been.
func (l *load) awaitRefusals(t *testing.T) {
	t.Helper()
	wait := func(n int64) {
		before := l.refused.Load()
		require.Eventually(t, func() bool { return l.refused.Load() >= before+n }, clusterPatience, 10*time.Millisecond, "nothing is confirmed")
	}
	wait(24)
	before := l.count()
	wait(48)
	require.Equal(t, before, l.count(), "nothing is confirmed without a majority")
}

func (l *load) stop() {
	l.done()
	l.work.Wait()
}

// requireAllDelivered checks that the consumer gets every confirmed message, and none of them under two sequences.
func (l *load) requireAllDelivered(t *testing.T, c *Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clusterPatience)
	defer cancel()
	sequences := map[string]uint64{}
	missing := map[string]bool{}
	for _, id := range l.confirmed {
		missing[id] = true
	}
	for len(missing) > 0 {
		got, err := c.Consumer(Router).Fetch(ctx, 500)
		require.NoError(t, err, "%d confirmed messages are missing", len(missing))
		for _, d := range got {
			id := d.Get(jetstream.MsgIDHeader)
			if seq, again := sequences[id]; again {
				require.Equal(t, seq, d.Seq, "%s is stored twice", id)
			}
			sequences[id] = d.Seq
			delete(missing, id)
			require.NoError(t, d.Ack())
		}
	}
	t.Logf("%d confirmed, %d refused", len(l.confirmed), l.refused.Load())
}

// Streams of one replica are raised to three when the other nodes are there. Until then it is a matter of waiting, and nothing
// that a person has to mend.
func TestReplicasAreRaisedWhenTheNodesAreThere(t *testing.T) {
	t.Parallel()
	cluster := streamtest.StartCluster(t)
	nc := cluster.Connect(t)
	raise := func(replicas int) error {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		c, err := Open(ctx, nc, Options{Replicas: replicas})
		if err == nil {
			c.Close()
		}
		return err
	}
	require.Eventually(t, func() bool { return raise(1) == nil }, clusterPatience, 50*time.Millisecond)
	holder := cluster.Leader(t, string(Notifications))
	for _, i := range []int{(holder + 1) % 3, (holder + 2) % 3} {
		cluster.Kill(t, i)
	}
	for range 3 {
		err := raise(3)
		require.Error(t, err)
		require.NotErrorIs(t, err, ErrIncompatible)
	}
	for _, i := range []int{(holder + 1) % 3, (holder + 2) % 3} {
		cluster.Start(t, i)
	}
	require.Eventually(t, func() bool {
		err := raise(3)
		require.NotErrorIs(t, err, ErrIncompatible)
		return err == nil
	}, clusterPatience, 50*time.Millisecond)
}
