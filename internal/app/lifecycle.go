package app

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

// closers end the parts of a process in the reverse order of their start, each by name.
type closers struct {
	log   *slog.Logger
	steps []closer
}

type closer struct {
	name string
	end  func(context.Context) error
}

func (c *closers) add(name string, end func(context.Context) error) {
	c.steps = append(c.steps, closer{name, end})
}

// first makes the named part the first one to end, whenever it was started.
func (c *closers) first(name string) {
	i := slices.IndexFunc(c.steps, func(step closer) bool { return step.name == name })
	if i < 0 {
		return
	}
	step := c.steps[i]
	c.steps = append(slices.Delete(c.steps, i, i+1), step)
}

// close ends every part, also when one before it failed or ran out of time.
func (c *closers) close(ctx context.Context) {
	for _, step := range slices.Backward(c.steps) {
		began := time.Now()
		if err := step.end(ctx); err != nil {
			c.log.WarnContext(ctx, "stopped with an error", "part", step.name, "error", err, "took", time.Since(began))
			continue
		}
		c.log.DebugContext(ctx, "stopped", "part", step.name, "took", time.Since(began))
	}
	c.steps = nil
}
