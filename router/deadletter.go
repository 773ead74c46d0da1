package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

// giveUp puts the one notification that can't be decided among the dead letters, and notes that in the ledger.
func (r *Router) giveUp(ctx context.Context, e envelope, cause error) error {
	id := e.Notifications[0].ID
	letter := letterOf(e.delivery, fmt.Sprintf("notification %s: %s", id, store.Reason(cause)), e.history)
	letter.Only = id
	// With the sequence: put back and dead again within the window for duplicates, it is another letter.
	letter.ID = fmt.Sprintf("%s/%s/%d", e.Org, id, e.Seq)
	if err := r.deadLetter(ctx, letter); err != nil {
		return err
	}
	rules, _ := r.Policy()
	var result *store.DecideResult
	err := r.persist(ctx, func(ctx context.Context) (err error) {
		result, err = r.Ledger.Decide(ctx, []store.Envelope{e.Envelope}, func(store.Pending) store.Decided {
			return store.Decided{Outcome: notification.DeadLetter, RuleSet: rules.Version(), Detail: []byte(`{}`)}
		})
		return err
	})
	switch {
	case err == nil:
		r.metrics.decided(result)
	case ctx.Err() != nil:
		return err
	default:
		r.Log.ErrorContext(ctx, "a dead notification could not be noted in the ledger", "notification", id, "error", err)
	}
	return nil
}

// bury keeps a delivery that is no envelope at all, and takes it off the stream's way.
func (r *Router) bury(ctx context.Context, delivery *stream.Delivery, cause error, history []string) error {
	letter := letterOf(delivery, store.Reason(cause), history)
	letter.ID = fmt.Sprintf("%s/%d", letter.Stream, letter.Seq)
	if err := r.deadLetter(ctx, letter); err != nil {
		return err
	}
	r.ack(ctx, delivery)
	return nil
}

func letterOf(delivery *stream.Delivery, reason string, history []string) stream.DeadLetter {
	body, err := delivery.Body()
	if err != nil {
		body = delivery.Data
	}
	last := fmt.Sprintf("%s given up at delivery %d", time.Now().UTC().Format(time.RFC3339), delivery.Deliveries)
	return stream.DeadLetter{
		Stream: stream.Notifications, Seq: delivery.Seq, Org: notification.OrgID(delivery.Get(stream.HeaderOrg)),
		Subject: delivery.Subject, Reason: reason, Header: delivery.Header(), Data: body, First: delivery.Stored,
		History: append(slices.Clone(history), last),
	}
}

// deadLetter stores a dead letter. One that can't be stored as it is goes without what it carries: its stream still has it.
func (r *Router) deadLetter(ctx context.Context, letter stream.DeadLetter) error {
	err := r.persist(ctx, func(ctx context.Context) error {
		err := r.Belt.DeadLetter(ctx, letter)
		if errors.Is(err, stream.ErrBadMessage) || errors.Is(err, stream.ErrTooLarge) {
			letter.Org, letter.Header, letter.Data = "", nil, nil
			err = r.Belt.DeadLetter(ctx, letter)
		}
		if err != nil {
			return temporary{err}
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.metrics.deadLetters.Inc()
	r.Log.ErrorContext(ctx, "a notification went to the dead letters", "stream_seq", letter.Seq, "reason", letter.Reason)
	return nil
}
