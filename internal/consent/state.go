package consent

import (
	"cmp"
	"slices"
	"time"

	"github.com/beckonhq/beckon/internal/message"
)

// Mark is the newest entry of one action about one channel and scope. Seq breaks a tie of At, and the action a tie of both: the
// stricter one is newer. So the state does not depend on the order in which entries were added.
type Mark struct {
	Channel message.Channel
	Scope   Scope
	Action  Action
	At      time.Time
	Seq     uint64 // of the callback that brought it; 0 when none did
}

// ReviewChannel is the channel, in a State, of a reply that is under review. It is no channel.
const ReviewChannel message.Channel = "review"

// State is what the ledger says of one person: the newest entry of each action, per channel and scope, in any order.
type State []Mark

// On tells the newest word about a channel for the default program, see In.
func (s State) On(channel message.Channel) Action { return s.In(channel, message.DefaultProgram) }

// In tells the newest word that counts for a program on a channel: about the channel or all of them, about the program, its brand
// or everything. It is empty when nothing is on record.
func (s State) In(channel message.Channel, program string) Action {
	return s.newest(channel, program).Action
}

// Stopped tells whether nothing may be sent for a program on a channel.
func (s State) Stopped(channel message.Channel, program string) bool {
	return stops(s.In(channel, program))
}

// Granted tells whether there is express consent to marketing of a program on a channel. With double opt-in only a confirmed one
// counts. Consent that an opt-out ended comes back when the person lifts it (START), and not otherwise.
func (s State) Granted(channel message.Channel, program string, double bool) bool {
	if s.Stopped(channel, program) {
		return false
	}
	grant := s.newest(channel, program, Confirm)
	if optIn := s.newest(channel, program, OptIn); !double && optIn.newer(grant) {
		grant = optIn
	}
	if grant.Action == "" {
		return false
	}
	stop, erased := s.newest(channel, program, OptOut, Erase), s.newest(channel, program, Erase)
	if grant.newer(stop) {
		return true
	}
	return grant.newer(erased) && s.newest(channel, program, ReOptIn).newer(stop)
}

// Revoked tells whether the newest word about all that a scope is about, on all channels, is an opt-out.
func (s State) Revoked(scope Scope) bool {
	var newest Mark
	for _, m := range s.about(scope) {
		if m.Channel == AllChannels && m.newer(newest) {
			newest = m
		}
	}
	return newest.Action == OptOut
}

// AnyRevoked tells whether there is anything that is Revoked.
func (s State) AnyRevoked() bool {
	return s.any(func(m Mark) bool { return m.Channel == AllChannels && m.Action == OptOut && s.Revoked(m.Scope) })
}

// UnderReview tells whether a reply that may be an opt-out waits for a decision: nothing may be sent on any channel.
func (s State) UnderReview() bool {
	return s.any(func(m Mark) bool { return m.Channel == ReviewChannel })
}

func (s State) any(is func(Mark) bool) bool { return slices.ContainsFunc(s, is) }

// newest finds the newest mark of the actions, of any without one, that counts for a program on a channel.
func (s State) newest(channel message.Channel, program string, actions ...Action) Mark {
	var found Mark
	for _, m := range s {
		wanted := len(actions) == 0 || slices.Contains(actions, m.Action)
		if wanted && m.on(channel) && m.Scope.covers(program) && m.newer(found) {
			found = m
		}
	}
	return found
}

func (m Mark) on(channel message.Channel) bool {
	return m.Channel == channel || m.Channel == AllChannels
}

func (m Mark) newer(other Mark) bool {
	if m.Action == "" {
		return false
	}
	if other.Action == "" {
		return true
	}
	return cmp.Or(m.At.Compare(other.At), cmp.Compare(m.Seq, other.Seq), cmp.Compare(m.Action.strict(), other.Action.strict())) > 0
}

func stops(a Action) bool { return a == OptOut || a == Erase }

// strict orders the actions that were done at the same moment.
func (a Action) strict() int {
	switch a {
	case OptIn:
		return 1
	case Confirm:
		return 2
	case ReOptIn:
		return 3
	case OptOut:
		return 4
	case Erase:
		return 5
	}
	return 0
}
