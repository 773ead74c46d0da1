package stream

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/stream/streamtest"
)

func TestFetchWaitsForTheFirstAndTakesWhatIsThere(t *testing.T) {
	t.Parallel()
	c := start(t)
	k := c.Consumer(Router)
	type result struct {
		got []*Delivery
		err error
	}
	results := make(chan result)
	go func() {
		got, err := k.Fetch(t.Context(), 10)
		results <- result{got, err}
	}()
	require.Eventually(t, func() bool { return waiting(t, c) == 1 }, 5*time.Second, time.Millisecond)
	require.NoError(t, c.PublishNotification(t.Context(), envelope("first"), nil))
	r := <-results
	require.NoError(t, r.err)
	require.Len(t, r.got, 1)
	require.NoError(t, r.got[0].Ack())

	for _, id := range ids("n", 25) {
		require.NoError(t, c.PublishNotification(t.Context(), envelope(id), nil))
	}
	for _, want := range []int{10, 10, 5} {
		began := time.Now()
		got, err := k.Fetch(t.Context(), 10)
		require.NoError(t, err)
		require.Len(t, got, want)
		require.Less(t, time.Since(began), 900*time.Millisecond, "does not wait for more")
		for _, d := range got {
			require.EqualValues(t, 1, d.Deliveries)
			require.NoError(t, d.Ack())
		}
	}
	require.Eventually(t, func() bool {
		floor, err := k.AckFloor(t.Context())
		return err == nil && floor == 26
	}, 5*time.Second, time.Millisecond)
}

func waiting(t *testing.T, c *Client) int {
	t.Helper()
	info, err := c.consumerInfo(context.Background(), Router)
	require.NoError(t, err)
	return info.NumWaiting
}

func TestFetchEndsWithItsContextAndLosesNothing(t *testing.T) {
	t.Parallel()
	c := start(t)
	k := c.Consumer(Router)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := k.Fetch(ctx, 10)
		ended <- err
	}()
	require.Eventually(t, func() bool { return waiting(t, c) == 1 }, 5*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.NoError(t, c.PublishNotification(t.Context(), envelope("next"), nil))
	got, err := k.Fetch(t.Context(), 1)
	require.NoError(t, err)
	require.Len(t, got, 1)
}

func TestUnansweredNakedAndTerminated(t *testing.T) {
	t.Parallel()
	c := open(t, streamtest.Start(t), Options{AckWait: 300 * time.Millisecond})
	k := c.Consumer(Router)
	require.NoError(t, c.PublishNotification(t.Context(), envelope("a"), nil))
	fetch := func() *Delivery {
		got, err := k.Fetch(t.Context(), 1)
		require.NoError(t, err)
		require.Len(t, got, 1)
		return got[0]
	}
	fetch()
	second := fetch()
	require.EqualValues(t, 2, second.Deliveries, "unanswered: again after AckWait")
	require.NoError(t, second.InProgress())
	require.NoError(t, second.Nak(10*time.Millisecond))
	third := fetch()
	require.EqualValues(t, 3, third.Deliveries)
	require.NoError(t, third.Nak(0))
	fourth := fetch()
	require.EqualValues(t, 4, fourth.Deliveries)
	require.NoError(t, fourth.Term("cannot be read"))
	require.Eventually(t, func() bool {
		backlogs, err := c.Pending(t.Context())
		return err == nil && backlogs[Router] == Backlog{}
	}, 5*time.Second, time.Millisecond)
}

