package rule

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
)

// maxDelay keeps a mistyped delay from hiding a message for years.
const maxDelay = 366 * 24 * time.Hour

// ruleParser turns the YAML nodes of one file into rules.
type ruleParser struct {
	reader
	compiler *compiler
	loader   *loader
}

func ruleKeys() []string {
	return []string{
		"name", "description", "object", "when", "to", "contact", "channels", "template", "purpose", "language",
		"vars", "once", "delay", "expires_after", "quiet_hours", "place", "breaker", "opt_out_breaker", "sender", "program",
	}
}

func requiredKeys() []string { return []string{"name", "object", "when", "to", "channels", "template"} }

func (p *ruleParser) rule(node *yaml.Node) *Rule {
	keys := p.fields(node, "a rule", ruleKeys())
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for _, key := range requiredKeys() {
		if keys[key] == nil {
			p.errorf(node, "the rule has no %q, which every rule needs", key)
		}
	}
	r := &Rule{
		Name:        p.ruleName(keys["name"]),
		Description: p.description(keys["description"]),
		Object:      p.objectName(keys["object"]),
		Channels:    p.channels(keys["channels"]),
		Template:    p.text(keys["template"], "template"),
		Sender:      p.sender(keys["sender"]),
		Program:     p.program(keys["program"]),
		Purpose: message.Purpose(p.oneOf(keys["purpose"], "purpose",
			string(message.Transactional), string(message.Marketing))),
		Once:  Once(p.oneOf(keys["once"], "once", string(OncePerRecord), string(OncePerPerson))),
		Delay: p.duration(keys["delay"], "delay"),
		File:  p.name,
		Line:  node.Line,
	}
	p.validity(r, keys["expires_after"])
	r.Breaker, r.OptOutBreaker = p.breaker(keys["breaker"]), p.optOutBreaker(keys["opt_out_breaker"])
	p.defaults(r, keys["quiet_hours"])
	p.expressions(r, keys)
	p.checkTemplate(r, keys["template"], keys["channels"])
	return r
}

// minValidity is the shortest expires_after: less leaves no time for a try and the look-up of its outcome.
const minValidity = time.Minute

func (p *ruleParser) validity(r *Rule, node *yaml.Node) {
	r.ExpiresAfter = cmp.Or(p.duration(node, "expires_after"), message.DefaultValidity)
	if node != nil && (r.ExpiresAfter < minValidity || node.Value == "0" || node.Value == "0s") {
		p.errorf(node, "expires_after %q is shorter than %s: nothing could be sent in that time", node.Value, minValidity)
	}
}

// expressions compiles the CEL of a rule and notes which fields it reads.
func (p *ruleParser) expressions(r *Rule, keys map[string]*yaml.Node) {
	var s *schema
	if r.Object != "" {
		s = p.loader.schemas[strings.ToLower(r.Object)]
	}
	compile := func(node *yaml.Node, key string, want result) *expression {
		return p.compile(node, key, want, s)
	}
	r.when = compile(keys["when"], "when", wantBool)
	r.to = compile(keys["to"], "to", wantTexts)
	r.contact = compile(keys["contact"], "contact", wantText)
	r.language = compile(keys["language"], "language", wantText)
	r.When, r.To, r.Contact, r.Language = r.when.text(), r.to.text(), r.contact.text(), r.language.text()
	if vars := keys["vars"]; vars != nil {
		r.Vars = map[string]string{}
		p.each(vars, "vars", func(key, value *yaml.Node) {
			if !identifier().MatchString(key.Value) {
				p.errorf(key, "variable %q: a name has letters, digits and _, and begins with a letter", key.Value)
			}
			e := compile(value, "vars."+key.Value, wantScalar)
			r.vars = append(r.vars, variable{name: key.Value, expr: e})
			r.Vars[key.Value] = e.text()
		})
	}
	p.place(r, keys["place"], s)
	for _, e := range append(r.variables(), r.when, r.to, r.contact, r.language) {
		if e != nil {
			r.RecordFields = append(r.RecordFields, e.recordFields...)
			r.PreviousFields = append(r.PreviousFields, e.previousFields...)
		}
	}
	slices.Sort(r.RecordFields)
	slices.Sort(r.PreviousFields)
	r.RecordFields, r.PreviousFields = slices.Compact(r.RecordFields), slices.Compact(r.PreviousFields)
}

func (r *Rule) variables() []*expression {
	all := slices.Concat(r.vars, r.place)
	list := make([]*expression, len(all))
	for i, v := range all {
		list[i] = v.expr
	}
	return list
}

func kebab() *regexp.Regexp      { return regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`) }
func identifier() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`) }

func (p *ruleParser) ruleName(node *yaml.Node) string {
	name := p.text(node, "name")
	if name == "" {
		return ""
	}
	if !kebab().MatchString(name) {
		p.errorf(node, "rule name %q must be kebab-case: small letters, digits and single hyphens", name)
	}
	if first, used := p.loader.seen[name]; used {
		p.errorf(node, "rule name %q is used already at %s:%d", name, first.File, first.Line)
		return name
	}
	if p.loader.seen == nil {
		p.loader.seen = map[string]Problem{}
	}
	p.loader.seen[name] = Problem{File: p.name, Line: node.Line}
	return name
}

