package router

import (
	"context"
	"sync"
	"time"

	"github.com/beckonhq/beckon/internal/stream"
)

// inHand are the deliveries between their fetch and their acknowledgement. They are kept from being delivered again for as
// long as that takes: waiting for Postgres, a long transaction, or their turn behind another group.
type inHand struct {
	mu         *sync.Mutex
	deliveries map[*stream.Delivery]struct{}
}

func newInHand() inHand {
	return inHand{mu: &sync.Mutex{}, deliveries: map[*stream.Delivery]struct{}{}}
}

func (h inHand) take(deliveries []*stream.Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range deliveries {
		h.deliveries[d] = struct{}{}
	}
}

func (h inHand) release(d *stream.Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.deliveries, d)
}

// keep says of all of them that they are worked on, again and again until ctx ends.
func (h inHand) keep(ctx context.Context) error {
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			h.each(func(d *stream.Delivery) { _ = d.InProgress() }) // if it is lost, the envelope comes again
		case <-ctx.Done():
			return nil
		}
	}
}

// giveBack asks for new deliveries at once, so that nobody waits for the end of AckWait. If that is lost, they come then.
func (h inHand) giveBack() {
	h.each(func(d *stream.Delivery) { _ = d.Nak(0) })
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.deliveries)
}

func (h inHand) each(do func(*stream.Delivery)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for d := range h.deliveries {
		do(d)
	}
}
