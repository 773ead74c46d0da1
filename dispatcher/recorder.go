package dispatcher

import (
	"context"
	"log/slog"
	"sync"

	"github.com/beckonhq/beckon/internal/store"
)

const recordLimit = 256 // outcomes in one transaction

// recorder stores outcomes, all that wait in one transaction, without lingering.
type recorder struct {
	ledger  Ledger
	metrics *metrics
	log     *slog.Logger
	in      chan store.Outcome

	mu     sync.Mutex
	cancel context.CancelFunc // ends the tries; set while running
}

func newRecorder(ledger Ledger, m *metrics, log *slog.Logger) *recorder {
	return &recorder{ledger: ledger, metrics: m, log: log, in: make(chan store.Outcome, recordLimit)}
}

// put hands an outcome over; it waits while the ledger can't keep up, which keeps the caller's slot taken.
func (r *recorder) put(o store.Outcome) { r.in <- o }

// close ends run after all that was put is stored.
func (r *recorder) close() { close(r.in) }

// giveUp ends the tries to store what the ledger does not take; dead leases tell of it later.
func (r *recorder) giveUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cancel != nil {
		r.cancel()
	}
}

// run stores outcomes until close.
func (r *recorder) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.mu.Lock()
	r.cancel = cancel
	r.mu.Unlock()
	for o := range r.in {
		r.store(ctx, r.gather(o))
	}
}

func (r *recorder) gather(first store.Outcome) []store.Outcome {
	group := []store.Outcome{first}
	for len(group) < recordLimit {
		select {
		case o, ok := <-r.in:
			if !ok {
				return group
			}
			group = append(group, o)
		default:
			return group
		}
	}
	return group
}

// store keeps trying while the ledger is away. A group that can't be stored for another reason is stored one by one, so
// that one bad outcome spoils no other; the bad one's attempt stays in sending and is looked up when its lease is over.
func (r *recorder) store(ctx context.Context, group []store.Outcome) {
	for wait := firstPause; ; wait = min(2*wait, longestPause) {
		err := r.ledger.Record(ctx, group)
		switch {
		case err == nil:
			r.metrics.recorded(group)
			return
		case store.Temporary(err) && ctx.Err() == nil:
			r.log.WarnContext(ctx, "outcomes can't be stored, trying again", "outcomes", len(group), "error", err)
			if sleep(ctx, wait) == nil {
				continue
			}
		}
		if len(group) == 1 || ctx.Err() != nil {
			r.log.ErrorContext(ctx, "the outcome of a call is not stored, it will be looked up at Twilio",
				"attempt", group[0].AttemptID, "outcomes", len(group), "error", err)
			return
		}
		for _, o := range group {
			r.store(ctx, []store.Outcome{o})
		}
		return
	}
}
