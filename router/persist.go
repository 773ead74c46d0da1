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

// persist calls do until it succeeds, fails for a reason that waiting does not cure, or ctx ends.
func (r *Router) persist(ctx context.Context, do func(context.Context) error) error {
	pause, told := firstPause, false
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
