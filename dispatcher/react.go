package dispatcher

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/twilio"
)

// laterRetry is the wait before a message is tried again whose delivery failed, when the table has none.
const laterRetry = time.Minute

// react notes what the table of reactions says of a failed delivery.
func (d *Dispatcher) react(event *store.StatusEvent) {
	if event.State != message.Failed && event.State != message.Undelivered {
		return
	}
	rule := d.Reactions.ForCountry(twilio.PhaseCallback, event.ErrorCode, 0, event.To.Country())
	event.Fallback, event.Retries, event.WindowClosed = rule.Fallback, cmp.Or(rule.Retries, d.Tries), rule.Window
	switch rule.Reaction {
	case twilio.OptOut:
		event.OptOut = consent.FromErrorCode
	case twilio.Retry:
		event.Again, event.Doubles = jitter(cmp.Or(rule.RetryAfter, laterRetry)), true
	case twilio.Defer:
		event.Again = deferral(&rule)
	case twilio.Permanent, twilio.Alert, twilio.Content, twilio.SoftFail, twilio.Reconcile:
	}
}

// alerts counts the failures that operators must hear of.
func (d *Dispatcher) alerts(events []store.StatusEvent) {
	for _, e := range events {
		failed := e.State == message.Failed || e.State == message.Undelivered
		if failed && d.Reactions.ForCountry(twilio.PhaseCallback, e.ErrorCode, 0, e.To.Country()).Alert {
			d.metrics.alert(e.ErrorCode)
		}
	}
}

// applyOptOut works on a status whose error code says that the person does not want messages. It comes among the replies, since
// the barrier waits for it as for a STOP.
func (d *Dispatcher) applyOptOut(ctx context.Context, delivery *stream.Delivery, held []*stream.Delivery) error {
	event, err := d.statusEvent(delivery)
	if err != nil {
		return d.giveUpOptOut(ctx, delivery, held, &event, err)
	}
	event.OptOut = consent.FromErrorCode // the door's table said so, whatever ours does
	var moved []message.State
	err = d.persist(ctx, held, func(ctx context.Context) (err error) {
		moved, err = d.Ledger.ApplyStatus(ctx, []store.StatusEvent{event})
		return err
	})
	switch {
	case err == nil:
		d.metrics.moved(moved)
		d.alerts([]store.StatusEvent{event})
		d.ack(ctx, []*stream.Delivery{delivery})
		return nil
	case ctx.Err() != nil:
		return err
	}
	return d.giveUpOptOut(ctx, delivery, held, &event, err)
}

// giveUpOptOut makes a dead letter of such a status, after it has counted if one can read whom it is about.
func (d *Dispatcher) giveUpOptOut(
	ctx context.Context, delivery *stream.Delivery, held []*stream.Delivery, event *store.StatusEvent, cause error,
) error {
	if event.To != "" {
		entry := consent.Entry{
			Org: consent.AnyOrg, Address: event.To, Channel: event.Channel, Action: consent.OptOut, Source: consent.FromErrorCode,
			Evidence: cmp.Or(event.SID, placeOf(delivery)), OccurredAt: event.Received,
		}
		if err := d.insist(ctx, entry, held); err != nil {
			return err
		}
	}
	return d.deadLetter(ctx, stream.Callbacks, delivery, cause)
}

// insist stores what a person said about consent, whatever is wrong with the rest of what they said.
func (d *Dispatcher) insist(ctx context.Context, entry consent.Entry, held []*stream.Delivery) error {
	return d.persist(ctx, held, func(ctx context.Context) error {
		if err := d.Ledger.AddConsent(ctx, entry); err != nil {
			return temporary{fmt.Errorf("the consent of a reply can't be stored, nothing is sent meanwhile: %w", err)}
		}
		return nil
	})
}
