package rule

import (
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/beckonhq/beckon/internal/message"
)

// defaults fills in the purpose and reads quiet_hours, whose default depends on it.
func (p *ruleParser) defaults(r *Rule, quietHours *yaml.Node) {
	if r.Purpose == "" {
		r.Purpose = message.Transactional
	}
	r.QuietHours = QuietHours(p.text(quietHours, "quiet_hours"))
	known := p.loader.opts.Windows
	switch {
	case quietHours == nil && r.Purpose == message.Marketing:
		r.QuietHours = QuietHoursRespect
	case quietHours == nil:
		r.QuietHours = QuietHoursIgnore
	case r.QuietHours == "": // a mistake that text has told
	case r.QuietHours == QuietHoursIgnore && r.Purpose == message.Marketing:
		p.loader.warnings.add(p.name, at(quietHours), "marketing always respects quiet hours, so that ignore changes nothing")
		r.QuietHours = QuietHoursRespect
	case r.QuietHours == QuietHoursIgnore || r.QuietHours == QuietHoursRespect:
	case !kebab().MatchString(string(r.QuietHours)):
		p.errorf(quietHours, "quiet_hours is %q, want respect, ignore, or the name of a window of the table, which says its hours%s", string(r.QuietHours),
			didYouMean(string(r.QuietHours), []string{string(QuietHoursIgnore), string(QuietHoursRespect)}))
	case known != nil && !slices.Contains(known, string(r.QuietHours)):
		words := append(slices.Clone(known), string(QuietHoursIgnore), string(QuietHoursRespect))
		p.errorf(quietHours, "quiet_hours names the window %q, which is in no table%s", r.QuietHours, didYouMean(string(r.QuietHours), words))
	}
}

// place compiles what a rule says of where its recipients are.
func (p *ruleParser) place(r *Rule, node *yaml.Node, s *schema) {
	if node == nil {
		return
	}
	keys := p.fields(node, "place", []string{"time_zone", "country", "state", "postal_code"})
	for name, text := range r.Place.parts() {
		if value := keys[name]; value != nil {
			e := p.compile(value, "place."+name, wantText, s)
			r.place = append(r.place, variable{name: name, expr: e})
			*text = e.text()
		}
	}
	if node.Kind == yaml.MappingNode && len(keys) == 0 {
		p.errorf(node, "place is empty: it takes time_zone, country, state and postal_code")
	}
	if r.QuietHours == QuietHoursIgnore {
		p.loader.warnings.add(p.name, at(node), "place does nothing, since the rule ignores quiet hours")
	}
}

// parts gives the parts of a place by the names of their keys.
func (l *Place) parts() func(func(string, *string) bool) {
	return func(yield func(string, *string) bool) {
		_ = yield("time_zone", &l.TimeZone) && yield("country", &l.Country) && yield("state", &l.State) &&
			yield("postal_code", &l.PostalCode)
	}
}

// where evaluates the place of a draft.
func (r *Rule) where(f *facts) (place Place, err error) {
	for name, text := range place.parts() {
		for _, v := range r.place {
			if v.name != name {
				continue
			}
			if *text, err = v.expr.evalText(f); err != nil {
				return place, err
			}
		}
	}
	return place, nil
}
