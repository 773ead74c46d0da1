package dispatcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twilio"
)

// longestHold bounds how long one 429 holds a lane back, whatever its Retry-After says.
const longestHold = 2 * time.Minute

// leastHeld is the shortest wait for a rate: shorter ones would be many claims of few messages, and the rate allows a burst.
const leastHeld = 50 * time.Millisecond

// Lane is one sender with all that its messages do not share with those of others: its part of the belt, its calls in flight,
// its rate, its access to Twilio.
type Lane struct {
	Sender      Sender
	Account     string        // the Twilio account: what stops it stops all its lanes
	Messages    Source        // of this sender alone
	Twilio      Twilio        // as the account
	Concurrency int           // calls in flight; default 64
	Pace        time.Duration // time for each segment, held by all dispatchers together; 0: as fast as it goes
}

func (l Lane) problems() []error {
	var problems []error
	if l.Sender.Name == "" || l.Messages == nil || l.Twilio == nil {
		problems = append(problems, errors.New("a part of the configuration of a lane is missing"))
	}
	if !l.Sender.Has(message.SMS) && !l.Sender.Has(message.WhatsApp) {
		problems = append(problems, fmt.Errorf("sender %q has neither an SMS nor a WhatsApp address", l.Sender.Name))
	}
	return problems
}

// lane is a Lane at work. One goroutine claims for it; nothing that it waits for holds up another lane.
type lane struct {
	*Dispatcher
	Lane

	gates   []gate
	closing func(*store.Candidate) time.Time
	files   fileJudge
	barrier barrier
	round   int // of Standing
	slots   chan struct{}
	breaker *breaker
	// routes are for what Twilio says against one channel of a sender that has another: messages for that channel wait in the
	// ledger, those for the other go on. Without another channel the lane's own breaker opens, and all wait on the belt.
	routes map[message.Channel]*breaker
}

func (d *Dispatcher) newLane(config Lane) *lane {
	config.Concurrency = cmp.Or(config.Concurrency, defaultConcurrency)
	l := &lane{Dispatcher: d, Lane: config, slots: make(chan struct{}, config.Concurrency), routes: map[message.Channel]*breaker{}}
	worked := newNotifier()
	d.inboundN = append(d.inboundN, worked)
	l.barrier = barrier{belt: d.Belt, inbound: d.Inbound, worked: worked}
	l.files = newFileJudge(d.Files)
	l.breaker = newBreaker(d.Failures, d.ProbeAfter, l.noteLane)
	for _, channel := range []message.Channel{message.SMS, message.WhatsApp} {
		if config.Sender.Has(channel) {
			l.routes[channel] = newBreaker(d.Failures, d.ProbeAfter, func(state breakerState, of cause, why string) {
				l.note(string(channel), state, of, why)
			})
			d.metrics.stopped.WithLabelValues(config.Sender.Name, string(channel)).Set(0)
		}
	}
	l.closing = func(c *store.Candidate) time.Time { return closing(d.Hours, c) }
	l.gates = append(gates(config.Sender, d.Hours, d.DoubleOptIn), gate{"files", l.files.gate}, gate{"sender", l.stoppedGate})
	d.metrics.breaker.WithLabelValues(config.Sender.Name).Set(0)
	d.metrics.stopped.WithLabelValues(config.Sender.Name, everyChannel).Set(0)
	return l
}

// everyChannel is the label of what stops a whole lane.
const everyChannel = "all"

func (l *lane) noteLane(state breakerState, of cause, why string) {
	l.metrics.breaker.WithLabelValues(l.Sender.Name).Set(float64(state))
	l.note(everyChannel, state, of, why)
}

// note says once where operators look, in log and metrics, that sending has stopped, and that it goes on.
func (l *lane) note(channel string, state breakerState, of cause, why string) {
	gauge := l.metrics.stopped.WithLabelValues(l.Sender.Name, channel)
	said := l.said.set(l.Sender.Name+" "+channel, state != stateClosed)
	switch {
	case state == stateClosed:
		gauge.Set(0)
		l.Log.Info("Twilio takes messages again", "sender", l.Sender.Name, "channel", channel)
	case state == stateOpen && !said:
		gauge.Set(1)
		l.metrics.stops.WithLabelValues(l.Sender.Name, string(of)).Inc()
		l.Log.Error("sending is stopped, nothing is lost: single messages will try whether Twilio takes them",
			"sender", l.Sender.Name, "channel", channel, "cause", string(of), "error", why)
	}
}

// stoppedGate makes messages wait for a channel that Twilio refuses the sender on. They come back spread over a while.
func (l *lane) stoppedGate(_ *store.Candidate, channel message.Channel) ruling {
	left := l.routes[channel].left()
	if left == 0 {
		return ruling{}
	}
	return ruling{wait: left + rand.N(left+time.Minute), behind: message.ReasonSenderStopped} //nolint:gosec // spreading needs no secrecy
}

// works notes that Twilio took a message.
func (l *lane) works(era int, channel message.Channel) {
	l.answered(era)
	l.routes[channel].reset(causeSender)
}

// answered notes that Twilio answers. What it says of the account holds for the other lanes too, also for those that have no
// message to try it with.
func (l *lane) answered(era int) {
	if was, now := l.breaker.answered(era); now && was == causeAccount {
		for _, other := range l.lanes {
			if other.Account == l.Account {
				other.breaker.reset(causeAccount)
			}
		}
	}
}

