package app

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/embedded/natsd"
	"github.com/beckonhq/beckon/internal/lifemark"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/stream"
)

// lost tells whether at least so many streams were found lost. There may be more: nats-server removes a deleted stream's files in the
// background, and may fail in one that is made anew meanwhile. Then its store is started again without that stream, which is told and held
// like the first loss.
func (h *house) lost(n int) bool {
	_, text := h.get(h.AdminURL() + "/metrics")
	_, rest, _ := strings.Cut(text, "\nbeckon_stream_losses ")
	count, _, _ := strings.Cut(rest, "\n")
	losses, err := strconv.Atoi(count)
	return err == nil && losses >= n
}

// metric tells whether a scrape has a line.
func (h *house) metric(line string) bool {
	_, text := h.get(h.AdminURL() + "/metrics")
	return strings.Contains(text, "\n"+line+"\n")
}

func TestADeletedConsumerGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	who := people(2)
	h := p.run(config.Roles()...)
	p.escalate(who[0], "1")
	h.gets(who[0], message.Delivered, 1)
	h.looks(3)
	js, err := jetstream.New(h.conn)
	require.NoError(t, err)
	for _, name := range []stream.ConsumerName{stream.Router, stream.Dispatcher, stream.Inbound, stream.StatusCallbacks} {
		of := map[stream.ConsumerName]stream.Name{stream.Router: stream.Notifications, stream.Dispatcher: stream.Messages}[name]
		if of == "" {
			of = stream.Callbacks
		}
		require.NoError(t, js.DeleteConsumer(t.Context(), string(of), string(name)))
	}
	p.escalate(who[1], "2")
	h.gets(who[1], message.Delivered, 1)
	require.True(t, h.metric(`beckon_notifications_total{outcome="duplicate"} 0`), "the router begins where it was")
	require.True(t, h.metric(`beckon_stream_losses 0`))
	require.Equal(t, 2, p.sim.Count(""))
	require.NotEmpty(t, h.log.parts(t, "a consumer was gone and is made anew where it was"))
}

// Streams are deleted while everything runs: they are made anew, the loss is told, and while opt-outs may be among what was lost
// nothing is sent.
func TestDeletedStreamsAreMadeAnewAndTold(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	who := people(3)
	h := p.run(config.Roles()...)
	p.escalate(who[0], "1")
	h.gets(who[0], message.Delivered, 1)
	h.looks(3)
	js, err := jetstream.New(h.conn)
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(t.Context(), string(stream.Messages)))
	require.NoError(t, js.DeleteStream(t.Context(), string(stream.DeadLetters)))
	require.Eventually(t, func() bool { return h.lost(2) }, patience, tick)
	p.escalate(who[1], "2")
	h.gets(who[1], message.Delivered, 1)

	require.NoError(t, js.DeleteStream(t.Context(), string(stream.Callbacks)))
	require.Eventually(t, func() bool { return h.lost(3) }, patience, tick)
	require.Eventually(t, func() bool {
		err := h.keeper.Load().Ready(t.Context())
		return err != nil && strings.Contains(err.Error(), "stream CALLBACKS was made anew")
	}, patience, tick)
	p.escalate(who[2], "3")
	h.gets(who[2], message.Queued, 1)
	h.looks(5)
	require.Zero(t, p.sim.Count(string(who[2])), "an opt-out may have been in it")
	var ready readiness
	require.Equal(t, http.StatusOK, h.admin("/readyz", &ready))
	require.GreaterOrEqual(t, len(ready.Warnings), 3)
	h.recover()
	require.Eventually(t, func() bool {
		report, err := lifemark.Look(t.Context(), h.store, h.stream)
		if err == nil && !report.Nothing() {
			h.recover()
		}
		return p.sim.Count(string(who[2])) == 1 // its status may come while the store is being started again, and be lost
	}, patience, tick)
	require.Eventually(t, func() bool { return h.metric("beckon_stream_losses 0") }, patience, tick)
	require.Equal(t, 3, p.sim.Count(""))
}

// The store of NATS is put back to an earlier time: the streams keep their names and dates and have lower sequences.
func TestAnOlderBeltIsTold(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.natsd.Shutdown()
	dir, backup := t.TempDir(), t.TempDir()
	boot := func(dir string) {
		var err error
		p.natsd, err = natsd.Start(natsd.Config{Dir: dir})
		require.NoError(t, err)
		t.Cleanup(p.natsd.Shutdown)
	}
	boot(dir)
	who := people(3)
	h := p.run(config.Roles()...)
	p.escalate(who[0], "1")
	h.gets(who[0], message.Delivered, 1)
	require.NoError(t, h.stop())
	p.natsd.Shutdown()
	require.NoError(t, os.CopyFS(backup, os.DirFS(dir)))
	boot(dir)
	h = p.run(config.Roles()...)
	p.escalate(who[1], "2")
	h.gets(who[1], message.Delivered, 1)
	h.looks(3)
	require.NoError(t, h.stop())
	p.natsd.Shutdown()

	boot(backup)
	h = p.run(config.Roles()...)
	require.Eventually(t, func() bool { return h.metric("beckon_stream_losses 3") }, patience, tick)
	losses, err := h.store.OpenLosses(t.Context())
	require.NoError(t, err)
	for _, loss := range losses {
		require.EqualValues(t, "older", loss.Kind)
	}
	require.False(t, h.heldMetric(), "the ledger is the newer one")
	h.recover()
	p.escalate(who[2], "3")
	h.gets(who[2], message.Delivered, 1)
	for _, to := range who {
		require.Equal(t, 1, p.sim.Count(string(to)))
	}
}
