package dispatcher

import (
	"context"
	"math"
)

// Standing says whether calls may begin: whether the ledger is as far as what was sent, and the belt has confirmed that we send.
// round changes at the end of each time in which they might not. *lifemark.Keeper is one.
type Standing interface {
	Licence() (round int, err error)
	// Await returns when this is the ledger to work on. What comes back from Twilio waits for it as well: a reply that was worked
	// on in another ledger would be missing in ours.
	Await(ctx context.Context) error
}

// onOurLedger waits until this is the ledger to work on.
func (d *Dispatcher) onOurLedger(ctx context.Context) error {
	if d.Standing == nil {
		return nil
	}
	return d.Standing.Await(ctx)
}

// licensed is nil when calls may begin. After a hold the barrier looks at all replies anew: they may have been set back.
func (l *lane) licensed() error {
	if l.Standing == nil {
		return nil
	}
	round, err := l.Standing.Licence()
	if err != nil {
		return temporary{err}
	}
	if round != l.round {
		l.round = round
		l.barrier.forget()
	}
	return nil
}

// forget makes the next look wait for the work on every reply that there is.
func (b *barrier) forget() { b.seen, b.calm = math.MaxUint64, false }
