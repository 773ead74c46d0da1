package protocol

import (
	"fmt"
	"strings"

	"github.com/beckonhq/beckon/internal/message"
)

// Most of what one run of the checker can hold. All messages go to one person, from one sender, on one channel.
const (
	maxMessages    = 2
	maxDispatchers = 2
	maxAttempts    = 3 // of one message that can still have an effect
)

// World is a state of everything that the protocol touches: the ledger, the belt, the dispatchers' memories, the wire, Twilio.
// It is comparable, so that a map finds a state again.
type World struct {
	Messages    [maxMessages]Message
	Attempts    [maxMessages][maxAttempts]Attempt
	Dispatchers [maxDispatchers]Dispatcher
	Stop        Stop
	Jumps       uint8 // of the database's clock, still to come
	Broken      Rule  // the first rule that was broken on the way here
}

// Message is a row of the ledger with its place on the belt.
type Message struct {
	State  State
	Newest uint8 // slot of its newest attempt
	OnBelt bool  // the belt delivers it, any number of times
}

// Attempt is a row of the ledger with its live_attempt, and what became of its call. The zero value is a free slot.
type Attempt struct {
	State    State
	Lease    uint8 // time left
	LookUp   uint8 // time left until a look-up may begin
	Absences uint8
	Wire     Wire
	Left     uint8 // in flight: how long it may still arrive; accepted: how long a listing may not show it
}

// State is a message.State that a map key can hold in one byte; the zero value is a row that does not exist.
type State uint8

// The states that the protocol moves through.
const (
	None State = iota
	Queued
	Sending
	Unknown
	Accepted
	Delivered
	Failed
	Suppressed
	Absent
	Canceled
	Refused
)

// Real is the state in the words of the product.
func (s State) Real() message.State {
	return [...]message.State{
		"", message.Queued, message.Sending, message.Unknown, message.Accepted, message.Delivered, message.Failed, message.Suppressed,
		message.Absent, message.Canceled, message.Refused,
	}[s]
}

func (s State) live() bool { return s == Sending || s == Unknown }

// settled tells whether the protocol has nothing more to do for a message.
func (s State) settled() bool {
	return s == Accepted || s == Delivered || s == Failed || s == Suppressed
}

// Wire is what became of the request of an attempt. The dispatchers do not know it.
type Wire uint8

// The ways of a request.
const (
	Unwritten Wire = iota
	InFlight       // written, and it may still arrive
	Lost           // written, and it never arrives
	Taken          // Twilio has the message
	Rejected       // Twilio refused it
)

// Stop is how far a person's STOP has come.
type Stop uint8

// The way of a STOP.
const (
	Unsaid  Stop = iota
	Durable      // the door has stored and confirmed it
	Applied      // it stands in the consent ledger
)

// Dispatcher is what one process has in memory: one message on its way out, and one look-up.
type Dispatcher struct {
	Phase    Phase
	Message  uint8
	Attempt  uint8
	Deadline uint8 // time left
	Seen     bool  // the STOP was there at the last look at the belt
	Read     bool  // the opt-out stood in the ledger when consent was read
	Late     bool  // for the rules: the STOP was durable when the last look was over
	Outcome  State // of the call
	LookUp   LookUp
}

// Phase is where a dispatcher stands between claim and record.
type Phase uint8

// The phases, in order.
const (
	Idle     Phase = iota
	Claimed        // the attempt is committed
	CaughtUp       // every reply at the first look is worked on
	HasRead        // consent was read again
	Allowed        // a second look found nothing newer
	Checked        // the deadline was not over
	Calling        // the request is written
	Called         // the outcome waits to be recorded
)

// LookUp is a listing that was made and not yet noted.
type LookUp struct {
	Active   bool
	Message  uint8
	Attempt  uint8
	Absences uint8 // as they were when it began
	Found    uint8 // 0: nothing; else 1 + the message whose request it found
	Slot     uint8
}

// Rule is a promise of the protocol.
type Rule uint8

// The rules.
const (
	NoneBroken    Rule = iota
	SentTwice          // Twilio took a message twice
	WrongAbsence       // an attempt was noted absent that Twilio has, or may still get
	TwoLive            // two attempts to one address in sending or unknown
	SentAfterStop      // a call began although the STOP was durable at the last look
	WrongSID           // an attempt adopted another attempt's message
	DeadEnd            // no way leads to an end of every message
)

// String names the rule.
func (r Rule) String() string {
	return [...]string{
		"nothing", "a message reached Twilio twice", "an attempt was noted absent that Twilio has or may still get",
		"two live attempts to one address", "a call began after the STOP was durable", "an attempt adopted another's message",
		"a message can't come to an end any more",
	}[r]
}

// Action is a step from one world to the next.
type Action struct {
	What             string
	Message, Attempt uint8
	About            Subject
}

// Subject says which numbers of an Action mean something.
type Subject uint8

// What an action is about.
const (
	OfAll Subject = iota
	OfMessage
	OfAttempt
	OfDispatcher
)

// String is the action as a line of a trace.
func (a Action) String() string {
	switch a.About {
	case OfAll:
	case OfMessage:
		return fmt.Sprintf("%s (message %d)", a.What, a.Message+1)
	case OfAttempt:
		return fmt.Sprintf("%s (message %d, attempt slot %d)", a.What, a.Message+1, a.Attempt+1)
	case OfDispatcher:
		return fmt.Sprintf("a dispatcher %s (message %d, attempt slot %d)", a.What, a.Message+1, a.Attempt+1)
	}
	return a.What
}

// String shows what differs from an empty world.
func (w World) String() string {
	var out strings.Builder
	for m, row := range w.Messages {
		if row.State == None {
			continue
		}
		fmt.Fprintf(&out, "message %d %s", m+1, row.State.Real())
		for a, at := range w.Attempts[m] {
			if at.State != None {
				fmt.Fprintf(&out, ", attempt %d %s (lease %d, look-up in %d, absences %d, wire %s %d)", a+1, at.State.Real(), at.Lease,
					at.LookUp, at.Absences, at.Wire, at.Left)
			}
		}
		out.WriteString("; ")
	}
	return out.String()
}

// String names what became of a request.
func (w Wire) String() string {
	return [...]string{"unwritten", "in flight", "lost", "taken", "rejected"}[w]
}
