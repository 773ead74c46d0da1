package stream

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/stream/streamtest"
)

func TestPublishNotificationRoundTrip(t *testing.T) {
	t.Parallel()
	c := start(t)
	noise := make([]byte, 300<<10)
	_, err := rand.Read(noise)
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		body     []byte
		encoding string
	}{
		"small":          {[]byte("<a/>"), ""},
		"at the limit":   {bytes.Repeat([]byte("x"), compressAbove), ""},
		"compressed":     {bytes.Repeat([]byte("<sf:Name>x</sf:Name>"), 200_000), encodingZstd},
		"incompressible": {noise, ""},
	} {
		want := envelope(name)
		require.NoError(t, c.PublishNotification(t.Context(), want, tt.body), name)
		got, err := c.Consumer(Router).Fetch(t.Context(), 10)
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.Equal(t, tt.encoding, got[0].Get(HeaderEncoding), name)
		body, err := got[0].Body()
		require.NoError(t, err)
		require.True(t, bytes.Equal(tt.body, body), name)
		back, err := got[0].Envelope()
		require.NoError(t, err)
		require.True(t, want.Received.Equal(back.Received))
		back.Received = want.Received
		require.Equal(t, want, back)
		require.NoError(t, got[0].Ack())
	}
}

func TestDuplicateIDsAreConfirmedAndStoredOnce(t *testing.T) {
	t.Parallel()
	c := start(t)
	for range 3 {
		require.NoError(t, c.PublishNotification(t.Context(), envelope("same"), []byte("x")))
		require.NoError(t, c.PublishNotification(t.Context(), envelope("same-large"), make([]byte, 64<<10)))
	}
	require.EqualValues(t, 2, stored(t, c, Notifications))
}

func TestBatchWithDuplicateInsideSucceedsForAll(t *testing.T) {
	t.Parallel()
	c := start(t)
	require.NoError(t, c.PublishNotification(t.Context(), envelope("b"), []byte("x")))
	// As one group: the server refuses all of it.
	msgs := []*nats.Msg{rawMsg("a", nil), rawMsg("b", nil), rawMsg("c", nil), rawMsg("c", nil)}
	_, err := c.groups[Notifications].port.batch(t.Context(), msgs)
	require.True(t, refused(err), "%v", err)
	require.EqualValues(t, 1, stored(t, c, Notifications))
	for _, msg := range msgs {
		require.Empty(t, msg.Header.Get(headerBatchID), "headers of the refused batch stay")
	}
	seqs, err := c.groups[Notifications].publish(t.Context(), msgs)
	require.NoError(t, err)
	require.EqualValues(t, 1, seqs[1], "a duplicate has the sequence of the first")
	require.Equal(t, seqs[2], seqs[3])
	require.EqualValues(t, 3, stored(t, c, Notifications))
}

func TestPublishMessagesReturnsEachSequence(t *testing.T) {
	t.Parallel()
	c := start(t)
	var wait sync.WaitGroup
	type sent struct {
		refs []MessageRef
		seqs []uint64
	}
	results := make(chan sent, 20)
	for _, group := range ids("row", 20) {
		wait.Go(func() {
			var refs []MessageRef
			for _, id := range ids(group, 70) {
				refs = append(refs, MessageRef{Org: testOrg, ID: id})
			}
			seqs, err := c.PublishMessages(t.Context(), refs)
			if err != nil {
				t.Error(err)
			}
			results <- sent{refs, seqs}
		})
	}
	wait.Wait()
	close(results)
	s, err := c.js.Stream(t.Context(), string(Messages))
	require.NoError(t, err)
	require.EqualValues(t, 20*3, s.CachedInfo().State.Msgs, "70 ids travel in three messages")
	for r := range results {
		require.Len(t, r.seqs, len(r.refs))
		for i, seq := range r.seqs {
			msg, err := s.GetMsg(t.Context(), seq)
			require.NoError(t, err)
			carried := (&Delivery{Data: msg.Data}).MessageIDs()
			require.Contains(t, carried, r.refs[i].ID, "sequence %d", seq)
			require.LessOrEqual(t, len(carried), idsTogether)
		}
	}
	seqs, err := c.PublishMessages(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, seqs)
}

func TestCommitterUnderManyCallers(t *testing.T) {
	t.Parallel()
	c := start(t)
	var wait sync.WaitGroup
	for _, caller := range ids("caller", 256) {
		wait.Go(func() {
			for _, id := range ids(caller, 8) {
				body := []byte(strings.Repeat(id, 20))
				if err := c.PublishNotification(t.Context(), envelope(id), body); err != nil {
					t.Error(err)
				}
				clear(body)
			}
		})
	}
	wait.Wait()
	require.EqualValues(t, 256*8, stored(t, c, Notifications))
	for seen := 0; seen < 256*8; {
		got, err := c.Consumer(Router).Fetch(t.Context(), 500)
		require.NoError(t, err)
		for _, d := range got {
			require.Equal(t, strings.Repeat(d.Get(jetstream.MsgIDHeader), 20), string(d.Data), "the body is the one given")
			require.NoError(t, d.Ack())
		}
		seen += len(got)
	}
}

