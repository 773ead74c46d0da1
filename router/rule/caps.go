package rule

import (
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/beckonhq/beckon/internal/message"
)

// The shortest window of a cap, and the largest bound: more is a slip of the keyboard.
const (
	minWindow = time.Second
	maxBound  = 1_000_000_000
)

// Caps gives all caps, by file name and then in the order of the file.
func (s *Set) Caps() []message.Cap {
	if s == nil {
		return nil
	}
	return slices.Clone(s.caps)
}

// CapsOf gives the caps that hold for a draft.
func (s *Set) CapsOf(d *Draft) []message.Cap {
	return s.capsOf(&message.Message{Rule: d.Rule, Purpose: d.Purpose, Program: d.Program, Sender: d.Sender})
}

// CapsOfAnswer gives the caps that hold for the answer of a reply rule by a sender: the budgets. Those of a person hold back what
// nobody asked for, and this person has just written.
func (s *Set) CapsOfAnswer(rule, sender string) []message.Cap {
	caps := s.capsOf(&message.Message{Rule: rule, Purpose: message.Transactional, Program: message.DefaultProgram, Sender: sender})
	return slices.DeleteFunc(caps, func(c message.Cap) bool { return c.Scope == message.PerPerson })
}

func (s *Set) capsOf(m *message.Message) []message.Cap {
	if s == nil {
		return nil
	}
	var caps []message.Cap
	for _, c := range s.caps {
		if c.About(m) {
			caps = append(caps, c)
		}
	}
	return caps
}

// cap reads one item of the list `caps`.
func (p *ruleParser) cap(node *yaml.Node) {
	keys := p.fields(node, "a cap", []string{"name", "scope", "rule", "purpose", "program", "sender", "messages", "segments", "per", "exceed"})
	if node.Kind != yaml.MappingNode {
		return
	}
	for _, key := range []string{"name", "scope", "per"} {
		if keys[key] == nil {
			p.errorf(node, "the cap has no %q, which every cap needs", key)
		}
	}
	if keys["messages"] == nil && keys["segments"] == nil {
		p.errorf(node, "the cap bounds nothing: it needs messages, segments, or both")
	}
	c := message.Cap{
		Name: p.text(keys["name"], "name"),
		Scope: message.Scope(p.oneOf(keys["scope"], "scope", string(message.PerPerson), string(message.PerPurpose), string(message.PerRule),
			string(message.PerSender), string(message.PerAll))),
		Rule:     p.text(keys["rule"], "rule"),
		Purpose:  message.Purpose(p.oneOf(keys["purpose"], "purpose", string(message.Transactional), string(message.Marketing))),
		Messages: p.bound(keys["messages"], "messages"), Segments: p.bound(keys["segments"], "segments"),
		Per:      p.span(keys["per"], "per", minWindow),
		Suppress: p.oneOf(keys["exceed"], "exceed", "defer", "suppress") == "suppress",
	}
	if n := keys["program"]; n != nil {
		c.Program = p.program(n)
	}
	if keys["sender"] != nil {
		c.Sender = p.sender(keys["sender"])
	}
	if c.Name != "" && !kebab().MatchString(c.Name) {
		p.errorf(keys["name"], "cap name %q must be kebab-case: small letters, digits and single hyphens", c.Name)
	}
	if slices.ContainsFunc(p.loader.caps, func(other placedCap) bool { return other.Name == c.Name }) {
		p.errorf(keys["name"], "cap name %q is used already", c.Name)
	}
	p.loader.caps = append(p.loader.caps, placedCap{c, p.name, keys["rule"]})
}

func (p *ruleParser) bound(node *yaml.Node, what string) int {
	if node == nil {
		return 0
	}
	n, err := strconv.Atoi(node.Value)
	if node.Kind != yaml.ScalarNode || err != nil || n < 1 || n > maxBound {
		p.errorf(node, "%s must be a whole number from 1 on", what)
		return 0
	}
	return n
}

// placedCap is a cap with the place of its rule's name, which can be checked when all rules are read.
type placedCap struct {
	message.Cap

	file string
	rule *yaml.Node
}

// takeCaps puts the caps into the set.
func (l *loader) takeCaps(set *Set) {
	var names []string
	for _, r := range set.rules {
		names = append(names, r.Name)
	}
	for _, r := range set.replies {
		names = append(names, r.Name)
	}
	for _, c := range l.caps {
		if c.Rule != "" && !slices.Contains(names, c.Rule) {
			l.problems.add(c.file, at(c.rule), "cap %q is about rule %q, which does not exist%s", c.Name, c.Rule, didYouMean(c.Rule, names))
		}
		set.caps = append(set.caps, c.Cap)
	}
}
