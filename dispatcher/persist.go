package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

// keepAlive is how often a delivery is said to be in progress: well within the shortest AckWait.
const keepAlive = 2 * time.Second

// temporary marks a failure of the belt: waiting cures it.
type temporary struct{ error }

func (t temporary) Unwrap() error { return t.error }

// persist calls do until it succeeds, fails for a reason that waiting does not cure, or ctx ends. Meanwhile it keeps the
// deliveries from being delivered again.
func (d *Dispatcher) persist(ctx context.Context, deliveries []*stream.Delivery, do func(context.Context) error) error {
	defer inProgress(deliveries)()
	wait, told := firstPause, false
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
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, longestPause)
	}
}

// inProgress says of deliveries that they are worked on, again and again until stop is called: also while one call takes long.
func inProgress(deliveries []*stream.Delivery) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(keepAlive)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				for _, delivery := range deliveries {
					_ = delivery.InProgress() // if it is lost, the message comes again
				}
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

// errPanicked says that working on a delivery panicked; the log has the stack.
var errPanicked = errors.New("working on it panicked")

// guard turns a panic into an error, so that it costs one delivery, as a dead letter, and not the process again and again.
func guard[T any](ctx context.Context, d *Dispatcher, do func() (T, error)) (result T, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			d.Log.ErrorContext(ctx, "working on a delivery panicked", "kind", fmt.Sprintf("%T", cause), "stack", string(debug.Stack()))
			err = errPanicked
		}
	}()
	return do()
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
