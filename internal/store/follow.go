package store

import (
	"slices"
	"time"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

// attemptRow is an attempt that events are about.
type attemptRow struct {
	id, sid   string
	state     message.State
	errorCode int
	channel   message.Channel
	address   address.Address
	freeText  bool // it went out as free text, in WhatsApp's window
	newest    bool // the message's newest attempt
	message   *messageRow

	changed bool
}

// messageRow is what the events may change of a message, and what that depends on.
type messageRow struct {
	id          string
	org         notification.OrgID
	state       message.State
	reason      message.Reason
	errorCode   int
	channels    []message.Channel
	nextChannel int
	content     message.Content
	tries       int
	wait        time.Duration // of a queued message
	left        time.Duration // of its validity; may be negative
	arrived     message.State // delivered or read when an attempt of it is

	changed bool
}

// apply moves an attempt forward by one event, and its message with it. It returns the state that the message moved to.
func (r *attemptRow) apply(e StatusEvent) (message.State, bool) {
	if r.sid == "" {
		r.sid, r.changed = e.SID, true
	}
	if r.state != message.Absent && !r.state.Before(e.State) {
		return "", false
	}
	r.state, r.errorCode, r.changed = e.State, e.ErrorCode, true
	arrived := e.State == message.Delivered || e.State == message.Read
	if arrived {
		r.message.arrived = e.State
	}
	if !r.newest && (!arrived || r.message.underWay()) {
		return "", false
	}
	e.WindowClosed = e.WindowClosed && r.freeText
	return r.message.follow(r.channel, e), true
}

// underWay tells whether the newest attempt may still bring the message to the person: its own word is waited for.
func (m *messageRow) underWay() bool {
	switch m.state {
	case message.Sending, message.Unknown, message.Accepted, message.Sent, message.Read:
		return true
	case message.Queued, message.Delivered, message.Undelivered, message.Failed, message.Suppressed, message.Expired,
		message.Absent, message.Canceled, message.Refused:
	}
	return false
}

// follow moves the message after the event of an attempt on the channel.
func (m *messageRow) follow(channel message.Channel, e StatusEvent) message.State {
	m.changed, m.state, m.reason, m.errorCode, m.wait = true, e.State, message.ReasonNone, e.ErrorCode, 0
	if e.State != message.Failed && e.State != message.Undelivered {
		return m.state
	}
	m.reason = message.ReasonDelivery
	tried := slices.Index(m.channels, channel)
	next := m.nextUsable(tried)
	wait := e.Again
	if e.Doubles {
		wait <<= min(m.tries, maxDoublings)
	}
	other := e.Fallback && next > 0
	inTime := wait < m.left || !other // a try that would come too late is left to another channel
	switch {
	case m.arrived != "": // by an earlier attempt
		m.state, m.reason = m.arrived, message.ReasonNone
	case e.WindowClosed && m.content.WhatsApp != nil && m.content.WhatsApp.ContentSID != "":
		m.queue(message.ReasonWindowClosed, max(tried, 0), 0)
	case e.Again > 0 && m.tries < e.Retries && inTime:
		m.tries++
		m.queue(message.ReasonRetry, max(tried, 0), wait)
	case other:
		m.queue(message.ReasonFallback, next, 0)
	case e.Again > 0:
		m.reason = message.ReasonRetriesExhausted
	}
	return m.state
}

// maxDoublings keeps a doubled wait in bounds.
const maxDoublings = 6

// queue queues the message again, unless it would then be too late.
func (m *messageRow) queue(reason message.Reason, channel int, wait time.Duration) {
	if wait >= m.left {
		m.state, m.reason = message.Expired, message.ReasonValidity
		return
	}
	m.state, m.reason, m.nextChannel, m.wait = message.Queued, reason, channel, wait
}

// nextUsable is the index of the next channel after the one tried that has content; 0 when there is none.
func (m *messageRow) nextUsable(tried int) int {
	for i := tried + 1; i < len(m.channels); i++ {
		if m.content.Has(m.channels[i]) {
			return i
		}
	}
	return 0
}