func TestFetchOutlivesDeletedConsumerAndStream(t *testing.T) {
	t.Parallel()
	c := start(t)
	k := c.Consumer(Router)
	for _, destroy := range []func(context.Context) error{
		func(ctx context.Context) error {
			return c.js.DeleteConsumer(ctx, string(Notifications), string(Router))
		},
		func(ctx context.Context) error { return c.js.DeleteStream(ctx, string(Notifications)) },
	} {
		got := make(chan []*Delivery, 1)
		go func() {
			d, err := k.Fetch(t.Context(), 1)
			if err != nil {
				t.Error(err)
			}
			got <- d
		}()
		require.Eventually(t, func() bool { return waiting(t, c) == 1 }, time.Minute, time.Millisecond)
		require.NoError(t, destroy(t.Context()))
		require.Eventually(t, func() bool {
			_, err := c.js.Consumer(t.Context(), string(Notifications), string(Router))
			return err == nil
		}, time.Minute, 5*time.Millisecond)
		// What is published while the old stream is being taken down may stay without an answer: publishers try again. On a busy machine
		// one that got none may be there nevertheless.
		require.Eventually(t, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return c.PublishNotification(ctx, envelope(""), nil) == nil
		}, time.Minute, time.Millisecond)
		deliveries := <-got
		require.Len(t, deliveries, 1)
		require.NoError(t, deliveries[0].Ack())
		notifications, err := c.js.Stream(t.Context(), string(Notifications))
		require.NoError(t, err)
		require.NoError(t, notifications.Purge(t.Context()))
	}
}

func TestFetchOutlivesServerRestart(t *testing.T) {
	t.Parallel()
	srv := streamtest.StartServer(t, t.TempDir(), 8<<20)
	c := open(t, srv.Connect(t), Options{})
	got := make(chan []*Delivery, 1)
	go func() {
		d, err := c.Consumer(Router).Fetch(t.Context(), 5)
		if err != nil {
			t.Error(err)
		}
		got <- d
	}()
	require.Eventually(t, func() bool { return waiting(t, c) == 1 }, 5*time.Second, time.Millisecond)
	srv.Stop()
	srv.Restart(t)
	require.Eventually(t, func() bool {
		return c.PublishNotification(t.Context(), envelope("after"), nil) == nil
	}, 20*time.Second, 10*time.Millisecond)
	require.Len(t, <-got, 1)
}

func TestSeveralFetchersShareTheWork(t *testing.T) {
	t.Parallel()
	c := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const total = 1000
	var seen sync.Map
	var finished atomic.Int32
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for {
				got, err := c.Consumer(Dispatcher).Fetch(ctx, 64)
				if err != nil {
					return
				}
				for _, d := range got {
					for _, id := range d.MessageIDs() {
						if _, twice := seen.LoadOrStore(id, true); !twice {
							finished.Add(1)
						}
					}
					if err := d.Ack(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	var refs []MessageRef
	for _, id := range ids("row", total) {
		refs = append(refs, MessageRef{Org: testOrg, ID: id})
	}
	_, err := c.PublishMessages(t.Context(), refs)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return finished.Load() == total }, 20*time.Second, time.Millisecond)
	cancel()
	wait.Wait()
}

func TestFullAckPendingDoesNotSpin(t *testing.T) {
	t.Parallel()
	c := open(t, streamtest.Start(t), Options{MaxAckPending: 1, AckWait: time.Minute})
	for _, id := range ids("n", 3) {
		require.NoError(t, c.PublishNotification(t.Context(), envelope(id), nil))
	}
	k := c.Consumer(Router)
	first, err := k.Fetch(t.Context(), 1)
	require.NoError(t, err)
	before := c.nc.Stats().OutMsgs
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() { _, _ = k.Fetch(ctx, 64) })
	}
	wait.Wait()
	require.Less(t, c.nc.Stats().OutMsgs-before, uint64(60), "requests in one second")
	require.NoError(t, first[0].Ack())
	next, err := k.Fetch(t.Context(), 1)
	require.NoError(t, err)
	require.Len(t, next, 1)
}

