package stream

import (
	"context"
	"errors"
	"sync"

	"github.com/nats-io/nats.go"
)

var errBroken = errors.New("the connection to NATS broke")

// link ends the wait for a confirmation when the connection breaks: an answer under way is lost then, and waiting for
// it until the time-out would hold up everything behind it. It has one goroutine, from startLink to close.
type link struct {
	nc      *nats.Conn
	events  chan nats.Status
	stopped chan struct{}

	mu     sync.Mutex
	intact context.Context //nolint:containedctx // it stands for the life of a connection, not of a call
	tear   context.CancelCauseFunc
}

func startLink(nc *nats.Conn) *link {
	l := &link{
		nc: nc, events: nc.StatusChanged(nats.DISCONNECTED, nats.RECONNECTING, nats.CLOSED), stopped: make(chan struct{}),
	}
	l.intact, l.tear = context.WithCancelCause(context.Background())
	go l.watch()
	return l
}

func (l *link) watch() {
	defer close(l.stopped)
	for range l.events {
		l.mu.Lock()
		l.tear(errBroken)
		l.intact, l.tear = context.WithCancelCause(context.Background()) //nolint:fatcontext // not nested: each is new
		l.mu.Unlock()
	}
}

func (l *link) close() {
	l.nc.RemoveStatusListener(l.events) // closes the channel
	<-l.stopped
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tear(ErrClosed)
}

// bound returns a context that also ends when the connection breaks, and its release.
func (l *link) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	l.mu.Lock()
	intact := l.intact
	l.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(intact, func() { cancel(context.Cause(intact)) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}