// learn notes what a failed call says about the ones after it.
func (l *lane) learn(era int, channel message.Channel, failure *twilio.Error) {
	switch {
	case failure.Kind == twilio.Unclear:
		l.breaker.failed(era, failure.Error())
	case failure.Kind == twilio.NotSent && failure.Status == 0: // it does not answer
		l.breaker.hold(firstRetry)
		l.breaker.failed(era, failure.Error())
	case failure.Kind == twilio.NotSent: // it has too much at once
		l.answered(era)
		l.breaker.hold(max(busyWait, min(failure.RetryAfter, longestHold)))
	case failure.Rule.Stop == twilio.StopAll:
		l.breaker.stop(era, causeAccount, failure.Error())
		l.stopAccount(failure.Error())
	case failure.Rule.Stop == twilio.StopSender && !l.hasOther(channel):
		l.breaker.stop(era, causeSender, failure.Error())
	case failure.Rule.Stop == twilio.StopSender:
		l.answered(era)
		l.routes[channel].shut(causeSender, failure.Error())
	default:
		l.answered(era)
	}
}

// stopAccount opens the lanes of the same account.
func (l *lane) stopAccount(why string) {
	for _, other := range l.lanes {
		if other.Account == l.Account {
			other.breaker.shut(causeAccount, why)
		}
	}
}

func (l *lane) hasOther(channel message.Channel) bool {
	for other := range l.routes {
		if other != channel {
			return true
		}
	}
	return false
}

// learnStatus notes what a status callback says about the account or the sender: Twilio takes some messages and fails them
// afterwards, for example those of a suspended account.
func (d *Dispatcher) learnStatus(sender string, event store.StatusEvent, channel message.Channel) {
	if event.State != message.Failed && event.State != message.Undelivered || time.Since(event.Received) > trust {
		return // also what has waited: it says nothing of now
	}
	l := d.laneOf(sender)
	rule := d.Reactions.ForCountry(twilio.PhaseCallback, event.ErrorCode, 0, event.To.Country())
	why := fmt.Sprintf("twilio: a message failed with code %d (%s)", event.ErrorCode, rule.Meaning)
	switch {
	case l == nil || rule.Stop == twilio.StopNothing:
	case rule.Stop == twilio.StopAll:
		l.stopAccount(why)
	case l.routes[channel] != nil && l.hasOther(channel):
		l.routes[channel].shut(causeSender, why)
	default:
		l.breaker.shut(causeSender, why)
	}
}

// laneOf returns the lane of a sender, nil when it is not configured.
func (d *Dispatcher) laneOf(sender string) *lane {
	for _, l := range d.lanes {
		if l.Sender.Name == sender {
			return l
		}
	}
	return nil
}

// Ready tells whether messages are being sent, by one sender at least. The error says what an operator must mend.
func (d *Dispatcher) Ready(context.Context) error {
	var reasons []string
	for _, l := range d.lanes {
		why := l.breaker.reason()
		if why == "" {
			return nil
		}
		reasons = append(reasons, l.Sender.Name+": "+why)
	}
	return fmt.Errorf("sending is stopped: %s", strings.Join(reasons, "; "))
}

// Warnings tells of senders that can't send while others do, and of messages that no sender takes.
func (d *Dispatcher) Warnings() []string {
	var warnings []string
	for _, l := range d.lanes {
		if why := l.breaker.reason(); why != "" {
			warnings = append(warnings, fmt.Sprintf("sending by %s is stopped: %s", l.Sender.Name, why))
		}
		for channel, route := range l.routes {
			if why := route.reason(); why != "" {
				warnings = append(warnings, fmt.Sprintf("sending by %s on %s is stopped: %s", l.Sender.Name, channel, why))
			}
		}
	}
	for _, sender := range d.said.all(unservedPrefix) {
		warnings = append(warnings, fmt.Sprintf("messages wait for the sender %s, which is not configured", sender))
	}
	slices.Sort(warnings)
	return warnings
}

const unservedPrefix = "unserved "

// lookForUnserved tells of queued messages whose sender is not configured here: nobody would ever take them.
func (d *Dispatcher) lookForUnserved(ctx context.Context) error {
	names := make([]string, len(d.lanes))
	for i, l := range d.lanes {
		names[i] = l.Sender.Name
	}
	unserved, err := d.Ledger.Unserved(ctx, names)
	if err != nil {
		return err
	}
	for _, sender := range d.said.all(unservedPrefix) {
		if unserved[sender] == 0 {
			d.said.set(unservedPrefix+sender, false)
			d.metrics.unserved.DeleteLabelValues(sender)
		}
	}
	for sender, n := range unserved {
		d.metrics.unserved.WithLabelValues(sender).Set(float64(n))
		if !d.said.set(unservedPrefix+sender, true) {
			d.Log.ErrorContext(ctx, "messages wait for a sender that is not configured", "sender", sender, "messages", n)
		}
	}
	return nil
}

// fetchLimit is how many deliveries to take for so many free slots. One is enough for a sender with a rate: the rest is better
// left on the belt, where every dispatcher can take it.
func (l *lane) fetchLimit(free int) int {
	if l.Pace > 0 {
		return 1
	}
	return max(1, free/slotsPerFetch)
}

// said remembers what operators were told, so that they are told once.
type said struct {
	mu sync.Mutex
	on map[string]bool
}

// set notes whether something is so, and returns whether it was before.
func (s *said) set(key string, on bool) (before bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before = s.on[key]
	if s.on == nil {
		s.on = map[string]bool{}
	}
	s.on[key] = on
	return before
}

// all returns what is so and begins with prefix, without it.
func (s *said) all(prefix string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for key, on := range s.on {
		if rest, ok := strings.CutPrefix(key, prefix); ok && on {
			found = append(found, rest)
		}
	}
	return found
}
