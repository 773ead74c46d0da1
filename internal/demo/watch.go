package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforcesim"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twilio"
)

const lookEvery = 10 * time.Millisecond

// until asks again and again whether something has happened, and fails with what did not.
func until(ctx context.Context, what string, happened func(context.Context) (bool, error)) error {
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		ok, err := happened(waiting)
		if ok && err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-waiting.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return errors.Join(fmt.Errorf("%w: within %s it was not seen that %s", ErrDidNotHappen, patience, what), err)
		}
	}
}

// acknowledged waits for the answer to the first delivery of a notification and tells it.
func (s *story) acknowledged(ctx context.Context, id notification.ID) error {
	var last salesforcesim.Attempt
	err := until(ctx, "Salesforce got its answer", func(context.Context) (bool, error) {
		history, ok := s.salesforce.History(id)
		if !ok || len(history.Attempts) == 0 {
			return false, nil
		}
		last = history.Attempts[0]
		return true, nil
	})
	if err != nil {
		return err
	}
	if last.Outcome != salesforcesim.Acked {
		return fmt.Errorf("%w: Salesforce got no acknowledgement: %s", ErrDidNotHappen, last.Reason)
	}
	s.say(beckon, "<Ack>true</Ack> after %.1f ms: it is stored on disk.", float64(last.Took.Microseconds())/1000)
	return nil
}

// follow tells what the ledger shows of a notification and its messages, each thing once and as soon as it is there, until
// done is content.
func (s *story) follow(ctx context.Context, who person, id notification.ID, what string, done func(*store.Trace) bool) error {
	return until(ctx, what, func(ctx context.Context) (bool, error) {
		trace, err := s.ledger.Trace(ctx, string(id))
		if errors.Is(err, store.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		s.tellDecision(who, trace)
		for i := range trace.Messages {
			s.tellMessage(who, &trace.Messages[i])
		}
		return done(trace), nil
	})
}

// first is true the first time for these words.
func (s *story) first(words ...string) bool {
	key := strings.Join(words, " ")
	if s.told[key] {
		return false
	}
	s.told[key] = true
	return true
}

func (s *story) tellDecision(who person, trace *store.Trace) {
	n := trace.Notifications[0]
	if !s.first("decided", string(n.ID)) {
		return
	}
	switch n.Outcome {
	case notification.NoMatch:
		s.say(beckon, "no rule matches: nobody is told anything.")
	case notification.Matched:
		for _, m := range trace.Messages {
			s.say(beckon, "rule %s matches: %s, %s, by %s.", m.Rule, m.Purpose, languages(who, &m), preferences(m.Channels))
		}
	case notification.RuleError, notification.DeadLetter, notification.Duplicate:
		s.say(beckon, "decided: %s.", strings.ReplaceAll(string(n.Outcome), "_", " "))
	}
}

// languages shows which language the message has and, if that is another one, which one the record asked for.
func languages(who person, m *store.MessageTrace) string {
	if m.Language == who.language {
		return m.Language
	}
	return fmt.Sprintf("%s (the record says %s)", m.Language, who.language)
}

func preferences(channels []message.Channel) string {
	names := make([]string, len(channels))
	for i, c := range channels {
		names[i] = channelName(c)
	}
	return strings.Join(names, " or ")
}

func channelName(c message.Channel) string {
	switch c {
	case message.SMS:
		return "SMS"
	case message.WhatsApp:
		return "WhatsApp"
	}
	return string(c)
}

func (s *story) tellMessage(who person, m *store.MessageTrace) {
	for i, a := range m.AttemptList {
		if a.SID != "" && s.first("attempt", a.ID) {
			if i > 0 && a.Channel != m.AttemptList[i-1].Channel {
				s.say(beckon, "falls back to %s: attempt %d of the same message.", channelName(a.Channel), a.Number)
			}
			s.say(twilioName, "takes the %s message for %s: %s.", channelName(a.Channel), masked(who), shortID(a.SID))
		}
		for _, e := range m.Events {
			if e.SID == a.SID && s.first("event", e.SID, e.Status) {
				s.tellEvent(who, a.Channel, e)
			}
		}
	}
	if m.State == message.Suppressed && s.first("suppressed", m.ID) {
		s.say(beckon, "%s is suppressed: %s.", m.Rule, m.Reason)
	}
	if m.State == message.Queued && m.Reason == message.ReasonQuietHours && s.first("night", m.ID) {
		s.say(beckon, "%s waits: %s, until %s.", m.Rule, m.Reason, morning(m.NotBefore))
	}
}

func (s *story) tellEvent(who person, channel message.Channel, e store.EventTrace) {
	switch e.Status {
	case "delivered":
		s.say(twilioName, "reports: delivered.")
		if m, ok := s.twilio.Message(e.SID); ok {
			s.say(who.name+"'s phone", "rings:")
			s.bubble(channelName(channel), m.Body)
		}
	case "undelivered", "failed":
		s.say(twilioName, "reports: %s, error %d (%s).", e.Status, e.ErrorCode,
			twilio.DefaultReactions().For(twilio.PhaseCallback, e.ErrorCode, 0).Meaning)
	default:
		s.say(twilioName, "reports: %s.", e.Status)
	}
}

// masked is how the log shows a number.
func masked(who person) string { return who.number.Masked() }

// shortID shows the ends of an id.
func shortID(id string) string {
	const ends, shortest = 6, 20
	if len(id) < shortest {
		return id
	}
	return id[:ends] + "…" + id[len(id)-4:]
}

// reached tells whether each message of a notification is in the state given for its rule.
func reached(trace *store.Trace, want map[string]message.State) bool {
	if len(trace.Messages) != len(want) {
		return false
	}
	for _, m := range trace.Messages {
		if m.State != want[m.Rule] {
			return false
		}
	}
	return true
}
