package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/view"
)

const traceTime = "2006-01-02 15:04:05.000"

// mostNotifications are shown of a record, the newest ones, so that a trace stays on one screen.
const mostNotifications = 4

// writeTrace tells the way of notifications and messages for a person, in the order of time.
func writeTrace(w io.Writer, t view.Trace) error {
	var b strings.Builder
	shown := t.Notifications
	if left := len(shown) - mostNotifications; left > 0 {
		shown = shown[left:]
		fmt.Fprintf(&b, "%s left out: --json has all\n", plural(left, "older notification"))
	}
	for _, n := range shown {
		traceNotification(&b, n)
		for _, l := range t.DeadLetters {
			if l.NotificationID == n.ID || l.NotificationID == "" && l.Seq == uint64(n.StreamSeq) {
				line(&b, l.StoredAt, "dead letter %d: %s", l.ID, oneLine(l.Reason))
			}
		}
		for _, m := range t.Messages {
			if m.NotificationID == n.ID && m.Org == n.Org {
				traceMessage(&b, m)
			}
		}
	}
	for _, m := range t.Messages {
		if m.NotificationID == "" {
			traceMessage(&b, m)
		}
	}
	for _, e := range t.Audit {
		if !strings.HasSuffix(e.Action, ".result") {
			line(&b, e.At, "%s: %s", oneLine(e.Operator), e.Action)
		}
	}
	if t.Why != "" {
		fmt.Fprintf(&b, "Why: %s\n", oneLine(t.Why))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func traceNotification(b *strings.Builder, n view.Notification) {
	fmt.Fprintf(b, "notification %s  %s %s\n", n.ID, n.Object, dash(n.RecordID))
	line(b, n.ReceivedAt, "received from organisation %s, envelope %d", n.Org, n.StreamSeq)
	if n.Duplicates > 0 {
		note(b, "sent again %s, not decided again", plural(n.Duplicates, "time"))
	}
	line(b, n.DecidedAt, "decided: %s, by rule set %s", words(n.Outcome), n.RuleSet)
	traceDecision(b, n.Decision, n.OnceSkipped)
	stands := 0
	for _, r := range n.Replays {
		if r.Result != "decided_again" {
			stands++
			continue
		}
		line(b, r.DecidedAt, "decided again: %s, by rule set %s (%s, replay %s): %d made, %d held back", words(r.Outcome), r.RuleSet, r.Mode,
			r.ID, r.Made, r.Held)
		traceDecision(b, r.Decision, r.OnceSkipped)
	}
	if stands > 0 {
		note(b, "replayed %s, the decision stands", plural(stands, "time"))
	}
}

// traceDecision tells what the rules said. Rules that just did not match are counted when there are many.
func traceDecision(b *strings.Builder, raw json.RawMessage, onceSkipped []string) {
	var decision struct {
		Results []struct {
			Rule, Verdict, Error string
		} `json:"results"`
		Deleted bool `json:"deleted"`
	}
	const many = 4
	if json.Unmarshal(raw, &decision) == nil {
		unmatched := 0
		for _, result := range decision.Results {
			if result.Verdict == "not_matched" && len(decision.Results) > many {
				unmatched++
				continue
			}
			why := words(result.Verdict)
			if result.Error != "" {
				why += ": " + result.Error
			}
			note(b, "rule %s: %s", result.Rule, why)
		}
		if unmatched > 0 {
			note(b, "%s: not matched", plural(unmatched, "other rule"))
		}
		if decision.Deleted {
			note(b, "the record was deleted before Salesforce sent it, no rule was asked")
		}
	}
	for _, rule := range onceSkipped {
		note(b, "rule %s: no message, its `once` had been used", rule)
	}
}

func traceMessage(b *strings.Builder, m view.TracedMessage) {
	fmt.Fprintf(b, "  message %s  %s, %s, to %s\n", m.ID, comesOf(m), m.Purpose, m.To)
	by := ""
	if m.Sender != message.DefaultSender {
		by = ", by sender " + m.Sender
	}
	line(b, m.CreatedAt, "made from %s, for %s%s", madeFrom(m), strings.Join(m.Channels, ", then "), by)
	if m.NotBefore.Sub(m.CreatedAt) > time.Second {
		line(b, m.NotBefore, "not to be sent before this time")
	}
	if m.ForcedBy != "" {
		note(b, "forced by replay %s", m.ForcedBy)
	}
	for _, g := range m.Gates {
		parts := make([]string, len(g.Answers))
		for i, a := range g.Answers {
			parts[i] = fmt.Sprintf("%s %s: %s", a.Channel, a.Gate, words(a.Answer))
			if a.Words != "" {
				parts[i] += " (" + a.Words + ")"
			}
		}
		line(b, g.At, "gates: %s", strings.Join(parts, "; "))
	}
	for _, a := range m.AttemptList {
		line(b, a.StartedAt, "attempt %d on %s: %s%s", a.Number, a.Channel, a.State, facts(a.SID, a.ErrorCode, a.Detail))
		for _, e := range m.Events {
			if e.SID == a.SID {
				line(b, e.ReceivedAt, "Twilio reports %s%s", e.Status, facts("", e.ErrorCode, ""))
			}
		}
	}
	for _, reply := range m.Replies {
		line(b, reply.ReceivedAt, "reply on %s: %q%s", reply.Channel, reply.Body, facts("", 0, reply.Keyword))
		if reply.Decided != nil {
			traceTalk(b, "the reply rules decided", reply.Decided)
		}
	}
	traceQuestion(b, m.Question)
	if m.Belt != nil {
		line(b, m.Belt.DueAt, "%s", place(m.Belt))
	}
	line(b, m.UpdatedAt, "state %s%s", m.State, facts("", m.ErrorCode, strings.TrimSpace(m.Reason+" "+m.Detail)))
}

// place is where on the belt a queued message is.
func place(at *view.Belt) string {
	switch {
	case at.Seq == nil:
		return "on the belt, or about to be; looked after from this time on"
	case *at.Seq == 0:
		return "waits in the ledger until this time"
	}
	return fmt.Sprintf("on the belt, sequence %d of MESSAGES; looked after from this time on", *at.Seq)
}

func facts(sid string, code int, detail string) string {
	var parts []string
	if sid != "" {
		parts = append(parts, sid)
	}
	if code != 0 {
		parts = append(parts, fmt.Sprintf("error %d", code))
	}
	if detail != "" {
		parts = append(parts, detail)
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func line(b *strings.Builder, at time.Time, format string, args ...any) {
	fmt.Fprintf(b, "  %s  %s\n", at.Local().Format(traceTime), fmt.Sprintf(format, args...))
}

func note(b *strings.Builder, format string, args ...any) {
	fmt.Fprintf(b, "  %s  %s\n", strings.Repeat(" ", len(traceTime)), fmt.Sprintf(format, args...))
}
