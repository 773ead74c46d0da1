package message

// State is where a message, or one attempt to send it, stands.
type State string

// The states. Queued, Suppressed and Expired are of messages only; Absent and Canceled of attempts only.
const (
	Queued      State = "queued"
	Sending     State = "sending"
	Unknown     State = "unknown"
	Accepted    State = "accepted"
	Sent        State = "sent"
	Delivered   State = "delivered"
	Read        State = "read"
	Undelivered State = "undelivered"
	Failed      State = "failed"
	Suppressed  State = "suppressed"
	Expired     State = "expired"

	Absent   State = "absent"   // an attempt proven never to have reached Twilio
	Canceled State = "canceled" // an attempt given up before the call to Twilio began
	Refused  State = "refused"  // an attempt that Twilio refused; the message may have another
)

// States lists the states of a message in the order in which a message can pass them.
func States() []State {
	return []State{Queued, Sending, Unknown, Accepted, Sent, Delivered, Read, Undelivered, Failed, Suppressed, Expired}
}

// rank orders the states of an attempt: one moves to a higher rank only. Queued, Suppressed and Expired are a message's and
// have a rank for completeness. The database has the same order (state_rank), and a test compares the two.
//
// Source: Twilio "Outbound message status in status callbacks": callbacks may arrive in any order.
func (s State) rank() int {
	switch s {
	case Queued:
		return 0
	case Sending:
		return 1
	case Unknown:
		return 2
	case Accepted:
		return 3
	case Sent:
		return 4
	case Undelivered, Failed:
		return 5
	case Delivered: // proves more than a failure, which it may follow
		return 6
	case Read:
		return 7
	case Suppressed, Expired, Absent, Canceled, Refused:
		return 8
	}
	return -1
}

// Before tells whether an attempt in state s may move to next.
func (s State) Before(next State) bool { return s.rank() < next.rank() }

// Final tells whether a message in this state is done: nothing but a later callback of the same attempt (delivered to
// read) can change it.
func (s State) Final() bool {
	switch s {
	case Delivered, Read, Undelivered, Failed, Suppressed, Expired:
		return true
	case Queued, Sending, Unknown, Accepted, Sent, Absent, Canceled, Refused:
		return false
	}
	return false
}
