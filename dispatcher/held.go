package dispatcher

import (
	"context"
	"time"
)

// heldLong is the age from which on somebody should know that a gate still holds a message back: longer than a weekend without an
// opening.
const heldLong = 48 * time.Hour

// lookForHeld tells of messages that a gate has held back for long: a rule that somebody paused and forgot, a cap that always fills
// anew. Their time has not begun, so that they wait for ever.
func (d *Dispatcher) lookForHeld(ctx context.Context) error {
	held, err := d.Ledger.Held(ctx, heldLong)
	if err != nil {
		return err
	}
	d.metrics.heldLong.Reset()
	for reason, n := range held {
		d.metrics.heldLong.WithLabelValues(string(reason)).Set(float64(n))
	}
	return nil
}

// lookForWaiting tells how long replies wait for their rules, and webhooks for their servers. Both are the router's work: it is told of
// here, so that a router that is stuck, or away, is noticed.
func (d *Dispatcher) lookForWaiting(ctx context.Context) error {
	reply, webhook, err := d.Ledger.OldestWaiting(ctx)
	if err != nil {
		return err
	}
	d.metrics.oldestReply.Set(reply.Seconds())
	d.metrics.oldestWebhook.Set(webhook.Seconds())
	return nil
}
