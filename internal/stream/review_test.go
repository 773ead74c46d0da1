package stream

import (
	"bytes"
	"crypto/rand"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/stream/streamtest"
)

// A process that was told nothing must not make a cluster unsafe, nor undo what its operator tuned.
func TestMergeNeverLowers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		have, replicas int
		size, limit    int64
		wantReplicas   int
		wantSize       int64
	}{
		"told nothing":          {have: 3, size: 1 << 30, wantReplicas: 3, wantSize: 1 << 30},
		"told nothing, default": {have: 1, size: -1, wantReplicas: 1, wantSize: -1},
		"one server":            {have: 5, replicas: 1, size: -1, wantReplicas: 5, wantSize: -1},
		"fewer":                 {have: 5, replicas: 3, size: -1, wantReplicas: 5, wantSize: -1},
		"the same":              {have: 3, replicas: 3, size: -1, wantReplicas: 3, wantSize: -1},
		"more":                  {have: 1, replicas: 3, size: -1, wantReplicas: 3, wantSize: -1},
		"a size":                {have: 1, size: -1, limit: 1 << 20, wantReplicas: 1, wantSize: 1 << 20},
		"another size":          {have: 1, size: 1 << 30, limit: 1 << 20, wantReplicas: 1, wantSize: 1 << 20},
	} {
		for _, stream := range Names() {
			opts := Options{Replicas: c.replicas}
			if c.limit > 0 {
				opts.MaxBytes = map[Name]int64{stream: c.limit}
			}
			have := streamConfig(stream, Options{Replicas: c.have})
			have.MaxBytes, have.MaxAge, have.MaxMsgsPerSubject, have.DiscardNewPerSubject = c.size, time.Hour, 7, true
			have.Discard, have.Subjects, have.Duplicates = jetstream.DiscardOld, []string{"another"}, time.Second
			have.Placement = &jetstream.Placement{Cluster: "theirs"}
			merged := merge(have, streamConfig(stream, opts), opts)
			require.Equal(t, c.wantReplicas, merged.Replicas, "%s, %s", name, stream)
			require.Equal(t, c.wantSize, merged.MaxBytes, "%s, %s", name, stream)
			require.Equal(t, "theirs", merged.Placement.Cluster, "what we know nothing of stays")

			want := streamConfig(stream, opts)
			require.Equal(t, want.Subjects, merged.Subjects)
			require.Equal(t, jetstream.DiscardNew, merged.Discard, "a full stream refuses, it does not lose")
			require.Equal(t, want.Duplicates, merged.Duplicates)
			require.Zero(t, merged.MaxAge)
			require.EqualValues(t, -1, merged.MaxMsgsPerSubject)
			require.False(t, merged.DiscardNewPerSubject)
			require.Equal(t, merged, merge(merged, want, opts), "the second time nothing changes")
		}
	}
}

// What is stored can be read again: the limit of both directions is one.
func TestEncodeRefusesWhatDecodeWouldRefuse(t *testing.T) {
	t.Parallel()
	c := newCodec()
	largest := make([]byte, maxDecodedSize)
	packed, encoding, err := c.encode(largest)
	require.NoError(t, err)
	require.Equal(t, encodingZstd, encoding)
	body, err := c.decode(packed, encoding)
	require.NoError(t, err, "the largest body comes back")
	require.Len(t, body, maxDecodedSize)

	tooLarge := make([]byte, maxDecodedSize+1)
	_, _, err = c.encode(tooLarge)
	require.ErrorIs(t, err, ErrTooLarge)
	client := start(t)
	require.ErrorIs(t, client.PublishNotification(t.Context(), envelope("x"), tooLarge), ErrTooLarge)
	require.ErrorIs(t, client.PublishCallback(t.Context(), KindInbound, "x", nil, tooLarge), ErrTooLarge)
	require.Zero(t, stored(t, client, Notifications))

	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	require.NoError(t, err)
	_, err = c.decode(encoder.EncodeAll(tooLarge, nil), encodingZstd)
	require.ErrorIs(t, err, ErrBadMessage, "somebody else's bomb")
	require.NoError(t, encoder.Close())
}

// pressed is a client whose NOTIFICATIONS holds 64 KiB, and a function that fills it with this many messages of 2 KiB.
func pressed(t *testing.T) (*Client, func(n int)) {
	t.Helper()
	c := open(t, streamtest.Start(t), Options{MaxBytes: map[Name]int64{Notifications: 64 << 10}})
	return c, func(n int) {
		t.Helper()
		for range n {
			require.NoError(t, c.PublishNotification(t.Context(), envelope(rand.Text()), bytes.Repeat([]byte("x"), 2<<10)))
		}
	}
}

func (c *Client) trimmed(t *testing.T) uint64 {
	t.Helper()
	removed, err := c.Trim(t.Context(), map[Name]time.Duration{Notifications: time.Hour})
	require.NoError(t, err)
	return removed[Notifications]
}

// finish works on messages, except for those with the sequences left out, and waits until the floor is where it must be.
func (c *Client) finish(t *testing.T, n int, floor uint64, except ...uint64) {
	t.Helper()
	k := c.Consumer(Router)
	for n > 0 {
		got, err := k.Fetch(t.Context(), n)
		require.NoError(t, err)
		n -= len(got)
		for _, d := range got {
			if len(except) == 0 || d.Seq != except[0] {
				require.NoError(t, d.Ack())
			}
		}
	}
	require.Eventually(t, func() bool {
		now, err := k.AckFloor(t.Context())
		return err == nil && now == floor
	}, 5*time.Second, time.Millisecond)
}

func TestTrimUnderPressureRemovesTheOlderHalfOfWhatIsFinished(t *testing.T) {
	t.Parallel()
	c, fill := pressed(t)
	fill(20)
	c.finish(t, 20, 20)
	require.Zero(t, c.trimmed(t), "it is not under pressure, and everything is young")
	fill(6)
	c.finish(t, 6, 26)
	require.EqualValues(t, 12, c.trimmed(t))
	require.EqualValues(t, 14, stored(t, c, Notifications))
	require.Zero(t, c.trimmed(t), "the pressure is gone")
}

func TestTrimUnderPressureKeepsTheUnfinished(t *testing.T) {
	t.Parallel()
	c, fill := pressed(t)
	fill(26)
	require.Zero(t, c.trimmed(t), "nothing is finished")
	c.finish(t, 9, 4, 5) // the fifth is still being worked on
	require.EqualValues(t, 4, c.trimmed(t))
	require.EqualValues(t, 22, stored(t, c, Notifications))
	require.Zero(t, c.trimmed(t))
	got, err := c.js.Stream(t.Context(), string(Notifications))
	require.NoError(t, err)
	require.EqualValues(t, 5, got.CachedInfo().State.FirstSeq)
}

// A full stream refuses; after the trim it takes again.
func TestTrimOpensAFullStream(t *testing.T) {
	t.Parallel()
	c, fill := pressed(t)
	count := 0
	for ; ; count++ {
		err := c.PublishNotification(t.Context(), envelope(rand.Text()), bytes.Repeat([]byte("x"), 2<<10))
		if err != nil {
			require.ErrorIs(t, err, ErrFull)
			break
		}
		require.Less(t, count, 64)
	}
	require.Zero(t, c.trimmed(t))
	c.finish(t, count, uint64(count))
	require.NotZero(t, c.trimmed(t))
	fill(count / 3)
}
