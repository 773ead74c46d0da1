package router

import (
	"context"
	"fmt"
	"slices"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforce"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

func (r *Router) fetch(ctx context.Context, groups chan<- group) error {
	for {
		deliveries, err := r.Envelopes.Fetch(ctx, fetchLimit)
		if err != nil {
			return err
		}
		r.inHand.take(deliveries)
		if err := r.gather(ctx, deliveries, groups); err != nil {
			return err
		}
	}
}

// gather makes groups of deliveries, in their order. What was delivered too often, and what an operator put back, is a group of
// its own.
func (r *Router) gather(ctx context.Context, deliveries []*stream.Delivery, groups chan<- group) error {
	var together []envelope
	count := 0
	hand := func() error {
		if len(together) == 0 {
			return nil
		}
		whole := together
		together, count = nil, 0
		return handOn(ctx, groups, group{envelopes: whole})
	}
	for _, delivery := range deliveries {
		if delivery.Deliveries > suspectAfter {
			if err := hand(); err != nil {
				return err
			}
			suspect := group{suspect: delivery, tried: make(chan struct{})}
			if err := handOn(ctx, groups, suspect); err != nil {
				return err
			}
			select { // nothing else is decoded meanwhile
			case <-suspect.tried:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		e, err := decode(delivery)
		if err != nil {
			if err := r.bury(ctx, delivery, err, nil); err != nil {
				return err
			}
			continue
		}
		apart := e.Replay != nil || len(together) > 0 && together[0].Replay != nil
		if apart || count+len(e.Notifications) > r.Batch {
			if err := hand(); err != nil {
				return err
			}
		}
		together, count = append(together, e), count+len(e.Notifications)
	}
	return hand()
}

func handOn(ctx context.Context, groups chan<- group, g group) error {
	if !send(ctx, groups, g) {
		return ctx.Err()
	}
	return nil
}

func decode(delivery *stream.Delivery) (envelope, error) {
	header, err := delivery.Envelope()
	if err != nil {
		return envelope{}, fmt.Errorf("read the headers: %w", err)
	}
	body, err := delivery.Body()
	if err != nil {
		return envelope{}, fmt.Errorf("read the body: %w", err)
	}
	e, err := salesforce.Decode(body, salesforce.DefaultLimits())
	if err != nil {
		return envelope{}, fmt.Errorf("decode the envelope: %w", err)
	}
	e.Received = header.Received
	replay, err := delivery.Replay()
	if err != nil {
		return envelope{}, fmt.Errorf("read the headers: %w", err)
	}
	if replay != nil && len(replay.Only) > 0 {
		e.Notifications = slices.DeleteFunc(e.Notifications, func(n notification.Notification) bool {
			return !slices.Contains(replay.Only, n.ID)
		})
	}
	return envelope{Envelope: store.Envelope{Envelope: e, Seq: delivery.Seq, Replay: replay}, delivery: delivery}, nil
}
