package view

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

// why says in plain words why the newest notification's message was not sent, or what it waits for.
func why(t *Trace, now time.Time) string {
	if len(t.Notifications) == 0 && len(t.Messages) == 0 {
		return ""
	}
	if len(t.Notifications) == 0 { // it comes of none
		return whyMessage(&t.Messages[len(t.Messages)-1], now)
	}
	n := &t.Notifications[len(t.Notifications)-1]
	var newest *TracedMessage
	for i := range t.Messages {
		if m := &t.Messages[i]; m.NotificationID == n.ID && m.Org == n.Org {
			newest = m
		}
	}
	if newest == nil {
		return whyNoMessage(t, n)
	}
	return whyMessage(newest, now)
}

// newestDecision is the outcome and the detail that count: those of the last decision.
func newestDecision(n *Notification) (outcome string, detail json.RawMessage, once []string) {
	outcome, detail, once = n.Outcome, n.Decision, n.OnceSkipped
	for _, r := range n.Replays {
		if r.Result == "decided_again" {
			outcome, detail, once = r.Outcome, r.Decision, r.OnceSkipped
		}
	}
	return outcome, detail, once
}

func whyNoMessage(t *Trace, n *Notification) string {
	outcome, raw, once := newestDecision(n)
	var detail struct {
		Results []struct{ Rule, Verdict, Error string }
		Deleted bool
	}
	_ = json.Unmarshal(raw, &detail) // what can't be read says nothing
	switch notification.Outcome(outcome) {
	case notification.DeadLetter:
		if len(t.DeadLetters) > 0 {
			return fmt.Sprintf("it could not be decided and is a dead letter: beckon deadletters show %d", t.DeadLetters[len(t.DeadLetters)-1].ID)
		}
		return "it could not be decided; its dead letter has been dropped, or put back and not worked on yet: see beckon audit list"
	case notification.RuleError:
		for _, r := range detail.Results {
			if r.Error != "" {
				return fmt.Sprintf("rule %s failed, so there is no message: %s", r.Rule, r.Error)
			}
		}
	case notification.Matched:
		if len(once) > 0 {
			return fmt.Sprintf("rule %s matched, but it had reached this record or person before (once)", once[0])
		}
		return "a rule matched, but it gave no recipient"
	case notification.NoMatch:
		if detail.Deleted {
			return "the record was deleted before Salesforce sent it, so no rule was asked"
		}
		if len(detail.Results) == 0 {
			return fmt.Sprintf("no rule is about %s, so there is no message", n.Object)
		}
	case notification.Duplicate:
	}
	return "no rule matched, so there is no message: beckon rules explain shows what each rule saw"
}

func whyMessage(m *TracedMessage, now time.Time) string {
	switch state := message.State(m.State); state {
	case message.Queued:
		return whyQueued(m, now)
	case message.Sending:
		return "it is being sent at this moment"
	case message.Unknown:
		return "the call to Twilio broke off, and whether it arrived is not known: it is looked up at Twilio and not sent blindly again"
	case message.Suppressed:
		return "it was not sent: " + inWords(m.Reason) + facts(m)
	case message.Failed, message.Undelivered:
		return fmt.Sprintf("it failed: %s%s", inWords(m.Reason), facts(m))
	case message.Expired:
		return "it was not sent: it was too old when its turn came"
	case message.Accepted, message.Sent, message.Delivered, message.Read:
		return "it was sent and is " + m.State + moreThanOnce(m)
	case message.Absent, message.Canceled, message.Refused: // of attempts only
	}
	return fmt.Sprintf("it is %s%s", m.State, facts(m))
}

// moreThanOnce tells of a message that several attempts brought.
func moreThanOnce(m *TracedMessage) string {
	n := 0
	for _, a := range m.AttemptList {
		if a.State == string(message.Delivered) || a.State == string(message.Read) {
			n++
		}
	}
	if n < 2 {
		return ""
	}
	return fmt.Sprintf(", by %d attempts: the person has it more than once, since an earlier one was taken for failed and arrived after all", n)
}