func TestCallbackConsumersAreApart(t *testing.T) {
	t.Parallel()
	c := start(t)
	last, err := c.LastInbound(t.Context())
	require.NoError(t, err)
	require.Zero(t, last)
	header := map[string]string{HeaderQuery: "message=1"}
	require.NoError(t, c.PublishCallback(t.Context(), KindInbound, "SM1", header, []byte("Body=STOP")))
	require.NoError(t, c.PublishCallback(t.Context(), KindStatus, "SM2", nil, []byte("MessageStatus=sent")))
	last, err = c.LastInbound(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, last)
	got, err := c.Consumer(Inbound).Fetch(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, "callbacks.inbound.default", got[0].Subject)
	require.Equal(t, "message=1", got[0].Get(HeaderQuery))
	got, err = c.Consumer(StatusCallbacks).Fetch(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, "MessageStatus=sent", string(got[0].Data))
	s, err := c.js.Stream(t.Context(), string(Callbacks))
	require.NoError(t, err)
	require.False(t, s.CachedInfo().Config.AllowDirect, "LastInbound must ask the leader")
}

func TestRawConsumerConfig(t *testing.T) {
	t.Parallel()
	c := start(t)
	for _, name := range c.opts.consumers() {
		info, err := c.consumerInfo(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, -1, info.Config.MaxDeliver)
		require.Equal(t, jetstream.AckExplicitPolicy, info.Config.AckPolicy)
		wait := defaultAckWait
		if name == Inbound {
			wait = inboundAckWait
		}
		require.Equal(t, wait, info.Config.AckWait, name)
	}
}

// A sender's backlog stands in nobody's way: each has its own consumer, its own floor, and a place in metrics and trimming.
func TestSendersHaveConsumersOfTheirOwn(t *testing.T) {
	t.Parallel()
	c, err := Open(t.Context(), streamtest.Start(t), Options{Senders: []string{"default", "marketing"}})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	seqs, err := c.PublishMessages(t.Context(), []MessageRef{
		{Org: testOrg, ID: "a", Sender: "marketing"},
		{Org: testOrg, ID: "b"},
		{Org: testOrg, ID: "c", Sender: "marketing"},
		{Org: testOrg, ID: "d", Sender: "default"},
	})
	require.NoError(t, err)
	require.Equal(t, seqs[0], seqs[2])
	require.Equal(t, seqs[1], seqs[3])
	require.NotEqual(t, seqs[0], seqs[1])
	_, err = c.PublishMessages(t.Context(), []MessageRef{{Org: testOrg, ID: "x", Sender: "a.b"}})
	require.ErrorIs(t, err, ErrBadMessage)

	main, other := c.Consumer(DispatcherOf("default")), c.Consumer(DispatcherOf("marketing"))
	got, err := main.Fetch(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, []string{"b", "d"}, got[0].MessageIDs())
	require.NoError(t, got[0].Ack())
	require.Eventually(t, func() bool {
		floor, err := main.AckFloor(t.Context())
		return err == nil && floor == seqs[1]
	}, 10*time.Second, time.Millisecond)
	floor, err := other.AckFloor(t.Context())
	require.NoError(t, err)
	require.Zero(t, floor, "it has a floor of its own")

	pending, err := c.Pending(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, pending["dispatcher-marketing"].Waiting)
	removed, err := c.Trim(t.Context(), map[Name]time.Duration{Messages: 0})
	require.NoError(t, err)
	require.Zero(t, removed[Messages], "what one sender has not finished stays")
	got, err = other.Fetch(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "c"}, got[0].MessageIDs())
	require.NoError(t, got[0].Ack())
	require.Eventually(t, func() bool {
		removed, err := c.Trim(t.Context(), map[Name]time.Duration{Messages: 0})
		return err == nil && removed[Messages] == 2
	}, 10*time.Second, time.Millisecond)
}

func TestCallbacksNameTheirSender(t *testing.T) {
	t.Parallel()
	c := start(t)
	header := map[string]string{HeaderSender: "marketing"}
	require.NoError(t, c.PublishCallback(t.Context(), KindInbound, "SM1", header, []byte("Body=STOP")))
	got, err := c.Consumer(Inbound).Fetch(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, "callbacks.inbound.marketing", got[0].Subject)
	require.Equal(t, "marketing", got[0].Get(HeaderSender))
	last, err := c.LastInbound(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, last, "the barrier sees the replies of all senders")
	require.ErrorIs(t, c.PublishCallback(t.Context(), KindInbound, "", map[string]string{HeaderSender: "a b"}, nil), ErrBadMessage)
}
