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

// sendLoop claims messages with free slots only and starts their calls. While the breaker is open it takes nothing.
func (l *lane) sendLoop(ctx context.Context) error {
	for {
		if err := l.breaker.ready(ctx); err != nil {
			return err
		}
		free, err := l.takeSlots(ctx, 1)
		if err != nil {
			return err
		}
		deliveries, err := l.Messages.Fetch(ctx, l.fetchLimit(free))
		if err != nil {
			l.giveSlots(free)
			return err
		}
		err = l.dispatch(ctx, deliveries, free)
		switch {
		case errors.Is(err, errShut): // another dispatcher may find Twilio well
			giveBack(deliveries)
		case err != nil:
			giveBack(deliveries)
			return err
		default:
			l.ack(ctx, deliveries)
		}
	}
}

// takeSlots waits for a free slot, a little longer for enough of them, and takes all that are free.
func (l *lane) takeSlots(ctx context.Context, enough int) (int, error) {
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	n := 1
	late := time.NewTimer(slotsWait)
	defer late.Stop()
	for n < enough {
		select {
		case l.slots <- struct{}{}:
			n++
		case <-late.C:
			enough = 0
		case <-ctx.Done():
			l.giveSlots(n)
			return 0, ctx.Err()
		}
	}
	for ; ; n++ {
		select {
		case l.slots <- struct{}{}:
		default:
			return n, nil
		}
	}
}

func (l *lane) giveSlots(n int) {
	for range n {
		<-l.slots
	}
}

// dispatch claims the messages that the deliveries name and starts a call for each one claimed, as slots come free and the
// sender's rate allows; free is how many slots the caller has taken. After it the ledger has the attempts, and the deliveries
// are not needed any more.
func (l *lane) dispatch(ctx context.Context, deliveries []*stream.Delivery, free int) error {
	defer inProgress(deliveries)()
	ids, err := l.readable(ctx, deliveries)
	for err == nil && len(ids) > 0 {
		var b begun
		some := ids[:min(free, len(ids))]
		b, err = l.start(ctx, deliveries, some)
		l.giveSlots(free - b.calls)
		free, ids = 0, slices.Concat(b.rest, ids[len(some):])
		if err == nil && b.wait > 0 {
			err = sleep(ctx, max(b.wait, leastHeld))
		}
		if err == nil && len(ids) > 0 {
			free, err = l.takeSlots(ctx, min(len(ids), cap(l.slots)/2))
		}
	}
	l.giveSlots(free)
	return err
}

// begun says what became of messages that were to be claimed.
type begun struct {
	calls int
	rest  []string      // not claimed yet
	wait  time.Duration // before the rest may be claimed
}

// start claims messages, as many as the breaker admits, and starts the calls of those claimed.
func (l *lane) start(ctx context.Context, deliveries []*stream.Delivery, ids []string) (begun, error) {
	admitted, err := l.breaker.admit(ctx, len(ids))
	if err != nil {
		return begun{}, err
	}
	some, rest := ids[:admitted.calls], ids[admitted.calls:]
	result, due, err := l.claim(ctx, deliveries, some)
	if err != nil {
		l.breaker.release(admitted, admitted.calls)
		if ctx.Err() != nil {
			return begun{}, err
		}
		b, err := l.startParts(ctx, deliveries, some, err)
		b.rest = slices.Concat(b.rest, rest)
		return b, err
	}
	l.metrics.claimed(result)
	allowed := l.recheck(ctx, result.Claimed)
	l.breaker.release(admitted, admitted.calls-len(allowed))
	for _, claimed := range allowed {
		go func() {
			defer l.giveSlots(1)
			l.send(context.WithoutCancel(ctx), claimed, due, admitted)
		}()
	}
	return begun{calls: len(allowed), rest: slices.Concat(result.Held, rest), wait: result.HeldFor}, nil
}

// claim waits for replies to be worked on and claims; the deadline of the calls counts from before the claim.
func (l *lane) claim(
	ctx context.Context, deliveries []*stream.Delivery, ids []string,
) (result *store.ClaimResult, due deadline, err error) {
	err = l.persist(ctx, deliveries, func(ctx context.Context) error {
		if err := l.licensed(); err != nil {
			return err
		}
		if err := l.barrier.caughtUp(ctx, beforeClaim); err != nil {
			return temporary{err}
		}
		due = deadlineIn(l.SendTimeout)
		// A claim that has begun is finished although ctx ends: one that commits unseen would be an attempt that nobody makes.
		claiming, done := context.WithDeadline(context.WithoutCancel(ctx), due.at)
		defer done()
		result, err = l.Ledger.Claim(claiming, store.ClaimRequest{
			IDs: ids, Sender: l.Sender.Name, Lease: l.lease(), Judge: l.judge, Limits: limits(l.Hours), Pace: l.Pace,
		})
		return err
	})
	return result, due, err
}

// startParts claims one by one what can't be claimed together for a reason that waiting does not cure. The one that can't be
// claimed stays queued, and the sweeper brings it again after a while.
func (l *lane) startParts(ctx context.Context, deliveries []*stream.Delivery, ids []string, cause error) (begun, error) {
	var all begun
	if len(ids) == 1 {
		l.Log.ErrorContext(ctx, "a message can't be claimed, it will be tried again later", "message", ids[0], "error", cause)
		return all, nil
	}
	for i := range ids {
		b, err := l.start(ctx, deliveries, ids[i:i+1])
		all.calls, all.rest, all.wait = all.calls+b.calls, append(all.rest, b.rest...), max(all.wait, b.wait)
		if err != nil {
			return all, err
		}
	}
	return all, nil
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
func (l *lane) recheck(ctx context.Context, claimed []store.Claimed) []store.Claimed {
	if len(claimed) == 0 {
		return nil
	}
	states, err := l.consentNow(ctx, claimed)
	if err != nil {
		l.Log.WarnContext(ctx, "replies are waiting to be worked on, nothing is sent meanwhile", "messages", len(claimed), "error", err)
		for _, c := range claimed {
			l.recorder.put(canceled(c, message.Queued, message.ReasonRetry))
		}
		return nil
	}
	var allowed []store.Claimed
	gate := consentGate(l.DoubleOptIn)
	for _, c := range claimed {
		verdict := gate(&store.Candidate{Message: c.Message, Consent: states[c.Message.To]}, c.Channel)
		if verdict.refuse != "" {
			l.recorder.put(canceled(c, message.Suppressed, verdict.refuse))
			continue
		}
		if verdict.wait > 0 {
			outcome := canceled(c, message.Queued, verdict.behind)
			outcome.RetryAfter = verdict.wait
			l.recorder.put(outcome)
			continue
		}
		allowed = append(allowed, c)
	}
	return allowed
}

// consentNow reads consent until no reply has been received between the reading and a look at the belt: then what was read
// knows every opt-out that is durable.
func (l *lane) consentNow(ctx context.Context, claimed []store.Claimed) (map[address.Address]consent.State, error) {
	ctx, cancel := context.WithTimeout(ctx, afterClaim)
	defer cancel()
	if _, err := l.barrier.wait(ctx); err != nil {
		return nil, err
	}
	for {
		states, err := l.Ledger.Consent(ctx, addresses(claimed))
		if err != nil {
			return nil, err
		}
		stale, err := l.barrier.wait(ctx)
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
