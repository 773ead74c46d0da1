package dispatcher

import (
	"context"
	"time"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
	barrierLimit = 3 * time.Second // after a claim; then the claim is given back
)

// sendLoop claims messages with free slots only and starts their calls.
func (d *Dispatcher) sendLoop(ctx context.Context) error {
	for {
		if err := d.pause.wait(ctx); err != nil {
			return err
		}
		free, err := d.takeSlots(ctx)
		if err != nil {
			return err
		}
		deliveries, err := d.Messages.Fetch(ctx, free)
		if err != nil {
			d.giveSlots(free)
			return err
		}
		started, err := d.dispatch(ctx, deliveries)
		d.giveSlots(free - started)
		if err != nil {
			return err
		}
	}
}

// takeSlots waits for a free slot and takes all that are free.
func (d *Dispatcher) takeSlots(ctx context.Context) (int, error) {
	select {
	case d.slots <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	for n := 1; ; n++ {
		select {
		case d.slots <- struct{}{}:
		default:
			return n, nil
		}
	}
}

func (d *Dispatcher) giveSlots(n int) {
	for range n {
		<-d.slots
	}
}

// dispatch claims the messages and starts a call for each one claimed. The belt's messages are acknowledged once the claim
// is committed: from then on the ledger has the attempt. It returns how many calls were started.
func (d *Dispatcher) dispatch(ctx context.Context, deliveries []*stream.Delivery) (int, error) {
	ids := make([]string, len(deliveries))
	for i, delivery := range deliveries {
		ids[i] = string(delivery.Data)
	}
	var result *store.ClaimResult
	var deadline time.Time
	err := d.persist(ctx, deliveries, func(ctx context.Context) error {
		if _, err := d.barrier.wait(ctx); err != nil {
			return temporary{err}
		}
		deadline = time.Now().Add(d.SendTimeout)
		var err error
		result, err = d.Ledger.Claim(ctx, store.ClaimRequest{IDs: ids, Sender: d.Sender.Name, Lease: d.lease(), Judge: d.judge})
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, delivery := range deliveries {
		if err := delivery.Ack(); err != nil {
			d.Log.WarnContext(ctx, "a message on the belt could not be acknowledged and will come again", "error", err)
		}
	}
	d.metrics.claimed(result)
	allowed := d.recheck(ctx, result.Claimed)
	for _, claimed := range allowed {
		go func() {
			defer d.giveSlots(1)
			d.send(context.WithoutCancel(ctx), claimed, deadline)
		}()
	}
	return len(allowed), nil
}

// recheck looks, right before the calls, whether a reply has been received that the claim could not know. Then it waits for
// it and looks at consent again; messages to people who opted out are suppressed, and everything goes back to the queue
// when the replies can't be worked on soon.
func (d *Dispatcher) recheck(ctx context.Context, claimed []store.Claimed) []store.Claimed {
	if len(claimed) == 0 {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, barrierLimit)
	defer cancel()
	stale, err := d.barrier.wait(waiting)
	if err == nil && !stale {
		return claimed
	}
	var states map[address.Address]consent.State
	if err == nil {
		states, err = d.Ledger.Consent(waiting, addresses(claimed))
	}
	if err != nil {
		d.Log.WarnContext(ctx, "replies are waiting to be worked on, nothing is sent meanwhile", "messages", len(claimed), "error", err)
		for _, c := range claimed {
			d.recorder.put(canceled(c, message.Queued, message.ReasonRetry))
		}
		return nil
	}
	var allowed []store.Claimed
	for _, c := range claimed {
		verdict := consentGate(&store.Candidate{Message: c.Message, Consent: states[c.Message.To]}, c.Channel)
		if verdict.refuse != "" {
			d.recorder.put(canceled(c, message.Suppressed, verdict.refuse))
			continue
		}
		allowed = append(allowed, c)
	}
	return allowed
}

// canceled gives up an attempt whose call never began.
func canceled(c store.Claimed, state message.State, reason message.Reason) store.Outcome {
	return store.Outcome{
		MessageID: c.Message.ID, AttemptID: c.AttemptID, State: message.Canceled, Detail: "given up before the call",
		MessageState: state, Reason: reason, RetryAfter: time.Second, NextChannel: c.Index,
	}
}

func addresses(claimed []store.Claimed) []address.Address {
	out := make([]address.Address, len(claimed))
	for i, c := range claimed {
		out[i] = c.Message.To
	}
	return out
}
