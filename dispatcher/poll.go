package dispatcher

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twilio"
)

const (
	pollRound       = 5 * time.Second
	pollsTogether   = 4
	pollFailureWait = time.Minute
)

// pollLoop asks Twilio for the messages that stay short of a final state, since callbacks get lost. An attempt is asked for when
// it is PollAfter old, and again each time that its age has doubled, until it is 36 hours old: an SMS may stay sent for good.
// The questions of this process are PollsPerMinute at most.
func (d *Dispatcher) pollLoop(ctx context.Context) error {
	round := max(min(pollRound, d.PollAfter), time.Minute/time.Duration(d.PollsPerMinute))
	limit := max(1, int(time.Duration(d.PollsPerMinute)*round/time.Minute))
	return d.every(ctx, round, "the poll of statuses", func(ctx context.Context) error {
		if err := d.Ledger.CollectPolls(ctx, d.PollAfter); err != nil {
			return err
		}
		polls, err := d.Ledger.DuePolls(ctx, limit)
		if err != nil {
			return err
		}
		var all errgroup.Group
		all.SetLimit(pollsTogether)
		for _, p := range polls {
			all.Go(func() error { return d.poll(ctx, p) })
		}
		return all.Wait()
	})
}

// poll asks for one message and applies the answer like a callback.
func (d *Dispatcher) poll(ctx context.Context, p store.Poll) error {
	l := d.laneOf(p.Sender)
	if l == nil { // not configured here, or not any more
		return d.Ledger.PutOffPoll(ctx, p.AttemptID, pollFailureWait)
	}
	asking, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := l.Twilio.Fetch(asking, p.SID)
	if failure, ok := twilio.AsError(err); ok && failure.Status == http.StatusNotFound {
		d.metrics.polls.WithLabelValues("gone").Inc() // Twilio keeps messages for a time, or somebody deleted it
		return d.Ledger.DropPoll(ctx, p.AttemptID)
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.metrics.polls.WithLabelValues("failed").Inc()
		d.Log.DebugContext(ctx, "Twilio could not be asked for the status of a message", "attempt", p.AttemptID, "error", err)
		return d.Ledger.PutOffPoll(ctx, p.AttemptID, pollFailureWait)
	}
	state, ok := twilio.StatusToState(found.Status)
	if !ok {
		d.metrics.polls.WithLabelValues("same").Inc()
		return nil
	}
	moved, err := d.applyFound(ctx, &found, p.MessageID, p.AttemptID, state)
	if err != nil {
		return err
	}
	result := "same"
	if len(moved) > 0 {
		result = "moved"
		d.Log.InfoContext(ctx, "a status whose callback did not come was fetched", "attempt", p.AttemptID, "state", state)
	}
	d.metrics.polls.WithLabelValues(result).Inc()
	return nil
}
