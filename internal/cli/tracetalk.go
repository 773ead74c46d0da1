package cli

import (
	"fmt"
	"strings"

	"github.com/beckonhq/beckon/internal/view"
)

// comesOf is what a message comes of.
func comesOf(m view.TracedMessage) string {
	switch m.Origin {
	case "reply_rule":
		if m.Rule == "" {
			return "answer to a START"
		}
		return "answer of reply rule " + m.Rule
	case "compliance":
		return "answer to a STOP or HELP"
	case "double_opt_in":
		return "double opt-in"
	case "human":
		return "answer of a human"
	case "console":
		return "written by hand"
	}
	return "rule " + m.Rule
}

// madeFrom is the template and language of a message; what a person typed has neither.
func madeFrom(m view.TracedMessage) string {
	if m.Template == "" {
		return "free text"
	}
	return "template " + m.Template + " in " + dash(m.Language)
}

// traceTalk tells what the reply rules made of a reply, or of a question without an answer.
func traceTalk(b *strings.Builder, what string, t *view.Talk) {
	parts := []string{words(t.Outcome)}
	for _, part := range []struct{ label, value string }{
		{"rule ", t.Rule}, {"no answer: ", words(t.Held)}, {"message ", t.MessageID}, {"webhook ", t.Webhook},
	} {
		if part.value != "" {
			parts = append(parts, part.label+part.value)
		}
	}
	if t.Tries > 0 && t.Webhook != "delivered" {
		parts = append(parts, fmt.Sprintf("tried %s: %s", plural(t.Tries, "time"), dash(oneLine(t.Problem))))
	}
	line(b, t.DecidedAt, "%s: %s", what, strings.Join(parts, ", "))
}

func traceQuestion(b *strings.Builder, q *view.Question) {
	if q == nil {
		return
	}
	asked := ""
	if q.Asked > 1 {
		asked = fmt.Sprintf(" (asked %d times)", q.Asked)
	}
	said := ""
	if q.Answer != "" {
		said = fmt.Sprintf(" with %q", q.Answer)
	}
	line(b, q.ExpiresAt, "end of the time for question %s%s, which is %s%s", q.Name, asked, words(q.State), said)
	if q.TimeOut != nil {
		traceTalk(b, "without an answer it was decided", q.TimeOut)
	}
}