func (p *ruleParser) description(node *yaml.Node) string {
	if node == nil || isNull(node) {
		return ""
	}
	return strings.TrimSpace(p.scalar(node, "description"))
}

func (p *ruleParser) objectName(node *yaml.Node) string {
	name := p.text(node, "object")
	if name != "" && !identifier().MatchString(name) {
		p.errorf(node, "object %q is not an sObject API name such as Opportunity or npsp__Gift__c", name)
	}
	return name
}

func (p *ruleParser) channels(node *yaml.Node) []message.Channel {
	if node == nil {
		return nil
	}
	var channels []message.Channel
	items := p.items(node, "channels")
	for _, item := range items {
		channel := message.Channel(p.oneOf(item, "channel", string(message.SMS), string(message.WhatsApp)))
		switch {
		case channel == "":
		case slices.Contains(channels, channel):
			p.errorf(item, "channel %q stands twice", channel)
		default:
			channels = append(channels, channel)
		}
	}
	if node.Kind == yaml.SequenceNode && len(items) == 0 {
		p.errorf(node, "channels is empty: a message needs at least one channel")
	}
	return channels
}

// sender is the name of who a rule's messages go out by.
func (p *ruleParser) sender(node *yaml.Node) string {
	name := p.text(node, "sender")
	known := p.loader.opts.Senders
	switch {
	case name == "" || name == message.DefaultSender:
		return message.DefaultSender
	case !kebab().MatchString(name):
		p.errorf(node, "sender %q must be a name in kebab-case", name)
	case known != nil && !slices.Contains(known, name):
		p.errorf(node, "sender %q is not configured%s", name, didYouMean(name, append(slices.Clone(known), message.DefaultSender)))
	}
	return name
}

// program is the name of what a rule's messages belong to, and consent is asked for: newsletter, or acme/newsletter for one of the
// brand acme.
func (p *ruleParser) program(node *yaml.Node) string {
	name := p.text(node, "program")
	if name == "" {
		return message.DefaultProgram
	}
	if !consent.IsProgram(name) {
		p.errorf(node, "program %q must be a name in kebab-case, or brand/name", name)
	}
	return name
}

func (p *ruleParser) duration(node *yaml.Node, what string) time.Duration {
	if node == nil {
		return 0
	}
	if node.Kind != yaml.ScalarNode {
		p.errorf(node, "%s must be a duration such as 10m or 2h30m, not %s", what, kindOf(node))
		return 0
	}
	d, err := time.ParseDuration(node.Value)
	switch {
	case err != nil:
		p.errorf(node, "%s %q is not a duration such as 30s, 10m or 2h30m", what, node.Value)
	case d < 0:
		p.errorf(node, "%s %q is negative", what, node.Value)
	case d > maxDelay:
		p.errorf(node, "%s %q is longer than a year (8784h)", what, node.Value)
	default:
		return d
	}
	return 0
}

// span is a duration that has a shortest one.
func (p *ruleParser) span(node *yaml.Node, what string, shortest time.Duration) time.Duration {
	before := len(p.problems.list)
	d := p.duration(node, what)
	if node != nil && d < shortest && len(p.problems.list) == before { // else it is none, which is told already
		p.errorf(node, "%s %q is shorter than %s", what, node.Value, shortest)
	}
	return d
}

// checkTemplate compares a rule with the templates that it will be rendered by.
func (p *ruleParser) checkTemplate(r *Rule, template, channels *yaml.Node) {
	known := p.loader.opts.Templates
	if known == nil || r.Template == "" || template == nil {
		return
	}
	if !known.Has(r.Template) {
		p.errorf(template, "template %q does not exist", r.Template)
		return
	}
	if withVariables, ok := known.(TemplateVariables); ok {
		for _, name := range withVariables.Variables(r.Template) {
			if _, given := r.Vars[name]; !given {
				p.loader.warnings.add(p.name, at(template), "template %q needs variable %q, which the rule does not give%s",
					r.Template, name, didYouMean(name, slices.Sorted(maps.Keys(r.Vars))))
			}
		}
	}
	if withChannels, ok := known.(TemplateChannels); ok && len(r.Channels) > 0 {
		p.checkChannels(r, channels, withChannels.Channels(r.Template))
	}
}

func (p *ruleParser) checkChannels(r *Rule, node *yaml.Node, has []message.Channel) {
	var missing []string
	for _, c := range r.Channels {
		if !slices.Contains(has, c) {
			missing = append(missing, string(c))
		}
	}
	switch len(missing) {
	case 0:
	case len(r.Channels):
		p.errorf(node, "template %q has content for none of the channels of this rule", r.Template)
	default:
		p.loader.warnings.add(p.name, at(node), "template %q has no content for channel %s, which is never used",
			r.Template, strings.Join(missing, ", "))
	}
}
