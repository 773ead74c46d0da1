package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/beckonhq/beckon/internal/message"
)

// writeExplanation tells a decision for a person.
func (r *root) writeExplanation(p *policy, e *explanation) {
	r.printf("notification %s: %s %s\n", e.Notification, e.Object, dash(e.Record))
	r.printf("outcome: %s, by rule set %s\n", words(string(e.Decision.Outcome)), e.Decision.RuleSet)
	switch {
	case e.Decision.Deleted:
		r.printf("the record was deleted before Salesforce sent it, no rule is asked\n")
	case len(e.Rules) == 0:
		r.printf("no rule in %s is about %s\n", p.rulesDir, dash(e.Object))
	case !e.Decision.PreviousSeen:
		r.printf("the record is seen for the first time (no --previous)\n")
	}
	for _, one := range e.Rules {
		r.printf("\nrule %s: %s\n", one.Rule, words(string(one.Verdict)))
		if one.Error != "" {
			r.printf("  error     %s\n", one.Error)
		}
		r.printf("  when      %s\n", strings.ReplaceAll(one.When, "\n", "\n            "))
		r.writeFields("record", one.Fields)
		r.writeFields("previous", one.Previous)
		for i := range e.Messages {
			if e.Messages[i].Rule == one.Rule {
				r.writeWouldBe(&e.Messages[i])
			}
		}
	}
}

func words(text string) string { return strings.ReplaceAll(text, "_", " ") }

func (r *root) writeFields(label string, fields map[string]*string) {
	for i, name := range slices.Sorted(maps.Keys(fields)) {
		if i > 0 {
			label = ""
		}
		value := "null"
		if fields[name] != nil {
			value = strconv.Quote(*fields[name])
		}
		r.printf("  %-9s %s = %s\n", label, name, value)
	}
}

func (r *root) writeWouldBe(m *wouldBeMessage) {
	channels := make([]string, len(m.Channels))
	for i, c := range m.Channels {
		channels[i] = string(c)
	}
	r.printf("  message   to %s by %s, template %s in %s, %s%s\n", m.To, strings.Join(channels, ", then "), m.Template,
		dash(m.Language), m.Purpose, conditions(m))
	if !m.Valid {
		r.printf("            not a valid phone number: the message would fail\n")
	}
	r.writeContent("            ", m.Content)
	for problem := range strings.Lines(m.Error) {
		r.printf("            %s\n", strings.TrimSpace(problem))
	}
}

func conditions(m *wouldBeMessage) string {
	text := ""
	if m.Delay != "" {
		text += ", after " + m.Delay
	}
	if m.Expires != message.DefaultValidity.String() {
		text += ", within " + m.Expires
	}
	if m.Once != "" {
		text += fmt.Sprintf(", once for this %s", m.Once)
	}
	return text
}

// writeContent shows the forms of a message.
func (r *root) writeContent(indent string, c message.Content) {
	if s := c.SMS; s != nil {
		r.printf("%ssms       %s, %s, %s: %s\n", indent, s.Language, s.Encoding, plural(s.Segments, "segment"), s.Text)
		r.writeMedia(indent, s.Media)
	}
	w := c.WhatsApp
	if w == nil {
		return
	}
	if w.ContentSID != "" {
		variables := make([]string, 0, len(w.Variables))
		for _, key := range slices.Sorted(maps.Keys(w.Variables)) {
			variables = append(variables, key+"="+strconv.Quote(w.Variables[key]))
		}
		r.printf("%swhatsapp  %s, approved template %s %s\n", indent, w.Language, w.ContentSID, strings.Join(variables, " "))
	}
	if w.Text != "" {
		r.printf("%swhatsapp  %s, free text within 24 hours of a reply: %s\n", indent, w.Language, w.Text)
		r.writeMedia(indent, w.Media)
	}
}

func (r *root) writeMedia(indent string, urls []string) {
	for _, link := range urls {
		r.printf("%s          with %s\n", indent, link)
	}
}
