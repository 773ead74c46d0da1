package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

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
		if one.When != "" { // else it is an item of consent:
			r.printf("  when      %s\n", strings.ReplaceAll(one.When, "\n", "\n            "))
		}
		if word := one.Consent; word != nil {
			r.printf("  consent   %s of %s, program %s, said %s\n", words(string(word.Action)), strings.Join(word.To, ", "),
				cmp.Or(word.Program, "all"), saidAt(word.At))
		}
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
	r.writeContent(explainIndent, m.Content)
	for problem := range strings.Lines(m.Error) {
		r.printf("%s%s\n", explainIndent, strings.TrimSpace(problem))
	}
	r.writeSends(m)
}

func conditions(m *wouldBeMessage) string {
	text := ""
	if m.Delay != "" {
		text += ", after " + m.Delay
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
		r.printf("%swhatsapp  %s, approved template %s%s\n", indent, w.Language, w.ContentSID, placeholders(w.Variables))
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

// saidAt tells when a word was said. An opt-in that was not seen to change counts before every other word.
func saidAt(at time.Time) string {
	if at.Unix() == 0 {
		return "at a time that is not known (it lifts no opt-out; send CreatedDate, or give at)"
	}
	return "at " + at.UTC().Format(time.RFC3339)
}

// placeholders are the values of an approved template, each with a blank before it.
func placeholders(variables map[string]string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(variables)) {
		b.WriteString(" " + key + "=" + strconv.Quote(variables[key]))
	}
	return b.String()
}
