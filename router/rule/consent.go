package rule

import (
	"errors"
	"slices"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
)

// Mapping is an item of a file's `consent:`: which fields of a record say what a person agreed to.
type Mapping struct {
	Name     string
	Object   string
	Channels []message.Channel // none: all
	Program  string            // empty: everything
	File     string
	Line     int

	address, at, evidence         *expression
	disclosure, sourceURL, ip     *expression
	language                      *expression // to ask for the confirmation of an opt-in in
	optOut, optIn, again, confirm *expression
}

// Word is what a record says about consent. To holds the texts as the record has them, trimmed, each once.
type Word struct {
	Mapping  string            `json:"mapping"`
	Action   consent.Action    `json:"action"`
	To       []string          `json:"to"`
	Channels []message.Channel `json:"channels,omitempty"`
	Program  string            `json:"program,omitempty"`
	At       time.Time         `json:"at"` // when it was said; never after the notification came
	Evidence string            `json:"evidence,omitempty"`
	Proof    consent.Proof     `json:"proof,omitzero"`
	Language string            `json:"language,omitempty"` // to ask the person in, with double opt-in
}

func mappingKeys() []string {
	return []string{
		"name", "description", "object", "address", "channels", "program", "opt_out", "opt_in", "opt_in_again", "confirm", "at", "evidence",
		"disclosure", "source_url", "ip", "language",
	}
}

// mapping reads an item of `consent:`.
func (p *ruleParser) mapping(node *yaml.Node) *Mapping {
	keys := p.fields(node, "an item of consent", mappingKeys())
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for _, key := range []string{"name", "object", "address"} {
		if keys[key] == nil {
			p.errorf(node, "the item of consent has no %q, which each needs", key)
		}
	}
	p.description(keys["description"])
	m := &Mapping{
		Name: p.ruleName(keys["name"]), Object: p.objectName(keys["object"]), Channels: p.channels(keys["channels"]),
		File: p.name, Line: node.Line,
	}
	if keys["program"] != nil {
		m.Program = p.program(keys["program"])
	}
	s := p.loader.schemaOf(m.Object)
	m.address = p.compile(keys["address"], "address", wantTexts, s)
	m.at, m.evidence = p.compile(keys["at"], "at", wantScalar, s), p.compile(keys["evidence"], "evidence", wantText, s)
	m.disclosure, m.sourceURL = p.compile(keys["disclosure"], "disclosure", wantText, s), p.compile(keys["source_url"], "source_url", wantText, s)
	m.ip, m.language = p.compile(keys["ip"], "ip", wantText, s), p.compile(keys["language"], "language", wantText, s)
	m.optOut, m.optIn = p.compile(keys["opt_out"], "opt_out", wantBool, s), p.compile(keys["opt_in"], "opt_in", wantBool, s)
	m.again, m.confirm = p.compile(keys["opt_in_again"], "opt_in_again", wantBool, s), p.compile(keys["confirm"], "confirm", wantBool, s)
	says := false
	for _, w := range m.words() {
		says = says || w.when != nil
		if w.when != nil && m.at == nil && len(w.when.previousFields) == 0 {
			p.loader.warnings.add(p.name, at(keys[w.when.key]), "%s is true each time that the record is sent, so that an old opt-out "+
				"looks new, and an opt-in never does: ask changed(...) too, or say with `at` when it was said", w.when.key)
		}
	}
	if !says {
		p.errorf(node, "the item of consent says nothing: it needs opt_out, opt_in, opt_in_again or confirm")
	}
	return m
}

type mappedWord struct {
	action consent.Action
	when   *expression
}

func (m *Mapping) words() []mappedWord {
	return []mappedWord{{consent.OptOut, m.optOut}, {consent.OptIn, m.optIn}, {consent.ReOptIn, m.again}, {consent.Confirm, m.confirm}}
}

// errBoth says that a record contradicts itself.
var errBoth = errors.New("two of opt_in, opt_in_again and confirm are true at once")

