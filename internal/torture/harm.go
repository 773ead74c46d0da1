package torture

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/beckonhq/beckon/internal/twiliosim"
)

// Suffered is a fault as it happened.
type Suffered struct {
	Fault

	Began    time.Time `json:"began"`
	Healed   time.Time `json:"healed"`
	Problem  string    `json:"problem,omitempty"` // why it could not be done
	Recovery Recovery  `json:"recovery"`
}

// harm does the faults at their times, and returns them when all are healed. When ctx ends the rest is left out and what is
// under way is healed at once.
func (w *world) harm(ctx context.Context, faults []Fault, work *load, told func(Fault)) []Suffered {
	start := time.Now()
	var mu sync.Mutex
	var done []Suffered
	var under sync.WaitGroup
	for _, f := range faults {
		if !pause(ctx, time.Until(start.Add(f.At))) {
			break
		}
		told(f)
		under.Go(func() {
			s := Suffered{Fault: f, Began: time.Now()}
			if err := w.strike(ctx, f, work); err != nil {
				s.Problem = err.Error()
			}
			pause(ctx, time.Until(start.Add(f.end())))
			w.heal(f) //nolint:contextcheck // a process outlives the harm to it
			s.Healed = time.Now()
			mu.Lock()
			defer mu.Unlock()
			done = append(done, s)
		})
	}
	under.Wait()
	return done
}

// strike begins a fault.
func (w *world) strike(ctx context.Context, f Fault, work *load) error {
	switch f.Kind {
	case Kill:
		w.processes[f.Target].kill()
	case Restart:
		w.processes[f.Target].end(stopPatience)
	case Freeze:
		w.processes[f.Target].freeze()
	case Cut:
		w.strikeEdges(f.Target, weather{refuse: f.For > 0})
		for _, name := range w.chart.matching(f.Target) {
			w.edges[name].cut()
		}
	case Blackhole:
		w.strikeEdges(f.Target, weather{up: f.Detail != "to the client", down: f.Detail != "to the server"})
	case Slow:
		var millis int
		if _, err := fmt.Sscanf(f.Detail, "%d ms", &millis); err != nil {
			return fmt.Errorf("fault %d: %w", f.Number, err)
		}
		w.strikeEdges(f.Target, weather{delay: time.Duration(millis) * time.Millisecond})
	case Answers:
		return w.spoil(ctx, f, work)
	}
	return nil
}

// heal ends a fault.
func (w *world) heal(f Fault) {
	switch f.Kind {
	case Kill, Restart:
		w.revive(f.Target)
	case Freeze:
		w.processes[f.Target].thaw()
	case Cut, Blackhole, Slow:
		w.strikeEdges(f.Target, weather{})
	case Answers:
	}
}

func (w *world) strikeEdges(pattern string, sky weather) {
	for _, name := range w.chart.matching(pattern) {
		w.edges[name].set(sky)
	}
}

// spoil tells the Twilio simulator how its next answers go wrong.
func (w *world) spoil(ctx context.Context, f Fault, work *load) error {
	var kind string
	var count int
	if _, err := fmt.Sscanf(f.Detail, "%s x%d", &kind, &count); err != nil {
		return fmt.Errorf("fault %d: %w", f.Number, err)
	}
	return work.misbehave(ctx, twiliosim.Fault{
		Kind: twiliosim.FaultKind(kind), Count: count, RetryAfterSeconds: 1,
		DelayMS: int((sendTimeout + sendTimeout/2).Milliseconds()), // an answer that comes when nobody waits any more
	})
}
