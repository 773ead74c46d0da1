package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/beckonhq/beckon/internal/embedded/postgres"
)

// A server that ended by itself is started again after a wait, which doubles while it does not stay up.
const (
	firstRestart   = 100 * time.Millisecond
	longestRestart = 30 * time.Second
	steadyUptime   = time.Minute
)

// keeper runs the private Postgres server and starts it again when it ends by itself: the door goes on meanwhile. start, then
// keep in a goroutine of its own, then stop.
type keeper struct {
	config  postgres.Config
	log     *slog.Logger
	server  *postgres.Server // keep's while it runs
	cancel  context.CancelFunc
	keeping context.Context //nolint:containedctx // ends with stop; keep and what it starts hang on it
	kept    chan struct{}   // closed when keep has returned
}

func newKeeper(config postgres.Config) *keeper {
	k := &keeper{config: config, log: config.Log, kept: make(chan struct{})}
	k.keeping, k.cancel = context.WithCancel(context.Background())
	return k
}

func (k *keeper) start(ctx context.Context) (dsn string, err error) {
	if k.server, err = postgres.Start(ctx, k.config); err != nil {
		return "", err
	}
	return k.server.DSN(), nil
}

// keep starts the server again whenever it has ended by itself, until stop.
func (k *keeper) keep() error {
	defer close(k.kept)
	dsn, wait := k.server.DSN(), firstRestart
	for {
		began := time.Now()
		select {
		case <-k.server.Done():
		case <-k.keeping.Done():
			return nil
		}
		k.log.ErrorContext(k.keeping, "the private Postgres server ended by itself, starting it again", "error", k.server.Err())
		if time.Since(began) > steadyUptime {
			wait = firstRestart
		}
		if err := k.restart(wait); err != nil || k.keeping.Err() != nil {
			return err
		}
		if k.server.DSN() != dsn { // somebody took the socket's directory
			return errors.New("the private Postgres server came back under another address: start beckon again")
		}
		wait = min(2*wait, longestRestart)
	}
}

// restart tries until a server runs or stop ends it.
func (k *keeper) restart(wait time.Duration) error {
	for ; ; wait = min(2*wait, longestRestart) {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-k.keeping.Done():
			timer.Stop()
			return nil
		}
		server, err := postgres.Start(k.keeping, k.config)
		if err == nil {
			k.server = server
			return nil
		}
		if k.keeping.Err() == nil {
			k.log.ErrorContext(k.keeping, "the private Postgres server does not start, trying again", "error", err)
		}
	}
}

// stop ends keep, a start in progress too, and then the server.
func (k *keeper) stop(ctx context.Context) error {
	k.cancel()
	select {
	case <-k.kept:
	case <-ctx.Done():
		return fmt.Errorf("stop the private Postgres: %w", ctx.Err())
	}
	if err := k.server.Stop(ctx); err != nil {
		return fmt.Errorf("stop the private Postgres: %w", err)
	}
	return nil
}