// decide asks one mapping. A panic below is an error of this mapping alone.
func (m *Mapping) decide(f *facts) (result Result) {
	result = Result{Rule: m.Name, Verdict: VerdictNotMatched}
	defer func() {
		if recover() != nil {
			result = Result{Rule: m.Name, Verdict: VerdictError, Error: panicked}
		}
	}()
	word, said, err := m.word(f)
	switch {
	case err != nil:
		result.Verdict, result.Error = VerdictError, err.Error()
	case said && len(word.To) == 0:
		result.Verdict = VerdictNoRecipient
	case said:
		result.Verdict, result.Consent = VerdictMatched, &word
	}
	return result
}

func (m *Mapping) word(f *facts) (w Word, said bool, err error) {
	w = Word{Mapping: m.Name, Channels: m.Channels, Program: m.Program}
	var by mappedWord
	for _, one := range m.words() {
		if one.when == nil {
			continue
		}
		is, err := one.when.evalBool(f)
		switch {
		case w.Action == consent.OptOut && (is || err != nil): // it is said, whatever else is, or can't be read
		case err != nil:
			return w, false, err
		case is && said:
			return w, false, errBoth
		case is:
			w.Action, by, said = one.action, one, true
		}
	}
	if !said {
		return w, false, nil
	}
	if w.To, err = m.address.evalTexts(f); err != nil {
		return w, false, err
	}
	slices.Sort(w.To)
	for _, one := range []struct {
		from *expression
		to   *string
	}{
		{m.evidence, &w.Evidence},
		{m.disclosure, &w.Proof.Disclosure},
		{m.sourceURL, &w.Proof.SourceURL},
		{m.ip, &w.Proof.IP},
		{m.language, &w.Language},
	} {
		if *one.to, err = one.from.evalText(f); err != nil && w.Action != consent.OptOut { // which counts, whatever its proof
			return w, false, err
		}
	}
	w.At, err = m.moment(f, by)
	return w, true, err
}

// seenBefore tells whether all that the expression asks about the time before is known.
func (e *expression) seenBefore(f *facts) bool {
	return len(e.previousFields) > 0 && !slices.ContainsFunc(e.previousFields, func(name string) bool { return f.previousText(name) == nil })
}

// longAgo is the time of a word of which nobody knows when it was said.
func longAgo() time.Time { return time.Unix(0, 0).UTC() }

// moment is when it was said: by `at`, else when the record was last changed, else when it came. It is never later than that, so
// that a wrong clock or date does not go before all that people say afterwards. Where no change was seen, at the first sight of a
// record above all, what permits something may have been said at any time since the record was created: then the earliest counts, so
// that it lifts no STOP that may be newer. An opt-out counts also when `at` gives no time: what the person wants is clear.
func (m *Mapping) moment(f *facts, by mappedWord) (time.Time, error) {
	var when time.Time
	var err error
	switch {
	case m.at != nil:
		when, err = m.told(f, by.action)
		if err != nil && by.action == consent.OptOut {
			when, err = lastChange(f), nil
		}
	case by.action != consent.OptOut && !by.when.seenBefore(f):
		created, ok := timeOf(f.in.Notification, "CreatedDate")
		if when = created; !ok {
			when = longAgo()
		}
	default:
		when = lastChange(f)
	}
	if when.After(f.in.Received) {
		when = f.in.Received
	}
	return when, err
}

// told is the time that `at` gives.
func (m *Mapping) told(f *facts, action consent.Action) (time.Time, error) {
	value, err := m.at.evalScalar(f)
	if err != nil {
		return time.Time{}, err
	}
	text, _ := value.(string)
	when, day, err := parseMoment(text)
	if err != nil {
		return time.Time{}, errors.New("at: it is no time, want a date or a time in RFC 3339")
	}
	if day {
		when = consent.SaidOn(when, action, f.in.Received)
	}
	return when, nil
}

// lastChange is when the record was last changed, as far as the notification says.
func lastChange(f *facts) time.Time {
	for _, name := range []string{"SystemModstamp", "LastModifiedDate"} {
		if t, ok := timeOf(f.in.Notification, name); ok {
			return t
		}
	}
	return f.in.Received
}

// parseMoment reads a time, or a day, of which it gives the beginning.
func parseMoment(text string) (t time.Time, day bool, err error) {
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, true, nil
	}
	t, err = time.Parse(time.RFC3339, text)
	return t, false, err
}
