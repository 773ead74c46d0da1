package dispatcher

import (
	"context"
	"errors"
	"sync"
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

// pause holds back all claims until a time: Twilio said that it has too much, or that our account is not in order.
type pause struct {
	mu    sync.Mutex
	until time.Time
	why   string // what an operator must mend; empty when the pause ends by itself
}

// alarm begins a pause for a reason that an operator must mend.
func (p *pause) alarm(until time.Time, why string) {
	p.extend(until)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.why = why
}

// clear says that what was to be mended works.
func (p *pause) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.why = ""
}

func (p *pause) reason() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.why
}

func (p *pause) extend(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until.After(p.until) {
		p.until = until
	}
}

// wait returns when no pause is left, also one that began while it waited.
func (p *pause) wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		left := time.Until(p.until)
		p.mu.Unlock()
		if left <= 0 {
			return nil
		}
		if err := sleep(ctx, left); err != nil {
			return err
		}
	}
}
