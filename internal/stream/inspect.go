package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// inspectTimeout bounds the connection of Inspect.
const inspectTimeout = 5 * time.Second

// ErrNoJetStream is wrapped by the error of Inspect when the server answers, but JetStream does not.
var ErrNoJetStream = errors.New("JetStream does not answer")

// Server is what a client can see of a NATS server. Whether it syncs to disk before it confirms is not among it.
type Server struct {
	Version    string
	MaxPayload int64 // bytes of the largest message that it takes
	Advised    int64 // bytes that MaxPayload should have at least
	Replicas   int   // the fewest of one of our streams; 0 when there are no streams yet
}

// Inspect looks at a server with JetStream and changes nothing. The error wraps ErrNoJetStream, or is that of Connect.
func Inspect(ctx context.Context, target Target) (Server, error) {
	conn, err := Connect(target, nats.Name("beckon doctor"), nats.Timeout(inspectTimeout), nats.NoReconnect())
	if err != nil {
		return Server{}, err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err == nil {
		_, err = js.AccountInfo(ctx)
	}
	if err != nil {
		return Server{}, fmt.Errorf("%w: %w", ErrNoJetStream, err)
	}
	fewest, err := fewestReplicas(ctx, js)
	if err != nil {
		return Server{}, err
	}
	return Server{
		Version: conn.ConnectedServerVersion(), MaxPayload: conn.MaxPayload(), Advised: minimumAdvisedMaxBytes, Replicas: fewest,
	}, nil
}
