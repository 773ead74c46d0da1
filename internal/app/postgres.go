package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/beckonhq/beckon/internal/embedded/postgres"
)

// keeper runs the private Postgres server and starts it again when it ends by itself: the door goes on meanwhile.
type keeper struct {
	config postgres.Config
	log    *slog.Logger

	mu      sync.Mutex
	server  *postgres.Server
	stopped bool
}

func (k *keeper) start(ctx context.Context) (dsn string, err error) {
	server, err := postgres.Start(ctx, k.config)
	if err != nil {
		return "", err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped { // while it started
		return "", errors.Join(errStopped, server.Stop(context.WithoutCancel(ctx)))
	}
	k.server = server
	return server.DSN(), nil
}

// errStopped says that the server was started too late to be of use.
var errStopped = errors.New("beckon stops")

// running is the server of the moment, and whether stop was called.
func (k *keeper) running() (*postgres.Server, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.server, k.stopped
}

// keep starts the server again whenever it has ended by itself, until ctx or stop ends it.
func (k *keeper) keep(ctx context.Context) error {
	const longest = 30 * time.Second
	for wait := time.Second; ; {
		server, _ := k.running()
		select {
		case <-server.Done():
		case <-ctx.Done():
			return nil
		}
		if _, stopped := k.running(); stopped {
			return nil
		}
		k.log.ErrorContext(ctx, "the private Postgres server ended by itself, starting it again", "error", server.Err())
		before := server.DSN()
		dsn, err := k.start(ctx)
		switch {
		case err != nil:
			k.log.ErrorContext(ctx, "the private Postgres server does not start, trying again", "error", err)
		case dsn != before: // somebody took the socket's directory
			return errors.New("the private Postgres server came back under another address: start beckon again")
		default:
			wait = time.Second
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		wait = min(2*wait, longest)
	}
}

func (k *keeper) stop(ctx context.Context) error {
	k.mu.Lock()
	k.stopped = true
	server := k.server
	k.mu.Unlock()
	if err := server.Stop(ctx); err != nil {
		return fmt.Errorf("stop the private Postgres: %w", err)
	}
	return nil
}
