package dispatcher

import (
	"cmp"
	"slices"
	"time"

	"github.com/beckonhq/beckon/internal/message"
	hours "github.com/beckonhq/beckon/internal/quiet"
	"github.com/beckonhq/beckon/internal/store"
)

// windowMargin keeps a message from reaching Twilio just after the window has closed.
const windowMargin = time.Minute

// busyWait is how long a message waits behind another one to the same address whose call is in flight; unknownWait,
// behind one whose outcome is unknown.
const (
	busyWait    = 250 * time.Millisecond
	unknownWait = 30 * time.Second
)

// reviewWait is how long a message waits for the decision whether its recipient opted out; a decision ends it at once.
const reviewWait = 15 * time.Minute

// ruling is what one gate says of a message on one channel. The zero ruling lets it pass.
type ruling struct {
	refuse message.Reason // not on this channel; the next one may do
	wait   time.Duration  // not now
	behind message.Reason // why it waits, when that may take long
	defers bool           // it may not go before: its time begins then
	words  string         // more than the reason, for people
}

// gate looks at a message on one channel. Gates are pure. The name is for the trace.
type gate struct {
	name string
	ask  func(c *store.Candidate, channel message.Channel) ruling
}

const routeName = "route"

// gates is the way of every message to Twilio, whatever it comes from, in order.
func gates(sender Sender, law *hours.Law, doubleOptIn bool) []gate {
	return []gate{
		{"rule", ruleGate},                    // is its rule not paused
		{routeName, routeGate(sender)},        // is there a sender and content for the channel
		{"consent", consentGate(doubleOptIn)}, // does the person allow it
		{"window", windowGate},                // does WhatsApp allow it now
		{"country", countryGate},              // does WhatsApp allow it there
		{"hours", hoursGate(law)},             // is it a time of day to write to the person
		{"address", addressGate},              // is no other call to this address open
	}
}

// pauseWait is how long a message of a paused rule waits at least; who lets the rule go on ends it at once. The longer the pause, the more
// rarely is a message looked at, since half a million may wait over a weekend, and each look takes the place of another message. The
// longest wait is that of a message which a claim had in hand when the rule was let go on.
const (
	pauseWait        = 10 * time.Minute
	longestPauseWait = time.Hour
)

func ruleGate(c *store.Candidate, _ message.Channel) ruling {
	if c.Paused {
		return ruling{wait: min(max(pauseWait, c.PausedFor), longestPauseWait), behind: message.ReasonRulePaused, defers: true}
	}
	return ruling{}
}

func routeGate(sender Sender) func(*store.Candidate, message.Channel) ruling {
	return func(c *store.Candidate, channel message.Channel) ruling {
		switch {
		case !sender.Has(channel):
			return ruling{refuse: message.ReasonNoRoute, words: "the sender has nothing to send from on " + string(channel)}
		case !c.Message.Content.Has(channel):
			return ruling{refuse: message.ReasonNoRoute, words: cmp.Or(unrendered(c), "there is no text for "+string(channel))}
		}
		return ruling{}
	}
}

// unrendered is what the router said when it could not render a channel, or one form of it; empty when it could.
func unrendered(c *store.Candidate) string {
	if c.Message.Attempts > 0 { // since then the detail is that of an attempt
		return ""
	}
	return c.Message.Detail
}

// consentGate refuses a channel on which the person's newest word about the message's program is an opt-out, and, for marketing, any
// channel without express consent to that program. While somebody looks at a reply that may be an opt-out, it lets nothing pass.
// The one exemption is the single answer to a STOP or HELP: the ledger makes one such message for one inbound SID, to the person
// whose reply that is.
func consentGate(doubleOptIn bool) func(*store.Candidate, message.Channel) ruling {
	return func(c *store.Candidate, channel message.Channel) ruling {
		program := cmp.Or(c.Message.Program, message.DefaultProgram)
		switch {
		case c.Message.Origin == message.OriginCompliance:
			return ruling{}
		case c.Consent.Stopped(channel, program):
			return ruling{refuse: message.ReasonOptedOut}
		case c.Message.Purpose == message.Marketing && !c.Consent.Granted(channel, program, doubleOptIn):
			return ruling{refuse: message.ReasonNoConsent}
		case c.Consent.UnderReview():
			return ruling{wait: reviewWait, behind: message.ReasonUnderReview}
		}
		return ruling{}
	}
}

