package dispatcher

import "math"

// Standing says whether calls may begin: whether the ledger is as far as what was sent, and the belt has confirmed that we send.
// round changes at the end of each time in which they might not. *lifemark.Keeper is one.
type Standing interface {
	Licence() (round int, err error)
}

// licensed is nil when calls may begin. After a hold the barrier looks at all replies anew: they may have been set back.
func (d *Dispatcher) licensed() error {
	if d.Standing == nil {
		return nil
	}
	round, err := d.Standing.Licence()
	if err != nil {
		return temporary{err}
	}
	if round != d.round {
		d.round = round
		d.barrier.forget()
	}
	return nil
}

// forget makes the next look wait for the work on every reply that there is.
func (b *barrier) forget() { b.seen, b.calm = math.MaxUint64, false }
