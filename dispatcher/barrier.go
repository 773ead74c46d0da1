package dispatcher

import (
	"context"
	"fmt"
	"time"
)

// barrierPoll is how often the barrier looks whether another dispatcher has worked on the replies; our own work wakes it.
const barrierPoll = 10 * time.Millisecond

// barrier waits for replies that nobody has worked on yet (whose consent is not committed). It is used by one goroutine.
type barrier struct {
	belt    Belt
	inbound Source
	worked  notifier
	seen    uint64 // the newest reply at the last look; it and all before it were worked on
	calm    bool   // the last look found nothing new
}

// caughtUp returns when the replies that were received before the call have been worked on, unless the last look, right
// before the last calls, found nothing new: the look before the next ones will tell. It only saves claims that would be
// given back, and is how a start and the end of an outage wait for what has piled up.
func (b *barrier) caughtUp(ctx context.Context, limit time.Duration) error {
	if b.calm {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := b.wait(ctx)
	return err
}

// wait returns when every reply that was durably received before the call has been worked on. It tells whether any came
// since the last look: then consent that was read before may be stale. Replies that come while it waits hold nobody up.
func (b *barrier) wait(ctx context.Context) (stale bool, err error) {
	defer func() { b.calm = err == nil && !stale }()
	last, err := b.belt.LastInbound(ctx)
	if err != nil {
		return false, fmt.Errorf("ask for the newest reply: %w", err)
	}
	stale = last != b.seen // also less: the stream was created anew
	for last != b.seen {
		floor, err := b.inbound.AckFloor(ctx)
		if err != nil {
			return stale, fmt.Errorf("ask which replies are worked on: %w", err)
		}
		if last <= floor {
			b.seen = last
			break
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
	return stale, nil
}

// notifier wakes one waiter; wakings while nobody waits are folded into one.
type notifier chan struct{}

// notifiers wake one waiter each.
type notifiers []notifier

func (all notifiers) wake() {
	for _, n := range all {
		n.wake()
	}
}

func newNotifier() notifier { return make(notifier, 1) }

func (n notifier) wake() {
	select {
	case n <- struct{}{}:
	default:
	}
}
