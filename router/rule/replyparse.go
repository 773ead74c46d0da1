package rule

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/beckonhq/beckon/internal/consent"
)

// Bounds of a question.
const (
	defaultQuestion = 24 * time.Hour
	mostAnswers     = 50
)

func replyKeys() []string {
	return []string{"name", "description", "on", "object", "when", "answer", "language", "vars", "ask", "webhook", "mark"}
}

// onReply tells whether a rule is one for replies or for time-outs.
func onReply(node *yaml.Node) bool {
	for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == "on" {
			return true
		}
	}
	return false
}

func (p *ruleParser) replyRule(node *yaml.Node) *ReplyRule {
	keys := p.fields(node, "a reply rule", replyKeys())
	for _, key := range []string{"name", "when"} {
		if keys[key] == nil {
			p.errorf(node, "the rule has no %q, which every reply rule needs", key)
		}
	}
	r := &ReplyRule{
		On:   p.oneOf(keys["on"], "on", OnReply, OnTimeout),
		Name: p.ruleName(keys["name"]), Description: p.description(keys["description"]), Object: p.objectName(keys["object"]),
		Answer: p.text(keys["answer"], "answer"), Webhook: p.webhook(keys["webhook"]), Mark: p.boolean(keys["mark"], "mark"),
		File: p.name, Line: node.Line,
	}
	if ask := keys["ask"]; ask != nil {
		r.Ask = p.question(ask)
	}
	switch {
	case r.Answer != "" && r.Ask != nil:
		p.errorf(node, "the rule has both answer and ask: the question is the answer")
	case keys["answer"] == nil && keys["ask"] == nil && keys["webhook"] == nil && !r.Mark:
		p.errorf(node, "the rule does nothing: give it answer, ask, webhook or mark: true")
	}
	p.replyExpressions(r, keys)
	p.checkReplyTemplate(r, node)
	return r
}

func (p *ruleParser) webhook(node *yaml.Node) string {
	text := p.text(node, "webhook")
	if text == "" {
		return ""
	}
	if u, err := url.Parse(text); err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		p.errorf(node, "webhook must be a URL like https://host/path, without a user")
	} else if u.Scheme == "http" {
		p.loader.warnings.add(p.name, at(node), "webhook goes over http: what people write can be read and changed on its way")
	}
	return text
}

func (p *ruleParser) question(node *yaml.Node) *Question {
	keys := p.fields(node, "ask", []string{"name", "template", "answers", "expires_after"})
	for _, key := range []string{"name", "template", "answers"} {
		if keys[key] == nil {
			p.errorf(node, "ask has no %q, which every question needs", key)
		}
	}
	q := &Question{Name: p.text(keys["name"], "ask.name"), Template: p.text(keys["template"], "ask.template"), ExpiresAfter: defaultQuestion}
	if n := keys["expires_after"]; n != nil {
		if q.ExpiresAfter = p.duration(n, "ask.expires_after"); q.ExpiresAfter < minValidity {
			p.errorf(n, "ask.expires_after must be at least %s", minValidity)
		}
	}
	if n := keys["answers"]; n != nil {
		for _, item := range p.items(n, "ask.answers") {
			answer := strings.TrimSpace(p.scalar(item, "an answer"))
			if answer == "" || slices.ContainsFunc(q.Answers, func(one string) bool { return strings.EqualFold(one, answer) }) {
				p.errorf(item, "answer %q is empty or stands twice", answer)
			}
			q.Answers = append(q.Answers, answer)
			p.warnOfConsent(item, answer)
		}
		if len(q.Answers) == 0 || len(q.Answers) > mostAnswers {
			p.errorf(n, "a question waits for 1 to %d answers", mostAnswers)
		}
	}
	return q
}

// warnOfConsent warns of an answer that never comes to a rule when it is written, since it says something about consent. The payload of a
// button may be such a word.
func (p *ruleParser) warnOfConsent(node *yaml.Node, answer string) {
	means := map[consent.Keyword]string{
		consent.Stop: "opts the person out", consent.Start: "lifts an opt-out", consent.Help: "asks for help", consent.Review: "may be an opt-out, and stops everything for a review",
	}
	if is := means[p.loader.says(answer)]; is != "" {
		p.loader.warnings.add(p.name, at(node), "who writes the answer %q %s, and no rule is asked: wait for another word", answer, is)
	}
}

// says is what a reply says about consent, by the shipped words.
func (l *loader) says(text string) consent.Keyword {
	if l.words == nil {
		l.words = consent.DefaultWords()
	}
	return l.words.Classify(text).Keyword
}

// warnShadowed warns of reply rules that are never asked, since one before them matches whatever comes.
func (l *loader) warnShadowed(rules []*ReplyRule) {
	first := map[string]*ReplyRule{} // that matches everything, by what it is asked about
	for _, r := range rules {
		if all := first[r.On]; all != nil {
			l.warnings.add(r.File, position{r.Line, 1}, "rule %q is never asked: %q (%s:%d) comes before it and matches all. Rules are asked by the names of their files, then in the order of the file",
				r.Name, all.Name, all.File, all.Line)
		} else if r.Object == "" && strings.TrimSpace(r.When) == "true" {
			first[r.On] = r
		}
	}
}

// replyExpressions compiles the CEL of a reply rule, with the names that it may use.
func (p *ruleParser) replyExpressions(r *ReplyRule, keys map[string]*yaml.Node) {
	q := *p
	q.compiler = p.compiler.replies
	s := p.loader.schemas[strings.ToLower(r.Object)]
	r.when = q.compile(keys["when"], "when", wantBool, s)
	r.language = q.compile(keys["language"], "language", wantText, s)
	r.When, r.Language = r.when.text(), r.language.text()
	vars := keys["vars"]
	if vars == nil {
		return
	}
	r.Vars = map[string]string{}
	p.each(vars, "vars", func(key, value *yaml.Node) {
		if !identifier().MatchString(key.Value) {
			p.errorf(key, "variable %q: a name has letters, digits and _, and begins with a letter", key.Value)
		}
		e := q.compile(value, "vars."+key.Value, wantScalar, s)
		r.vars = append(r.vars, variable{name: key.Value, expr: e})
		r.Vars[key.Value] = e.text()
	})
}

func (p *ruleParser) checkReplyTemplate(r *ReplyRule, node *yaml.Node) {
	name, known := r.Template(), p.loader.opts.Templates
	if name == "" || known == nil {
		return
	}
	if !known.Has(name) {
		p.errorf(node, "template %q does not exist", name)
		return
	}
	if withVariables, ok := known.(TemplateVariables); ok {
		for _, one := range withVariables.Variables(name) {
			if _, given := r.Vars[one]; !given {
				p.loader.warnings.add(p.name, at(node), "template %q needs variable %q, which the rule does not give%s",
					name, one, didYouMean(one, slices.Sorted(maps.Keys(r.Vars))))
			}
		}
	}
}
