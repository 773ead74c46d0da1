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

// writeTrace tells the way of notifications and messages for a person, in the order of time.
func writeTrace(w io.Writer, t view.Trace) error {
	var b strings.Builder
	for _, n := range t.Notifications {
		traceNotification(&b, n)
		for _, m := range t.Messages {
			if m.NotificationID == n.ID && m.Org == n.Org {
				traceMessage(&b, m)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func traceNotification(b *strings.Builder, n view.Notification) {
	fmt.Fprintf(b, "notification %s  %s %s\n", n.ID, n.Object, dash(n.RecordID))
	line(b, n.ReceivedAt, "received from organisation %s", n.Org)
	if n.Duplicates > 0 {
		note(b, "sent again %s, not decided again", plural(n.Duplicates, "time"))
	}
	line(b, n.DecidedAt, "decided: %s, by rule set %s", strings.ReplaceAll(n.Outcome, "_", " "), n.RuleSet)
	var decision struct {
		Results []struct {
			Rule, Verdict, Error string
		} `json:"results"`
		Deleted bool `json:"deleted"`
	}
	if json.Unmarshal(n.Decision, &decision) == nil {
		for _, result := range decision.Results {
			why := strings.ReplaceAll(result.Verdict, "_", " ")
			if result.Error != "" {
				why += ": " + result.Error
			}
			note(b, "rule %s: %s", result.Rule, why)
		}
		if decision.Deleted {
			note(b, "the record was deleted before Salesforce sent it, no rule was asked")
		}
	}
	for _, rule := range n.OnceSkipped {
		note(b, "rule %s: no message, its `once` had been used", rule)
	}
}

func traceMessage(b *strings.Builder, m view.TracedMessage) {
	fmt.Fprintf(b, "  message %s  rule %s, %s, to %s\n", m.ID, m.Rule, m.Purpose, m.To)
	by := ""
	if m.Sender != message.DefaultSender {
		by = ", by sender " + m.Sender
	}
	line(b, m.CreatedAt, "made from template %s in %s, for %s%s", m.Template, dash(m.Language), strings.Join(m.Channels, ", then "), by)
	if m.NotBefore.Sub(m.CreatedAt) > time.Second {
		line(b, m.NotBefore, "not to be sent before this time")
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
	}
	line(b, m.UpdatedAt, "state %s%s", m.State, facts("", m.ErrorCode, strings.TrimSpace(m.Reason+" "+m.Detail)))
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