func TestCallerThatGaveUpDoesNotHarmTheOthers(t *testing.T) {
	t.Parallel()
	c := start(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	var wait sync.WaitGroup
	for i, id := range ids("m", 100) {
		wait.Go(func() {
			body := []byte(id)
			if i%2 == 0 {
				if err := c.PublishNotification(gone, envelope(id), body); err != nil && !errors.Is(err, ErrNotConfirmed) {
					t.Error(err)
				}
				clear(body) // a caller may use its buffer again
				return
			}
			if err := c.PublishNotification(t.Context(), envelope(id), body); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	require.GreaterOrEqual(t, stored(t, c, Notifications), uint64(50))
}

func TestWaitingMessageSharesNoMemoryWithItsCaller(t *testing.T) {
	t.Parallel()
	c := start(t)
	running := c.groups
	defer func() { c.groups = running }()
	waits := &committer{wake: make(chan struct{}, 1)} // never takes
	c.groups = map[Name]*committer{Notifications: waits}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	body := []byte("as given")
	err := c.PublishNotification(gone, envelope("a"), body)
	require.ErrorIs(t, err, ErrNotConfirmed)
	require.ErrorIs(t, err, context.Canceled)
	clear(body)
	require.Equal(t, "as given", string(waits.queue[0].msg.Data))
	group, _ := waits.take()
	require.Empty(t, group, "nobody listens any more")
}

func TestStoppedServerConfirmsNothing(t *testing.T) {
	t.Parallel()
	srv := streamtest.StartServer(t, t.TempDir(), 8<<20)
	c := open(t, srv.Connect(t), Options{ConfirmTimeout: time.Minute})
	var mu sync.Mutex
	confirmed := map[string]bool{}
	var wait sync.WaitGroup
	for i, caller := range ids("c", 32) {
		wait.Go(func() {
			for _, id := range ids(caller, 10_000) {
				size := 1 << 10
				if i%8 == 0 {
					size = 64 << 10
				}
				err := c.PublishNotification(t.Context(), envelope(id), make([]byte, size))
				if err != nil {
					if !errors.Is(err, ErrNotConfirmed) && !errors.Is(err, ErrUnavailable) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				confirmed[id] = true
				mu.Unlock()
			}
		})
	}
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(confirmed) > 200
	}, 10*time.Second, time.Millisecond)
	srv.Stop()
	began := time.Now()
	wait.Wait()
	require.Less(t, time.Since(began), 20*time.Second, "a broken connection is noticed before the time-out")
	srv.Restart(t)
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return c.Ready(ctx) == nil
	}, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, c.PublishNotification(t.Context(), envelope("after"), nil))
	s, err := c.js.Stream(t.Context(), string(Notifications))
	require.NoError(t, err)
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		msg, err := s.GetMsg(t.Context(), seq)
		require.NoError(t, err)
		delete(confirmed, msg.Header.Get(jetstream.MsgIDHeader))
	}
	require.Empty(t, confirmed, "confirmed and not stored")
}

func TestErrorsSayWhatHappened(t *testing.T) {
	t.Parallel()
	srv := streamtest.StartServer(t, t.TempDir(), 1<<20)
	c := open(t, srv.Connect(t), Options{
		MaxBytes: map[Name]int64{Notifications: 700 << 10}, ConfirmTimeout: time.Second,
	})
	noise := make([]byte, 2<<20)
	_, err := rand.Read(noise)
	require.NoError(t, err)

	require.ErrorIs(t, c.PublishNotification(t.Context(), envelope("big"), noise), ErrTooLarge)
	require.ErrorIs(t, c.PublishNotification(t.Context(), envelope("almost"), noise[:(1<<20)-10]), ErrTooLarge)
	require.ErrorIs(t, c.PublishNotification(t.Context(), Envelope{Org: "a.b"}, nil), ErrBadMessage)
	require.ErrorIs(t, c.PublishCallback(t.Context(), "other", "", nil, nil), ErrBadMessage)
	require.ErrorIs(t, c.PublishCallback(t.Context(), KindStatus, "a\r\nb: c", nil, nil), ErrBadMessage)
	require.NoError(t, c.PublishNotification(t.Context(), envelope("fits"), noise[:600<<10]))
	require.ErrorIs(t, c.PublishNotification(t.Context(), envelope("full"), noise[:500<<10]), ErrFull)
	full := make([]*nats.Msg, 10)
	for i := range full {
		full[i] = rawMsg("", noise[:30<<10])
	}
	_, err = c.groups[Notifications].publish(t.Context(), full)
	require.ErrorIs(t, err, ErrFull, "in a batch")

	require.NoError(t, c.js.DeleteStream(t.Context(), string(Callbacks)))
	require.ErrorIs(t, c.PublishCallback(t.Context(), KindStatus, "", nil, nil), ErrUnavailable)
	require.ErrorIs(t, c.Ready(t.Context()), ErrUnavailable)
	srv.Stop()
	require.Eventually(t, func() bool {
		return errors.Is(c.PublishNotification(t.Context(), envelope("x"), nil), ErrUnavailable)
	}, 10*time.Second, time.Millisecond)
	c.Close()
	require.ErrorIs(t, c.PublishNotification(t.Context(), envelope("x"), nil), ErrClosed)
}

func TestBombIsNotUnpacked(t *testing.T) {
	t.Parallel()
	c := newCodec()
	_, _, err := c.encode(make([]byte, maxDecodedSize+1))
	require.ErrorIs(t, err, ErrTooLarge, "what could not be read back is not stored")
	encoder, err := c.encoder()
	require.NoError(t, err)
	_, err = c.decode(encoder.EncodeAll(make([]byte, maxDecodedSize+1), nil), encodingZstd)
	require.ErrorIs(t, err, ErrBadMessage)
	_, err = c.decode([]byte("nonsense"), encodingZstd)
	require.ErrorIs(t, err, ErrBadMessage)
	_, err = c.decode(nil, "brotli")
	require.ErrorIs(t, err, ErrBadMessage)
}
