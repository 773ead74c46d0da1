package stream

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/stream/streamtest"
)

func TestOpenIsIdempotentAndKeepsWhatAnOperatorTuned(t *testing.T) {
	t.Parallel()
	nc := streamtest.Start(t)
	c := open(t, nc, Options{})
	epoch, err := c.Epoch(t.Context())
	require.NoError(t, err)
	s, err := c.js.Stream(t.Context(), string(Notifications))
	require.NoError(t, err)
	cfg := s.CachedInfo().Config
	require.Zero(t, cfg.MaxAge)
	require.Equal(t, jetstream.DiscardNew, cfg.Discard)
	require.True(t, cfg.AllowAtomicPublish)
	require.Equal(t, 10*time.Minute, cfg.Duplicates)
	cfg.MaxBytes = 1 << 30
	cfg.MaxAge = time.Hour
	_, err = c.js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)

	again := open(t, nc, Options{AckWait: 5 * time.Second})
	s, err = c.js.Stream(t.Context(), string(Notifications))
	require.NoError(t, err)
	require.EqualValues(t, 1<<30, s.CachedInfo().Config.MaxBytes, "tuned by the operator")
	require.Zero(t, s.CachedInfo().Config.MaxAge, "an age limit loses messages")
	info, err := again.consumerInfo(t.Context(), Router)
	require.NoError(t, err)
	require.Equal(t, 5*time.Second, info.Config.AckWait)
	same, err := again.Epoch(t.Context())
	require.NoError(t, err)
	require.Equal(t, epoch, same)
	require.NoError(t, again.Ready(t.Context()))

	require.NoError(t, c.js.DeleteStream(t.Context(), string(Messages)))
	third := open(t, nc, Options{})
	changed, err := third.Epoch(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, epoch, changed)
}

func TestOpenRefusesIncompatibleStream(t *testing.T) {
	t.Parallel()
	nc := streamtest.Start(t)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: string(Messages), Subjects: []string{"messages.*"}, Retention: jetstream.WorkQueuePolicy,
	})
	require.NoError(t, err)
	_, err = Open(t.Context(), nc, Options{})
	require.ErrorIs(t, err, ErrIncompatible)
	require.ErrorContains(t, err, "MESSAGES")
}

func TestOpenWarnsOfSmallPayload(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	c := open(t, streamtest.StartServer(t, t.TempDir(), 1<<20).Connect(t), Options{Log: log})
	require.EqualValues(t, 1<<20, c.MaxPayload())
	require.Contains(t, out.String(), "max_payload")
}

func TestTrimKeepsTheYoungAndTheUnfinished(t *testing.T) {
	t.Parallel()
	c := start(t)
	for _, id := range ids("n", 10) {
		require.NoError(t, c.PublishNotification(t.Context(), envelope(id), nil))
	}
	trim := func(keep time.Duration) uint64 {
		removed, err := c.Trim(t.Context(), map[Name]time.Duration{Notifications: keep, DeadLetters: keep})
		require.NoError(t, err)
		return removed[Notifications]
	}
	require.Zero(t, trim(0), "nothing is finished")
	k := c.Consumer(Router)
	got, err := k.Fetch(t.Context(), 8)
	require.NoError(t, err)
	require.Len(t, got, 8)
	for i, d := range got {
		if i != 5 {
			require.NoError(t, d.Ack())
		}
	}
	require.Eventually(t, func() bool {
		floor, err := k.AckFloor(t.Context())
		return err == nil && floor == 5
	}, 5*time.Second, time.Millisecond)
	require.Zero(t, trim(time.Hour), "nothing is old")
	require.EqualValues(t, 5, trim(0))
	s, err := c.js.Stream(t.Context(), string(Notifications))
	require.NoError(t, err)
	require.EqualValues(t, 6, s.CachedInfo().State.FirstSeq)

	require.NoError(t, got[5].Ack())
	rest, err := k.Fetch(t.Context(), 8)
	require.NoError(t, err)
	for _, d := range rest {
		require.NoError(t, d.Ack())
	}
	require.NoError(t, s.DeleteMsg(t.Context(), 8), "a gap")
	require.Eventually(t, func() bool { return trim(0) == 4 }, 5*time.Second, time.Millisecond)
	require.Zero(t, trim(0), "empty")

	require.NoError(t, c.PublishNotification(t.Context(), envelope("last"), nil))
	require.NoError(t, c.js.DeleteConsumer(t.Context(), string(Notifications), string(Router)))
	require.Zero(t, trim(0), "its consumer is missing")
}

func TestTrimFindsTheAge(t *testing.T) {
	t.Parallel()
	c := start(t)
	var marks []time.Time
	for _, id := range ids("n", 9) {
		require.NoError(t, c.PublishCallback(t.Context(), KindStatus, id, nil, nil))
		marks = append(marks, time.Now())
	}
	s, err := c.js.Stream(t.Context(), string(Callbacks))
	require.NoError(t, err)
	for i, mark := range marks {
		first, err := firstSince(t.Context(), s, 1, 9, mark)
		require.NoError(t, err)
		require.EqualValues(t, i+2, first, "messages 1 to %d are older", i+1)
	}
	first, err := firstSince(t.Context(), s, 1, 9, marks[0].Add(-time.Hour))
	require.NoError(t, err)
	require.EqualValues(t, 1, first)
	first, err = firstSince(t.Context(), s, 1, 4, time.Now())
	require.NoError(t, err)
	require.EqualValues(t, 5, first, "not above the floor")

	// The inbound consumer has nothing to do with status callbacks and must not hold them.
	got, err := c.Consumer(StatusCallbacks).Fetch(t.Context(), 9)
	require.NoError(t, err)
	for _, d := range got {
		require.NoError(t, d.Ack())
	}
	var all uint64
	require.Eventually(t, func() bool { // acks arrive one by one
		removed, err := c.Trim(t.Context(), map[Name]time.Duration{Callbacks: 0})
		all += removed[Callbacks]
		return err == nil && all == 9
	}, 5*time.Second, time.Millisecond)
}

func TestDeadLetterRoundTrip(t *testing.T) {
	t.Parallel()
	c := start(t)
	want := DeadLetter{
		ID: "id", Stream: Notifications, Seq: 7, Org: testOrg, Subject: "notifications." + testOrg,
		Reason: "rule error", History: []string{"tried", "tried again"},
		Only: "04l000000000001AAA", First: time.Date(2026, 5, 4, 10, 0, 0, 5000, time.UTC),
		Header: map[string]string{HeaderObject: "Case"}, Data: bytes.Repeat([]byte("<a/>"), 100_000),
	}
	require.NoError(t, c.DeadLetter(t.Context(), want))
	require.NoError(t, c.DeadLetter(t.Context(), want), "again")
	require.NoError(t, c.DeadLetter(t.Context(), DeadLetter{Stream: Callbacks, Reason: "a\nb"}))
	letters, err := c.DeadLettersFrom(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Len(t, letters, 2)
	require.Equal(t, want, letters[0].DeadLetter)
	require.Equal(t, "a b", letters[1].Reason)
	require.NoError(t, c.DropDeadLetter(t.Context(), letters[0].Number))
	require.NoError(t, c.DropDeadLetter(t.Context(), letters[0].Number))
	letters, err = c.DeadLettersFrom(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Len(t, letters, 1)
	require.ErrorIs(t, c.DeadLetter(t.Context(), DeadLetter{Stream: "a b"}), ErrBadMessage)
}
