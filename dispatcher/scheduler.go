package dispatcher

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

const (
	sweepLimit   = 500
	sweepRounds  = 20 // in one tick, so that the other work of a tick gets its turn
	lookupLimit  = 20
	reviewLimit  = 20
	trimInterval = time.Minute
	optOutRound  = 20 * time.Second
	optOutLag    = 40 * time.Second // longer than a transaction may take
)

// schedule is the scheduler and sweeper: at each tick it puts due messages on the belt and finds the attempts of dead
// dispatchers; now and then it trims the streams. Any number of dispatchers may do so side by side: rows are taken under
// locks that the others skip.
func (d *Dispatcher) schedule(ctx context.Context) error {
	var trimmed time.Time
	return d.everyTick(ctx, "the scheduler", func(ctx context.Context) error {
		err := d.tick(ctx)
		if time.Since(trimmed) < trimInterval {
			return err
		}
		trimmed = time.Now() // also when the tick failed: a full stream fails it, and trimming is the cure
		_, trimErr := d.Belt.Trim(ctx, d.Retention)
		return errors.Join(err, trimErr, d.lookForUnserved(ctx), d.lookForHeld(ctx), d.lookForWaiting(ctx))
	})
}

// lookupLoop looks unknown outcomes up. It is apart from the scheduler, since Twilio may be slow to answer.
func (d *Dispatcher) lookupLoop(ctx context.Context) error {
	return d.everyTick(ctx, "the look-up of unknown outcomes", d.lookUp)
}

// reviewLoop decides the reviews whose time has come. It is apart from the scheduler, so that neither holds the other up.
func (d *Dispatcher) reviewLoop(ctx context.Context) error {
	return d.everyTick(ctx, "the review queue", func(ctx context.Context) error {
		decided, open, err := d.Ledger.DecideDueReviews(ctx, d.ReviewThen, reviewLimit)
		if err != nil {
			return err
		}
		d.metrics.reviewsOpen.Set(float64(open))
		d.metrics.reviewsLapsed.Add(float64(len(decided)))
		for _, sid := range decided {
			d.Log.InfoContext(ctx, "nobody decided in time whether a reply is an opt-out", "sid", sid, "decision", d.ReviewThen)
		}
		return nil
	})
}

// optOutLoop counts opt-outs from the ledger, since they come by replies, error codes and reviews, and the latter through commands too.
func (d *Dispatcher) optOutLoop(ctx context.Context) error {
	return d.every(ctx, optOutRound, "the count of opt-outs", func(ctx context.Context) error { return d.countOptOuts(ctx, optOutLag) })
}

func (d *Dispatcher) countOptOuts(ctx context.Context, lag time.Duration) error {
	counts, err := d.Ledger.CountOptOuts(ctx, lag)
	for rule, n := range counts {
		d.metrics.optOuts.WithLabelValues(rule).Add(float64(n))
	}
	return err
}

// everyTick works at once and at each tick, until ctx ends. Failures are told once.
func (d *Dispatcher) everyTick(ctx context.Context, what string, work func(context.Context) error) error {
	return d.every(ctx, d.Tick, what, work)
}

// every is everyTick with an interval of its own.
func (d *Dispatcher) every(ctx context.Context, interval time.Duration, what string, work func(context.Context) error) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	failing := false
	for {
		if err := d.onOurLedger(ctx); err != nil {
			return err
		}
		err := work(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !failing:
			d.Log.WarnContext(ctx, what+" can't work, trying again", "error", err)
		case err == nil && failing:
			d.Log.InfoContext(ctx, what+" works again")
		}
		failing = err != nil
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tick does what needs the ledger alone first, so that it goes on while NATS is away.
func (d *Dispatcher) tick(ctx context.Context) error {
	expired, err := d.Ledger.ExpireLeases(ctx, d.ReconcileAfter)
	if err != nil {
		return err
	}
	if expired > 0 {
		d.metrics.leasesExpired.Add(float64(expired))
		d.Log.WarnContext(ctx, "a dispatcher died while sending, its attempts will be looked up", "attempts", expired)
	}
	return d.sweep(ctx)
}

// lookUp looks up what is due, side by side, so that it is done before other dispatchers may take the same attempts.
func (d *Dispatcher) lookUp(ctx context.Context) error {
	lookups, err := d.Ledger.DueLookups(ctx, lookupLimit, d.ReconcileAfter+d.lease()+lookupTimeout)
	if err != nil {
		return err
	}
	var all errgroup.Group
	for _, lookup := range lookups {
		all.Go(func() error { return d.reconcile(ctx, lookup) })
	}
	if err := all.Wait(); err != nil {
		return err
	}
	unknown, err := d.Ledger.CountUnknown(ctx)
	if err != nil {
		return err
	}
	d.metrics.unknown.Set(float64(unknown))
	return nil
}

// sweep puts on the belt what is due and does not travel, and ends what is too late, sender by sender.
func (d *Dispatcher) sweep(ctx context.Context) error {
	var failed []error
	for _, l := range d.lanes {
		failed = append(failed, l.sweep(ctx))
	}
	return errors.Join(failed...)
}

func (l *lane) sweep(ctx context.Context) error {
	floor, err := l.Messages.AckFloor(ctx)
	if err != nil {
		return err
	}
	epoch, err := l.Belt.Epoch(ctx)
	if err != nil {
		return err
	}
	request := store.SweepRequest{
		Sender: l.Sender.Name, Floor: floor, Epoch: epoch.UTC().Format(time.RFC3339Nano), Limit: sweepLimit, Pace: l.Pace,
	}
	for range sweepRounds {
		swept, err := l.Ledger.Sweep(ctx, request, l.putOnBelt)
		l.metrics.expired(swept.Expired)
		if err != nil || swept.Looked < sweepLimit {
			return err
		}
	}
	return nil
}

// noOrg stands on the belt for the organisation of a message to a person whom no organisation has written to.
const noOrg = "none"

func (d *Dispatcher) putOnBelt(ctx context.Context, rows []store.BeltRef) ([]uint64, error) {
	refs := make([]stream.MessageRef, len(rows))
	for i, row := range rows {
		if row.Org == consent.AnyOrg { // no part of a subject
			row.Org = noOrg
		}
		refs[i] = stream.MessageRef(row)
	}
	return d.Belt.PublishMessages(ctx, refs)
}
