package salesforcesim

import (
	"context"
	"sync"
	"time"

	"github.com/beckonhq/beckon/internal/notification"
)

// Run delivers what is queued until ctx ends, and returns when no request is under way any more. Requests that ctx cuts
// off are not counted; their notifications stay queued for the next Run. The error is ErrRunning or nil.
func (o *Org) Run(ctx context.Context) error {
	if !o.setRunning() {
		return ErrRunning
	}
	defer o.clearRunning()
	var posts sync.WaitGroup
	defer posts.Wait()
	slots := make(chan struct{}, o.cfg.Concurrency)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		b, ok := o.await(ctx)
		if !ok {
			return nil
		}
		posts.Go(func() {
			defer func() { <-slots }()
			o.deliver(ctx, b)
		})
	}
}

func (o *Org) setRunning() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.running {
		return false
	}
	o.running = true
	return true
}

func (o *Org) clearRunning() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.running = false
}

// await returns the next batch as soon as one is due, or false when ctx has ended.
func (o *Org) await(ctx context.Context) (*batch, bool) {
	for {
		if ctx.Err() != nil {
			return nil, false
		}
		o.mu.Lock()
		b, wait := o.take(time.Now())
		o.mu.Unlock()
		if b != nil {
			return b, true
		}
		if !o.sleep(ctx, wait) {
			return nil, false
		}
	}
}

// sleep waits for a change of the queue, for ctx (then it returns false), or for the time given unless it is zero.
func (o *Org) sleep(ctx context.Context, wait time.Duration) bool {
	var alarm <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		alarm = timer.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-alarm:
	case <-o.wake:
	}
	return true
}

// deliver sends one batch and records what came of it.
func (o *Org) deliver(ctx context.Context, b *batch) {
	envelope := o.envelope(b)
	started := time.Now()
	answer := o.post(ctx, envelope)
	if ctx.Err() != nil && !answer.outcome.answered() {
		o.putBack(b)
		return
	}
	d := o.record(b, started, answer)
	o.signal()
	if o.cfg.OnDelivery != nil {
		o.cfg.OnDelivery(d)
	}
}

// envelope reads the records as they are now: Salesforce's payload is the latest data, not that of the change.
func (o *Org) envelope(b *batch) *notification.Envelope {
	o.mu.Lock()
	defer o.mu.Unlock()
	e := &notification.Envelope{Org: o.org, Action: b.lane.action, Object: b.lane.def.Object}
	e.Notifications = make([]notification.Notification, 0, len(b.items))
	for _, it := range b.items {
		n := notification.Notification{ID: it.id}
		if fields, ok := o.records[recordKey{b.lane.def.Object, it.record}]; ok {
			n.RecordID = it.record
			n.Fields = selected(it.record, fields, b.lane.def.Fields)
		} else if o.cfg.DeletedWithID {
			n.RecordID = it.record
			n.Fields = selected(it.record, nil, nil)
		}
		e.Notifications = append(e.Notifications, n)
	}
	return e
}

func (o *Org) putBack(b *batch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	for _, it := range b.items {
		b.lane.push(&parcel{items: []*item{it}, due: now, retry: it.failures > 0})
	}
}

// record books the answer on every notification of the batch and queues what must be sent again.
func (o *Org) record(b *batch, started time.Time, a answer) Delivery {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	d := Delivery{
		Number: len(o.deliveries) + 1, Started: started, Took: now.Sub(started),
		Action: b.lane.action, Object: b.lane.def.Object,
		Status: a.status, Outcome: a.outcome, Reason: a.reason,
	}
	o.stats.count(a.outcome, len(b.items))
	for _, it := range b.items {
		d.Notifications = append(d.Notifications, it.id)
		it.attempts = append(it.attempts, Attempt{
			Delivery: d.Number, At: started, Took: d.Took, Outcome: a.outcome, Reason: a.reason,
		})
	}
	o.deliveries = append(o.deliveries, d)
	if a.outcome == Acked {
		o.acked(b, now)
	} else {
		o.failed(b, now)
	}
	return d
}

func (o *Org) acked(b *batch, now time.Time) {
	for _, it := range b.items {
		it.failures = 0
		if it.state == Pending {
			it.state = Delivered
			o.stats.Acked++
		}
		if !it.repeated && o.rng.Float64() < o.cfg.RepeatAfterAck {
			it.repeated = true
			o.stats.Repeated++
			b.lane.push(&parcel{items: []*item{it}, due: now.Add(o.cfg.Gap(1)), retry: true})
			continue
		}
		o.settle(1)
	}
}

// failed queues the batch again after its gap: as one sealed parcel, or each on its own when retries are regrouped.
func (o *Org) failed(b *batch, now time.Time) {
	whole := &parcel{items: b.items, sealed: true, retry: true}
	for _, it := range b.items {
		it.failures++
		due := now.Add(o.cfg.Gap(it.failures))
		if due.After(it.dropAt) {
			due = it.dropAt // to be dropped there
		}
		if o.cfg.Regroup {
			b.lane.push(&parcel{items: []*item{it}, due: due, retry: true})
			continue
		}
		if whole.due.IsZero() || due.Before(whole.due) {
			whole.due = due
		}
	}
	if !o.cfg.Regroup {
		b.lane.push(whole)
	}
}