// windowGate refuses WhatsApp when there is no approved template and the window for free text is closed.
func windowGate(c *store.Candidate, channel message.Channel) ruling {
	if channel == message.WhatsApp && c.Message.Content.WhatsApp.ContentSID == "" && !windowOpen(c) {
		words := "the WhatsApp window for free text is closed, and there is no approved template"
		if why := unrendered(c); why != "" {
			words += ": " + why
		}
		return ruling{refuse: message.ReasonNoRoute, words: words}
	}
	return ruling{}
}

func windowOpen(c *store.Candidate) bool {
	last, ok := c.LastInbound[message.WhatsApp]
	return ok && last.After(c.WindowDenied) && c.Now.Sub(last) < message.WhatsAppWindow-windowMargin
}

func addressGate(c *store.Candidate, channel message.Channel) ruling {
	phase, busy := c.Live[channel]
	switch {
	case !busy:
		return ruling{}
	case phase == message.Unknown:
		return ruling{wait: unknownWait, behind: message.ReasonBehindUnknown}
	}
	return ruling{wait: busyWait}
}

// judge sends a message through the gates, channel by channel in its order of preference: the first channel that passes
// is taken. When none does, the gravest refusal is the reason.
func (l *lane) judge(c store.Candidate) store.Verdict {
	if !c.ExpiresAt.IsZero() && !c.Now.Before(c.ExpiresAt) {
		return store.Verdict{Expire: true}
	}
	l.files.orTemplate(&c)
	worst, detail := message.ReasonNoRoute, ""
	var answers []store.GateAnswer
	for i := c.NextChannel; i < len(c.Message.Channels); i++ {
		channel := c.Message.Channels[i]
		name, r := pass(l.gates, &c, channel)
		switch {
		case r.wait > 0 && r.behind == "":
			return store.Verdict{Wait: r.wait, On: channel}
		case r.wait > 0:
			return store.Verdict{
				Wait: r.wait, Behind: r.behind, On: channel, Defer: r.defers, Answers: append(answers, answer(channel, name, "wait: "+r.behind, r.words)),
			}
		case r.refuse == "":
			return store.Verdict{Send: channel, Index: i, FreeText: freeText(&c, channel), Closes: l.closing(&c), Answers: passing(answers, unrendered(&c))}
		case gravity(r.refuse) > gravity(worst) || detail == "" && r.refuse == worst:
			worst, detail = r.refuse, r.words
		}
		answers = append(answers, answer(channel, name, r.refuse, r.words))
	}
	return store.Verdict{Suppress: worst, Detail: detail, Answers: answers}
}

// passing are the answers worth keeping of a message that goes: not that a channel before has no route, which is so for all
// messages of its rule, and would cost each of them a row; unless this one could not be rendered for the channel.
func passing(answers []store.GateAnswer, unrendered string) []store.GateAnswer {
	return slices.DeleteFunc(answers, func(a store.GateAnswer) bool {
		return a.Gate == routeName && (unrendered == "" || a.Words != unrendered)
	})
}

func answer(channel message.Channel, gate string, reason message.Reason, words string) store.GateAnswer {
	return store.GateAnswer{Channel: string(channel), Gate: gate, Answer: string(reason), Words: words}
}

// pass asks the gates in order, and returns the first that does not let the message pass.
func pass(gates []gate, c *store.Candidate, channel message.Channel) (string, ruling) {
	for _, g := range gates {
		if r := g.ask(c, channel); r != (ruling{}) {
			return g.name, r
		}
	}
	return "", ruling{}
}

// freeText tells whether a WhatsApp message goes as free text: it has one and the window is open.
func freeText(c *store.Candidate, channel message.Channel) bool {
	return channel == message.WhatsApp && c.Message.Content.WhatsApp.Text != "" && windowOpen(c)
}

func gravity(reason message.Reason) int {
	switch reason { //nolint:exhaustive // the reasons of gates only
	case message.ReasonOptedOut:
		return 3
	case message.ReasonNoConsent:
		return 2
	case message.ReasonQuietHours, message.ReasonUSMarketing, message.ReasonBadMedia:
		return 1
	}
	return 0
}
