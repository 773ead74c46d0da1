package dispatcher

import (
	"context"
	"fmt"
	"time"
)

// barrierPoll is how often the barrier looks whether another dispatcher has worked on the replies; our own work wakes it.
const barrierPoll = 50 * time.Millisecond

// barrier knows up to which sequence of CALLBACKS all replies are worked on (their consent is committed), and waits for
// those that are not. It is used by one goroutine.
type barrier struct {
	belt    Belt
	inbound Source
	worked  notifier
	floor   uint64 // only ever rises within a life of the stream
}

// wait returns when every reply that was durably received before the call has been worked on. It tells whether there
// were any that had not been at the last look: then consent read before may be stale.
func (b *barrier) wait(ctx context.Context) (stale bool, err error) {
	for {
		last, err := b.belt.LastInbound(ctx)
		if err != nil {
			return stale, fmt.Errorf("ask for the newest reply: %w", err)
		}
		if last <= b.floor {
			return stale, nil
		}
		stale = true
		if b.floor, err = b.inbound.AckFloor(ctx); err != nil {
			return stale, fmt.Errorf("ask which replies are worked on: %w", err)
		}
		if last <= b.floor {
			return stale, nil
		}
		timer := time.NewTimer(barrierPoll)
		select {
		case <-ctx.Done():
			timer.Stop()
			return stale, fmt.Errorf("wait for replies to be worked on: %w", ctx.Err())
		case <-b.worked:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// notifier wakes one waiter; wakings while nobody waits are folded into one.
type notifier chan struct{}

func newNotifier() notifier { return make(notifier, 1) }

func (n notifier) wake() {
	select {
	case n <- struct{}{}:
	default:
	}
}
