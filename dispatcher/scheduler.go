package dispatcher

import (
	"context"
	"time"

	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

const (
	sweepLimit   = 500
	lookupLimit  = 20
	trimInterval = time.Minute
)

// schedule is the scheduler and sweeper: at each tick it puts due messages on the belt, finds the attempts of dead
// dispatchers, and looks up unknown outcomes; now and then it trims the streams. Any number of dispatchers may do so side
// by side: rows are taken under locks that the others skip.
func (d *Dispatcher) schedule(ctx context.Context) error {
	ticker := time.NewTicker(d.Tick)
	defer ticker.Stop()
	var trimmed time.Time
	failing := false
	for {
		err := d.tick(ctx)
		if err == nil && time.Since(trimmed) > trimInterval {
			trimmed = time.Now()
			_, err = d.Belt.Trim(ctx, d.Retention)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !failing:
			d.Log.WarnContext(ctx, "the scheduler can't work, trying again", "error", err)
		case err == nil && failing:
			d.Log.InfoContext(ctx, "the scheduler works again")
		}
		failing = err != nil
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (d *Dispatcher) tick(ctx context.Context) error {
	if err := d.sweep(ctx); err != nil {
		return err
	}
	expired, err := d.Ledger.ExpireLeases(ctx, d.ReconcileAfter)
	if err != nil {
		return err
	}
	if expired > 0 {
		d.metrics.leasesExpired.Add(float64(expired))
		d.Log.WarnContext(ctx, "a dispatcher died while sending, its attempts will be looked up", "attempts", expired)
	}
	lookups, err := d.Ledger.DueLookups(ctx, lookupLimit, d.ReconcileAfter+d.lease())
	if err != nil {
		return err
	}
	for _, lookup := range lookups {
		if err := d.reconcile(ctx, lookup); err != nil {
			return err
		}
	}
	unknown, err := d.Ledger.CountUnknown(ctx)
	if err != nil {
		return err
	}
	d.metrics.unknown.Set(float64(unknown))
	return nil
}

// sweep puts on the belt what is due and does not travel.
func (d *Dispatcher) sweep(ctx context.Context) error {
	floor, err := d.Messages.AckFloor(ctx)
	if err != nil {
		return err
	}
	epoch, err := d.Belt.Epoch(ctx)
	if err != nil {
		return err
	}
	for {
		n, err := d.Ledger.Sweep(ctx, floor, epoch.UTC().Format(time.RFC3339Nano), sweepLimit, d.putOnBelt)
		if err != nil || n < sweepLimit {
			return err
		}
	}
}

func (d *Dispatcher) putOnBelt(ctx context.Context, rows []store.BeltRef) ([]uint64, error) {
	refs := make([]stream.MessageRef, len(rows))
	for i, row := range rows {
		refs[i] = stream.MessageRef(row)
	}
	return d.Belt.PublishMessages(ctx, refs)
}