func facts(m *TracedMessage) string {
	text := ""
	if m.ErrorCode != 0 {
		text = fmt.Sprintf(" (error %d)", m.ErrorCode)
	}
	if m.Detail != "" {
		text += ": " + m.Detail
	}
	return text
}

func whyQueued(m *TracedMessage, now time.Time) string {
	due := m.NotBefore
	if m.Belt != nil && m.Belt.Seq != nil && *m.Belt.Seq == 0 && m.Belt.DueAt.After(due) {
		due = m.Belt.DueAt
	}
	in := due.Sub(now).Round(time.Second)
	switch {
	case message.Reason(m.Reason) == message.ReasonQuietHours && in > 0:
		return fmt.Sprintf("it is no time to write to the person, and it waits until %s, for another %s%s",
			due.UTC().Format(time.RFC3339), in, closedBy(m))
	case message.Reason(m.Reason) == message.ReasonBehindUnknown:
		return "it waits behind an earlier message to this person whose outcome is not known yet"
	case m.Belt != nil && m.Belt.Open != "" && in <= time.Second:
		return "it waits behind another message to this person that is " + m.Belt.Open
	case message.Reason(m.Reason) == message.ReasonRetry:
		return fmt.Sprintf("Twilio did not take it%s; the next try is in %s", facts(m), max(in, 0))
	case in > 0 && m.Reason != "":
		return fmt.Sprintf("it waits for another %s: %s", in, inWords(m.Reason))
	case in > 0:
		return fmt.Sprintf("it is not due for another %s", in)
	case m.Belt != nil && m.Belt.Seq != nil && *m.Belt.Seq > 0:
		return fmt.Sprintf("it is on the belt (sequence %d of MESSAGES) and waits for a dispatcher", *m.Belt.Seq)
	}
	return "it is due and waits for a dispatcher: if that lasts, see beckon doctor"
}

// closedBy is what the gate said of the hours that it waits for.
func closedBy(m *TracedMessage) string {
	for _, g := range slices.Backward(m.Gates) {
		for _, a := range g.Answers {
			if a.Gate == "hours" && a.Words != "" {
				return ": " + a.Words
			}
		}
	}
	return ""
}

// inWords is what a reason means to a person.
func inWords(reason string) string {
	known := []struct {
		reason message.Reason
		words  string
	}{
		{message.ReasonInvalidNumber, "the recipient is not a phone number"},
		{message.ReasonTemplateError, "its template could not be rendered"},
		{message.ReasonOptedOut, "the person has opted out"},
		{message.ReasonNoConsent, "it is marketing, and the person has not opted in"},
		{message.ReasonNoRoute, "none of its channels can carry it: no sender, no content, or the WhatsApp window is closed"},
		{message.ReasonUSMarketing, "WhatsApp delivers no marketing templates to the United States, and it has no other channel"},
		{message.ReasonBadMedia, "a picture or file is not of a kind or size that its channels take"},
		{message.ReasonQuietHours, "no hour of two weeks is allowed everywhere where the person may be"},
		{message.ReasonFrequencyCap, "as many messages were sent as a cap allows"},
		{message.ReasonRulePaused, "its rule is paused: beckon rules resume lets it go on"},
		{message.ReasonRejected, "Twilio refused it"},
		{message.ReasonRetriesExhausted, "Twilio refused it again and again"},
		{message.ReasonDelivery, "Twilio took it, but it was not delivered"},
		{message.ReasonProvenAbsent, "the earlier try never arrived, and it is sent again"},
		{message.ReasonWindowClosed, "the WhatsApp window for free text was closed, and its template is sent"},
		{message.ReasonFallback, "its first channel did not work, and the next one is tried"},
	}
	at := slices.IndexFunc(known, func(k struct {
		reason message.Reason
		words  string
	},
	) bool {
		return string(k.reason) == reason
	})
	if at < 0 {
		return cmp.Or(reason, "for no stated reason")
	}
	return known[at].words
}
