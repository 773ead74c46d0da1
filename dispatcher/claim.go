package dispatcher

import (
	"context"
	"errors"
	"slices"
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
	slotsWait    = 4 * time.Millisecond
	// slotsPerFetch slots are had for each delivery fetched: one carries a single id when little is to do, and up to 32 when
	// there is much; then the rest of them waits for slots.
	slotsPerFetch = 8
	beforeClaim   = 5 * time.Second // for replies to be worked on; then we look anew
	afterClaim    = 3 * time.Second // the same; then the claim is given back
)

// sendLoop claims messages with free slots only and starts their calls.
func (d *Dispatcher) sendLoop(ctx context.Context) error {
	for {
		free, err := d.takeSlots(ctx, 1)
		if err != nil {
			return err
		}
		if err := d.pause.wait(ctx); err != nil { // rather than with messages in hand
			d.giveSlots(free)
			return err
		}
		deliveries, err := d.Messages.Fetch(ctx, max(1, free/slotsPerFetch))
		if err != nil {
			d.giveSlots(free)
			return err
		}
		if err := d.dispatch(ctx, deliveries, free); err != nil {
			giveBack(deliveries)
			return err
		}
		d.ack(ctx, deliveries)
	}
}

// takeSlots waits for a free slot, a little longer for enough of them, and takes all that are free.
func (d *Dispatcher) takeSlots(ctx context.Context, enough int) (int, error) {
	select {
	case d.slots <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	n := 1
	late := time.NewTimer(slotsWait)
	defer late.Stop()
	for n < enough {
		select {
		case d.slots <- struct{}{}:
			n++
		case <-late.C:
			enough = 0
		case <-ctx.Done():
			d.giveSlots(n)
			return 0, ctx.Err()
		}
	}
	for ; ; n++ {
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

// dispatch claims the messages that the deliveries name and starts a call for each one claimed, as slots come free; free is
// how many the caller has taken. After it the ledger has the attempts, and the deliveries are not needed any more.
func (d *Dispatcher) dispatch(ctx context.Context, deliveries []*stream.Delivery, free int) error {
	ids, err := d.readable(ctx, deliveries)
	for err == nil && len(ids) > 0 {
		var started int
		some := ids[:min(free, len(ids))]
		started, err = d.start(ctx, deliveries, some)
		d.giveSlots(free - started)
		if free, ids = 0, ids[len(some):]; err == nil && len(ids) > 0 {
			free, err = d.takeSlots(ctx, min(len(ids), cap(d.slots)/2))
		}
	}
	d.giveSlots(free)
	return err
}

// start claims messages and starts the calls of those claimed. It returns how many calls were started.
func (d *Dispatcher) start(ctx context.Context, deliveries []*stream.Delivery, ids []string) (int, error) {
	if err := d.pause.wait(ctx); err != nil { // one may have begun while we waited for messages or slots
		return 0, err
	}
	result, deadline, err := d.claim(ctx, deliveries, ids)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return 0, err
	default:
		return d.startParts(ctx, deliveries, ids, err)
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

// claim waits for replies to be worked on and claims; the deadline of the calls counts from before the claim.
func (d *Dispatcher) claim(
	ctx context.Context, deliveries []*stream.Delivery, ids []string,
) (result *store.ClaimResult, deadline time.Time, err error) {
	err = d.persist(ctx, deliveries, func(ctx context.Context) error {
		if err := d.barrier.caughtUp(ctx, beforeClaim); err != nil {
			return temporary{err}
		}
		deadline = time.Now().Add(d.SendTimeout)
		// A claim that has begun is finished although ctx ends: one that commits unseen would be an attempt that nobody makes.
		claiming, done := context.WithDeadline(context.WithoutCancel(ctx), deadline)
		defer done()
		result, err = d.Ledger.Claim(claiming, store.ClaimRequest{IDs: ids, Sender: d.Sender.Name, Lease: d.lease(), Judge: d.judge})
		return err
	})
	return result, deadline, err
}

// startParts claims one by one what can't be claimed together for a reason that waiting does not cure. The one that can't be
// claimed stays queued, and the sweeper brings it again after a while.
func (d *Dispatcher) startParts(ctx context.Context, deliveries []*stream.Delivery, ids []string, cause error) (int, error) {
	if len(ids) == 1 {
		d.Log.ErrorContext(ctx, "a message can't be claimed, it will be tried again later", "message", ids[0], "error", cause)
		return 0, nil
	}
	started := 0
	for i := range ids {
		n, err := d.start(ctx, deliveries, ids[i:i+1])
		started += n
		if err != nil {
			return started, err
		}
	}
	return started, nil
}

// readable returns the ids that the deliveries carry. A delivery with anything else in it goes to the dead letters besides.
func (d *Dispatcher) readable(ctx context.Context, deliveries []*stream.Delivery) ([]string, error) {
	var ids []string
	for _, delivery := range deliveries {
		all := delivery.MessageIDs()
		good := slices.DeleteFunc(slices.Clone(all), func(id string) bool { return validUUID(id) == "" })
		if len(all) == 0 || len(good) < len(all) {
			if err := d.deadLetter(ctx, stream.Messages, delivery, errNoID); err != nil {
				return nil, err
			}
		}
		ids = append(ids, good...)
	}
	return ids, nil
}

// errNoID says that a message on the belt names no row.
var errNoID = errors.New("it is not the id of a message")

// giveBack asks for new deliveries at once, so that nobody waits for the end of AckWait. If that is lost, they come then.
func giveBack(deliveries []*stream.Delivery) {
	for _, delivery := range deliveries {
		_ = delivery.Nak(0)
	}
}

// recheck looks at consent again right before the calls: since the claim somebody may have opted out, by a reply or by an
// operator. Messages to people who did are suppressed, those to people whose words are under review wait, and everything goes back to the queue when the replies can't be worked
// on soon.
func (d *Dispatcher) recheck(ctx context.Context, claimed []store.Claimed) []store.Claimed {
	if len(claimed) == 0 {
		return nil
	}
	states, err := d.consentNow(ctx, claimed)
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
		if verdict.wait > 0 {
			outcome := canceled(c, message.Queued, verdict.behind)
			outcome.RetryAfter = verdict.wait
			d.recorder.put(outcome)
			continue
		}
		allowed = append(allowed, c)
	}
	return allowed
}

// consentNow reads consent until no reply has been received between the reading and a look at the belt: then what was read
// knows every opt-out that is durable.
func (d *Dispatcher) consentNow(ctx context.Context, claimed []store.Claimed) (map[address.Address]consent.State, error) {
	ctx, cancel := context.WithTimeout(ctx, afterClaim)
	defer cancel()
	if _, err := d.barrier.wait(ctx); err != nil {
		return nil, err
	}
	for {
		states, err := d.Ledger.Consent(ctx, addresses(claimed))
		if err != nil {
			return nil, err
		}
		stale, err := d.barrier.wait(ctx)
		if err != nil || !stale {
			return states, err
		}
	}
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
