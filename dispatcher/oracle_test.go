package dispatcher

import (
	"cmp"
	"slices"
	"strings"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
)

// oracle is a second opinion on whether something may be sent. It knows none of the code that decides it: it goes through what was said,
// in order, and keeps four truths.
type oracle struct {
	said    []utterance
	links   map[address.Address][]address.Address
	reviews []doubt
	double  bool // double opt-in
	closed  bool // it is night where everybody lives
	paused  bool // the rule is
}

// utterance is one word of the consent ledger; no channel and no program: all of them.
type utterance struct {
	at      int // place among all that was said
	who     address.Address
	channel message.Channel
	program string // acme/ stands for the brand
	what    string
}

// doubt is a reply that may be an opt-out and that nobody has decided on.
type doubt struct {
	at  int
	who address.Address
}

const (
	saysStop, saysStart, saysYes, saysConfirm, saysErased = "stop", "start", "opt in", "confirm", "erased"
)

// everybody are the addresses that are known to be of the same person.
func (o *oracle) everybody(who address.Address) []address.Address {
	all := []address.Address{who}
	for i := 0; i < len(all); i++ {
		for _, next := range o.links[all[i]] {
			if !slices.Contains(all, next) {
				all = append(all, next)
			}
		}
	}
	return all
}

func (o *oracle) link(a, b address.Address) {
	o.links[a], o.links[b] = append(o.links[a], b), append(o.links[b], a)
}

// say notes a word; one about everything answers the doubts about what the person said before.
func (o *oracle) say(s utterance) {
	o.said = append(o.said, s)
	slices.SortStableFunc(o.said, func(x, y utterance) int { return cmp.Compare(x.at, y.at) })
	if s.channel == "" && s.program == "" {
		same := o.everybody(s.who)
		o.reviews = slices.DeleteFunc(o.reviews, func(d doubt) bool { return d.at < s.at && slices.Contains(same, d.who) })
	}
}

// decide ends a doubt. An opt-out was one when it was said, and ends all doubts about the person.
func (o *oracle) decide(d doubt, optOut bool) {
	same := o.everybody(d.who)
	o.reviews = slices.DeleteFunc(o.reviews, func(other doubt) bool { return other == d || optOut && slices.Contains(same, other.who) })
	if optOut {
		o.say(utterance{at: d.at, who: d.who, what: saysStop})
	}
}

func (o *oracle) erase(at int, who address.Address) {
	gone := o.everybody(who)
	o.said = slices.DeleteFunc(o.said, func(s utterance) bool { return slices.Contains(gone, s.who) })
	o.reviews = slices.DeleteFunc(o.reviews, func(d doubt) bool { return slices.Contains(gone, d.who) })
	for _, a := range gone {
		delete(o.links, a)
		o.said = append(o.said, utterance{at: at, who: a, what: saysErased})
	}
}

// standing goes through a person's words about a channel and a program.
func (o *oracle) standing(who address.Address, channel message.Channel, program string) (stopped, agreed bool) {
	everAgreed := false
	same := o.everybody(who)
	for _, s := range o.said {
		about := s.program == "" || s.program == program || strings.HasSuffix(s.program, "/") && strings.HasPrefix(program, s.program)
		if !slices.Contains(same, s.who) || !about || s.channel != "" && s.channel != channel {
			continue
		}
		switch s.what {
		case saysStop:
			stopped, agreed = true, false
		case saysErased:
			stopped, agreed, everAgreed = true, false, false
		case saysStart:
			stopped, agreed = false, everAgreed
		case saysYes:
			stopped = false
			if !o.double {
				agreed, everAgreed = true, true
			}
		case saysConfirm:
			stopped, agreed, everAgreed = false, true, true
		}
	}
	return stopped, agreed
}

// opinion is what the oracle says of a message: the channel that it goes on, or why it does not, or that it waits.
type opinion struct {
	send     message.Channel
	suppress message.Reason
}

func (o *oracle) judge(m *message.Message) opinion {
	if m.Origin == message.OriginCompliance {
		return opinion{send: m.Channels[0]}
	}
	if m.Rule != "" && o.paused {
		return opinion{}
	}
	why := message.ReasonNoConsent
	for _, channel := range m.Channels {
		stopped, agreed := o.standing(m.To, channel, m.Program)
		marketing := m.Purpose == message.Marketing
		switch {
		case stopped:
			why = message.ReasonOptedOut
		case marketing && !agreed:
		case o.doubts(m.To), marketing && o.closed:
			return opinion{}
		default:
			return opinion{send: channel}
		}
	}
	return opinion{suppress: why}
}

func (o *oracle) doubts(who address.Address) bool {
	same := o.everybody(who)
	return slices.ContainsFunc(o.reviews, func(d doubt) bool { return slices.Contains(same, d.who) })
}
