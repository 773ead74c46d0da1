package stream

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/beckonhq/beckon/internal/stream/streamtest"
)

const testOrg = "00D000000000001"

func TestMain(m *testing.M) {
	if streamtest.RunNode() {
		return
	}
	// nats-server leaves these behind when it stops while a batch is open.
	const server = "github.com/nats-io/nats-server/v2/server"
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(server+".(*msgBlock).flushLoop"),
		goleak.IgnoreAnyFunction(server+".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(server+"/ats.Register.func1"))
}

func open(tb testing.TB, nc *nats.Conn, opts Options) *Client {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Second)
	defer cancel()
	c, err := Open(ctx, nc, opts)
	require.NoError(tb, err)
	tb.Cleanup(c.Close)
	return c
}

func start(tb testing.TB) *Client {
	tb.Helper()
	return open(tb, streamtest.Start(tb), Options{})
}

func envelope(id string) Envelope {
	return Envelope{Org: testOrg, Object: "Opportunity", Count: 1, MsgID: id, Received: time.Unix(1700000000, 123)}
}

func stored(tb testing.TB, c *Client, name Name) uint64 {
	tb.Helper()
	s, err := c.js.Stream(context.Background(), string(name))
	require.NoError(tb, err)
	return s.CachedInfo().State.Msgs
}

func rawMsg(id string, body []byte) *nats.Msg {
	msg := nats.NewMsg(subjectNotifications + testOrg)
	msg.Data = body
	if id != "" {
		msg.Header.Set(jetstream.MsgIDHeader, id)
	}
	return msg
}

func ids(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	return all
}
