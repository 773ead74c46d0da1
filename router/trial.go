package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

const (
	// suspectAfter is how many deliveries of an envelope are worked on with others. That it comes once more may have many causes
	// (a restart, a server that was away); one of them is that a process dies of it, and its neighbours with it.
	suspectAfter = 2
	// lastTrial is how many tries alone may begin and not end before the notification is a dead letter, without another try:
	// with the deliveries before, five in all.
	lastTrial = 3
	// endTrial bounds the note that a try has ended in order.
	endTrial = 2 * time.Second
)

// errDied says why a notification is given up that never failed.
var errDied = errors.New("the process died each time that it was worked on")

// try works on a delivery alone, notification by notification. Each try is noted before it begins, and the note is taken back
// when it ends, however it ends; so what the ledger counts are tries in which the process died. Postgres being away counts
// nothing: without it no try begins.
func (r *Router) try(ctx context.Context, delivery *stream.Delivery) ([]envelope, []store.BeltRef, error) {
	r.metrics.trials.Inc()
	r.Log.WarnContext(ctx, "an envelope came again and again, it is tried alone", "stream_seq", delivery.Seq, "deliveries", delivery.Deliveries)
	trial := store.Trial{Stream: string(stream.Notifications), Seq: delivery.Seq}
	begun, err := r.beginTrial(ctx, trial)
	if err != nil {
		return nil, nil, err
	}
	if len(begun) > lastTrial {
		if err := r.bury(ctx, delivery, errDied, historyOf(begun)); err != nil {
			return nil, nil, err
		}
		return nil, nil, r.endTrial(ctx, trial, nil)
	}
	e, err := decode(delivery)
	if err != nil {
		if err := r.bury(ctx, delivery, err, nil); err != nil {
			return nil, nil, err
		}
		return nil, nil, r.endTrial(ctx, trial, nil)
	}
	var belt []store.BeltRef
	for _, part := range split([]envelope{e}) {
		trial.Before, trial.Part = trial.Part, string(part[0].Notifications[0].ID)
		refs, err := r.tryPart(ctx, trial, part)
		if err != nil {
			return nil, nil, errors.Join(err, r.endTrial(ctx, trial, err))
		}
		belt = append(belt, refs...)
	}
	return []envelope{e}, belt, r.endTrial(ctx, trial, nil)
}

func (r *Router) tryPart(ctx context.Context, trial store.Trial, part []envelope) ([]store.BeltRef, error) {
	begun, err := r.beginTrial(ctx, trial)
	if err != nil {
		return nil, err
	}
	if len(begun) > lastTrial {
		part[0].history = historyOf(begun)
		return nil, r.giveUp(ctx, part[0], errDied)
	}
	return r.decide(ctx, part)
}

func (r *Router) beginTrial(ctx context.Context, trial store.Trial) (begun []time.Time, err error) {
	err = r.persist(ctx, func(ctx context.Context) (err error) {
		begun, err = r.Ledger.BeginTrial(ctx, trial)
		return err
	})
	return begun, err
}

// endTrial takes the notes back: all of the delivery, or, when the try was broken off by an orderly end, the last one.
func (r *Router) endTrial(ctx context.Context, trial store.Trial, broken error) error {
	if broken == nil {
		return r.persist(ctx, func(ctx context.Context) error { return r.Ledger.EndTrial(ctx, trial, false) })
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTrial)
	defer cancel()
	return r.Ledger.EndTrial(ctx, trial, true)
}

// historyOf tells of the tries before this one.
func historyOf(begun []time.Time) []string {
	history := make([]string, 0, len(begun))
	for i, at := range begun[:len(begun)-1] {
		history = append(history, fmt.Sprintf("%s alone, try %d: begun, and the process ended before it was done", at.UTC().Format(time.RFC3339), i+1))
	}
	return history
}
