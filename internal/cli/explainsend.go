package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/quiet"
	"github.com/beckonhq/beckon/router/rule"
)

// sendView is what the dispatcher would look at before it sends a message, as far as no ledger is needed to tell.
type sendView struct {
	Consent string     `json:"consent"`         // what it needs
	Hours   *hoursView `json:"hours,omitempty"` // absent: it may go at any time, or its address is no number
	Caps    []capView  `json:"caps,omitempty"`  // that hold for it
	Notes   []string   `json:"notes,omitempty"`
}

// capView is a cap that holds for a message.
type capView struct {
	Name   string `json:"name"`
	Scope  string `json:"scope"`
	Bound  string `json:"bound"`
	Exceed string `json:"exceed"` // defer or suppress
}

// sends tells under which conditions a message of a draft would be sent, asked at a moment; its delay counts from there.
func sends(p *policy, draft *rule.Draft, to address.Address, at time.Time) (*sendView, error) {
	marketing := draft.Purpose == message.Marketing
	v := &sendView{Consent: needs(draft, p.cfg.Consent.DoubleOptIn == "on")}
	caps := p.rules.CapsOf(draft)
	hints := hintsOf(draft)
	at = at.Add(draft.Delay)
	if marketing || draft.QuietHours != rule.QuietHoursIgnore {
		var err error
		if v.Hours, err = newHoursView(p.law, to, at, hoursFlags{hints: hints, window: string(draft.QuietHours), marketing: marketing}); err != nil {
			return nil, err
		}
	}
	if marketing {
		caps = append(caps, p.law.LimitsOf(at, p.law.Locate(to, hints), draft.Program)...)
		if country := to.Country(); country == "" || country == "US" {
			for _, channel := range draft.Channels {
				if channel == message.WhatsApp {
					v.Notes = append(v.Notes, "whatsapp: not as a template, since Meta delivers no marketing to the United States")
				}
			}
		}
	}
	v.Caps = viewCaps(caps)
	return v, nil
}

// opens is the first moment at which a message of a draft may go, by its delay and the hours where its recipient is.
func (p *policy) opens(draft *rule.Draft, to string, made time.Time) (time.Time, error) {
	number, err := address.Parse(to, p.cfg.DefaultRegion)
	if err != nil {
		return time.Time{}, err
	}
	at, marketing := made.Add(draft.Delay), draft.Purpose == message.Marketing
	if !marketing && draft.QuietHours == rule.QuietHoursIgnore {
		return at, nil
	}
	answer, err := p.law.May(at, p.law.Locate(number, hintsOf(draft)), quiet.Wish(draft.QuietHours), marketing)
	return answer.Opens, err
}

func hintsOf(draft *rule.Draft) quiet.Hints {
	place := draft.Place
	return quiet.Hints{Zone: place.TimeZone, Country: place.Country, State: place.State, PostalCode: place.PostalCode}
}

func viewCaps(caps []message.Cap) (views []capView) {
	for _, one := range caps {
		exceed := "defer"
		if one.Suppress {
			exceed = "suppress"
		}
		views = append(views, capView{one.Name, string(one.Scope), one.Bound(), exceed})
	}
	return views
}

// capLines tells of caps for a person.
func capLines(caps []capView) (lines []string) {
	for _, one := range caps {
		then := "deferred beyond it"
		if one.Exceed == "suppress" {
			then = "suppressed beyond it"
		}
		lines = append(lines, fmt.Sprintf("%s: %s, counted by %s, %s", one.Name, one.Bound, one.Scope, then))
	}
	return lines
}

// needs is the consent that a draft needs, for people.
func needs(draft *rule.Draft, double bool) string {
	switch {
	case draft.Purpose != message.Marketing:
		return "no opt-out from program " + draft.Program
	case double:
		return "an opt-in to program " + draft.Program + " that was confirmed, and no opt-out since"
	}
	return "an opt-in to program " + draft.Program + ", and no opt-out since"
}

const explainIndent = "            "

func (r *root) writeSends(m *wouldBeMessage) {
	v := m.Sends
	if v == nil {
		return
	}
	label := func(label, text string) { r.printf("%s%-9s %s\n", explainIndent, label, text) }
	label("consent", v.Consent)
	r.writeHoursOf(v.Hours, label)
	for i, line := range capLines(v.Caps) {
		label([]string{"caps", ""}[min(i, 1)], line)
	}
	label("expires", m.Expires+" after it may go first")
	for _, note := range v.Notes {
		label("note", note)
	}
}

// writeHoursOf tells where a person is, which hours hold there, and whether they are open.
func (r *root) writeHoursOf(v *hoursView, label func(label, text string)) {
	if v == nil {
		label("hours", "any: the rule ignores quiet hours")
		return
	}
	label("place", v.place()+", "+strings.Join(v.Zones, ", "))
	for i, row := range v.Rows {
		label([]string{"hours", ""}[min(i, 1)], row.String())
	}
	at := v.At.Format(time.RFC3339)
	switch {
	case v.Opens == nil:
		label("closed", "at "+at+", so that it is suppressed: "+v.Why)
	case !v.Open:
		label("closed", "at "+at+" by "+v.Why+", opens "+v.Opens.Format(time.RFC3339))
	case v.Until == nil:
		label("open", "always")
	default:
		label("open", "at "+at+", until "+v.Until.Format(time.RFC3339))
	}
}
