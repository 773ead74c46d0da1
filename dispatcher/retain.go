package dispatcher

import (
	"context"
	"time"

	"github.com/beckonhq/beckon/internal/store"
)

const (
	retainRound = time.Hour
	retainLimit = 500 // rows in one statement
)

// retainLoop takes old content out of the ledger, each kind after its own time, in one process at a time.
func (d *Dispatcher) retainLoop(ctx context.Context) error {
	if len(d.Keep) == 0 {
		return nil
	}
	return d.every(ctx, time.Minute, "the retention", func(ctx context.Context) error {
		_, taken, err := d.Ledger.TakeMark(ctx, "retention", retainRound, false)
		if err != nil || !taken {
			return err
		}
		for kind, keep := range d.Keep {
			if err := d.retain(ctx, kind, keep); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d *Dispatcher) retain(ctx context.Context, kind store.RetentionKind, keep time.Duration) error {
	n, err := d.Ledger.Retain(ctx, kind, keep, retainLimit)
	d.metrics.retained.WithLabelValues(string(kind)).Add(float64(n))
	return err
}
