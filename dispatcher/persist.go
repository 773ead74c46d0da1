package dispatcher

import (
	"context"
	"errors"
	"time"

	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

const keepAlive = 5 * time.Second

// temporary marks a failure of the belt: waiting cures it.
type temporary struct{ error }

func (t temporary) Unwrap() error { return t.error }

// persist calls do until it succeeds, fails for a reason that waiting does not cure, or ctx ends. Meanwhile it keeps the
// deliveries from being delivered again.
func (d *Dispatcher) persist(ctx context.Context, deliveries []*stream.Delivery, do func(context.Context) error) error {
	wait, told, alive := firstPause, false, time.Now()
	for {
		err := do(ctx)
		var t temporary
		switch {
		case err == nil:
			if told {
				d.Log.InfoContext(ctx, "the dispatcher works again")
			}
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.As(err, &t) && !store.Temporary(err):
			return err
		case !told:
			told = true
			d.Log.WarnContext(ctx, "the dispatcher waits for what it depends on", "error", err)
		}
		d.metrics.waits.Inc()
		if time.Since(alive) > keepAlive {
			alive = time.Now()
			for _, delivery := range deliveries {
				_ = delivery.InProgress() // if it is lost, the message comes again
			}
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, longestPause)
	}
}

// sleep waits unless ctx ends first.
func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
