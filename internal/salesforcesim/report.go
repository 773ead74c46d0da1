package salesforcesim

import (
	"slices"
	"time"

	"github.com/beckonhq/beckon/internal/notification"
)

// State is where a notification stands in the queue.
type State string

// The states. A delivered notification may still be repeated; it stays delivered.
const (
	Pending   State = "pending"
	Delivered State = "delivered"
	Dropped   State = "dropped"
)

// Outcome is how one request ended.
type Outcome string

// The outcomes; only Acked is a success.
const (
	Acked       Outcome = "acked"       // HTTP 200 with Ack true
	Nacked      Outcome = "nacked"      // HTTP 200 with Ack false
	Faulted     Outcome = "fault"       // a SOAP fault, with whatever status
	TimedOut    Outcome = "timeout"     // no whole answer within the time limit
	Refused     Outcome = "refused"     // another status than 200, without a SOAP fault; redirects too
	Unreadable  Outcome = "unreadable"  // HTTP 200, but the body is no notificationsResponse
	Unreachable Outcome = "unreachable" // no connection, no TLS, or it broke before the answer
)

// answered is true when the listener answered, whatever it said.
func (o Outcome) answered() bool { return o != TimedOut && o != Unreachable }

// Delivery is one request: an envelope and what came of it.
type Delivery struct {
	Number        int // counts from 1
	Started       time.Time
	Took          time.Duration
	Action        notification.ID
	Object        string
	Notifications []notification.ID
	Status        int // HTTP status; 0 when there was no answer
	Outcome       Outcome
	Reason        string // empty when acked; else like the failure reason in Salesforce's delivery status page
}

// Attempt is a Delivery as one notification saw it.
type Attempt struct {
	Delivery int // Delivery.Number
	At       time.Time
	Took     time.Duration
	Outcome  Outcome
	Reason   string
}

// History is what happened to one notification so far.
type History struct {
	State    State
	Record   notification.ID
	Attempts []Attempt
}

// Stats counts notifications, except for Posts, which counts requests.
type Stats struct {
	Queued      int `json:"queued"`      // ever queued
	Acked       int `json:"acked"`       // acknowledged at least once
	Dropped     int `json:"dropped"`     // given up unacknowledged
	Repeated    int `json:"repeated"`    // chosen to be sent again after their acknowledgement
	Outstanding int `json:"outstanding"` // with an attempt under way or to come

	Posts       int `json:"posts"`
	Attempts    int `json:"attempts"` // sum over all requests, equal to the sum of the outcomes below and of the acks
	AckedTries  int `json:"acked_tries"`
	Nacked      int `json:"nacked"`
	Faults      int `json:"faults"`
	Timeouts    int `json:"timeouts"`
	Refused     int `json:"refused"`
	Unreadable  int `json:"unreadable"`
	Unreachable int `json:"unreachable"`
}

func (s *Stats) count(outcome Outcome, notifications int) {
	s.Posts++
	s.Attempts += notifications
	switch outcome {
	case Acked:
		s.AckedTries += notifications
	case Nacked:
		s.Nacked += notifications
	case Faulted:
		s.Faults += notifications
	case TimedOut:
		s.Timeouts += notifications
	case Refused:
		s.Refused += notifications
	case Unreadable:
		s.Unreadable += notifications
	case Unreachable:
		s.Unreachable += notifications
	}
}

// Stats returns the counts up to now.
func (o *Org) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.stats
	s.Outstanding = o.outstanding
	return s
}

// Deliveries returns every finished request in the order of finishing.
func (o *Org) Deliveries() []Delivery {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.deliveries)
}

// History returns what happened to one notification; false when this organisation never queued it.
func (o *Org) History(id notification.ID) (History, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	it, ok := o.items[id]
	if !ok {
		return History{}, false
	}
	return History{State: it.state, Record: it.record, Attempts: slices.Clone(it.attempts)}, true
}
