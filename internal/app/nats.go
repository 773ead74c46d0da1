package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/stream"
)

// pingInterval is how often a silent connection to NATS is tried; a dead peer is noticed after two.
const pingInterval = 5 * time.Second

// NATSTarget is how the configured NATS servers are reached; its URL is empty for the embedded one.
func NATSTarget(cfg *config.Config) stream.Target {
	return stream.Target{
		URL: cfg.NATS.URL.Reveal(), Creds: cfg.NATS.Creds, CA: cfg.NATS.CA, Cert: cfg.NATS.Cert, Key: cfg.NATS.Key,
	}
}

// connectNATS waits for servers that do not answer, and fails at once when one refuses us or we refuse it.
func (a *App) connectNATS(ctx context.Context) error {
	return a.insist(ctx, "NATS", func(context.Context) (err error) {
		a.conn, err = stream.Connect(NATSTarget(a.cfg), a.natsOptions()...)
		if errors.Is(err, stream.ErrUnusable) {
			return fmt.Errorf("%w: %w", ErrSetup, err)
		}
		if err != nil {
			return err
		}
		a.closers.add("NATS connection", func(context.Context) error { a.conn.Close(); return nil })
		return nil
	})
}

func (a *App) natsOptions() []nats.Option {
	return []nats.Option{
		nats.Name("beckon " + strings.Join(a.opts.Roles, ",")), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond),
		nats.PingInterval(pingInterval), nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				a.log.Warn("the connection to NATS is lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { a.log.Info("the connection to NATS is back") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { a.log.Warn("NATS reports an error", "error", err) }),
	}
}
