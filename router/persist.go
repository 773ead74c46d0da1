package router

import (
	"context"
	"errors"
	"time"

	"github.com/beckonhq/beckon/internal/store"
)

// temporary marks a failure of the belt: waiting cures it.
type temporary struct{ error }

func (t temporary) Unwrap() error { return t.error }

func isTemporary(err error) bool {
	var t temporary
	return errors.As(err, &t) || store.Temporary(err)
}

// persist calls do until it succeeds, fails for a reason that waiting does not cure, or ctx ends. Meanwhile it keeps the
// deliveries of the group from being delivered again.
func (r *Router) persist(ctx context.Context, group []envelope, do func(context.Context) error) error {
	pause, told, alive := firstPause, false, time.Now()
	for {
		err := do(ctx)
		switch {
		case err == nil:
			if told {
				r.Log.InfoContext(ctx, "the router works again")
			}
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !isTemporary(err):
			return err
		case !told:
			told = true
			r.Log.WarnContext(ctx, "the router waits for what it depends on", "error", err)
		}
		r.metrics.waits.Inc()
		if time.Since(alive) > keepAlive {
			alive = time.Now()
			for _, e := range group {
				_ = e.delivery.InProgress() // if it is lost, the envelope comes again
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		pause = min(2*pause, longestPause)
	}
}
