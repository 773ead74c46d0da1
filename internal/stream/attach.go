package stream

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Attach connects a command to the streams of a server as they are: it makes none. Close ends the connection. Its error wraps
// ErrNoJetStream, or is that of Connect.
func Attach(ctx context.Context, target Target) (*Client, error) {
	conn, err := Connect(target, nats.Name("beckon command"), nats.Timeout(inspectTimeout), nats.MaxReconnects(-1))
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn)
	if err == nil {
		_, err = js.AccountInfo(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("%w: %w", ErrNoJetStream, err)
	}
	opts := Options{Log: slog.New(slog.DiscardHandler)}.withDefaults()
	c := &Client{nc: conn, js: js, opts: opts, log: opts.Log, codec: newCodec(), owned: true, large: make(chan struct{}, maxLargeInFlight)}
	c.port = port{nc: conn, js: js, link: startLink(conn)}
	return c, nil
}
