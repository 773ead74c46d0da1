package stream

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Attach connects a command to the streams of a server as they are: it makes none. Creds is the
// path of a credentials file; creds and token may be empty. Close ends the connection.
func Attach(ctx context.Context, url, creds, token string) (*Client, error) {
	conn, err := dial(url, creds, token, nats.Name("beckon command"), nats.MaxReconnects(-1))
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

// dial opens one connection that does not wait for a server that is away.
func dial(url, creds, token string, options ...nats.Option) (*nats.Conn, error) {
	options = append(options, nats.Timeout(inspectTimeout))
	if creds != "" {
		options = append(options, nats.UserCredentials(creds))
	}
	if token != "" {
		options = append(options, nats.Token(token))
	}
	conn, err := nats.Connect(url, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return conn, nil
}
