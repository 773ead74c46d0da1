package salesforcesim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/beckonhq/beckon/internal/notification"
)

// ErrNotDelivered means that Repeat was asked for a notification that was not acknowledged yet.
var ErrNotDelivered = errors.New("this notification was not delivered yet")

// Repeat sends a delivered notification once more, with its id and the record's latest data, as Salesforce does now and
// then although it was acknowledged. It goes into an envelope with whatever else is due for the same outbound message.
// The error wraps ErrNotDelivered.
func (o *Org) Repeat(id notification.ID) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	it := o.items[id]
	if it == nil || it.state != Delivered {
		return fmt.Errorf("repeat a notification: %w", ErrNotDelivered)
	}
	l := o.laneOf(id)
	if l == nil {
		return fmt.Errorf("repeat a notification: %w", ErrNotDelivered)
	}
	o.outstanding++
	o.stats.Repeated++
	it.repeated = true
	l.push(&parcel{items: []*item{it}, due: time.Now(), retry: true})
	o.signal()
	return nil
}

// laneOf finds the outbound message that delivered a notification.
func (o *Org) laneOf(id notification.ID) *lane {
	for _, d := range o.deliveries {
		if !slices.Contains(d.Notifications, id) {
			continue
		}
		for _, l := range o.lanes {
			if l.action == d.Action {
				return l
			}
		}
	}
	return nil
}
