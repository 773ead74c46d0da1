package rule

import (
	"fmt"
	"io/fs"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

// Test is one case of a `*_test.yaml` file: a notification, what was known before, and the rules that must match.
type Test struct {
	File   string
	Line   int
	Name   string
	Input  Input
	Reply  *ReplyInput   // of a test of reply rules: then Input is not used
	Expect []Expectation // rules that must match (or fail, or have no recipient); all others must not match
}

// Expectation is what a test demands of one rule. What is left out (nil, empty) is not looked at.
type Expectation struct {
	Line        int
	Rule        string
	To          []string
	Channels    []string
	Language    *string
	Contact     *string
	Purpose     string
	Template    string
	QuietHours  string
	Place       map[string]string  // a part of it
	Vars        map[string]*string // a subset of the variables, as text; nil is null
	Text        map[message.Channel]string
	Opens       string   // when the message may go first, RFC 3339
	Caps        []string // the names of all caps that hold for it; empty and not nil: none
	NoRecipient bool
	Ask         string // the name of a reply rule's question
	Webhook     string
	Mark        *bool
	Action      string  // of an item of consent: opt_out, opt_in, re_opt_in or confirm
	Program     *string // of a rule or an item of consent; empty for an item about everything
	At          string  // of an item of consent, RFC 3339
	Error       bool    // the rule must fail ...
	ErrorText   string  // ... with an error that contains this
}

// Values of a test's notification that a file leaves out.
const (
	testOrg          = "00D000000000001"
	testNotification = "04l000000000001AAA"
	testReceived     = "2026-01-15T12:00:00Z"
)

// LoadTests reads every *_test.yaml and *_test.yml in the root of fsys. Decoding is strict; the error is a *LoadError
// with every mistake, or one of fsys.
func LoadTests(fsys fs.FS) ([]Test, error) {
	names, err := yamlFiles(fsys, true)
	if err != nil {
		return nil, err
	}
	var tests []Test
	found := &problems{}
	for _, name := range names {
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		p := &testParser{reader{file: newFile(name, data), problems: found}}
		tests = append(tests, p.tests(data)...)
	}
	return tests, found.err()
}

type testParser struct{ reader }

func (p *testParser) tests(data []byte) []Test {
	root := p.document(data)
	if root == nil {
		return nil
	}
	list := p.fields(root, "a test file", []string{"tests"})["tests"]
	if list == nil {
		p.errorf(root, `a test file needs the key "tests" with a list of tests`)
		return nil
	}
	var tests []Test
	names := map[string]bool{}
	for _, node := range p.items(list, "tests") {
		test := p.test(node)
		if test.Name != "" && names[test.Name] {
			p.errorf(node, "test name %q is used already in this file", test.Name)
		}
		names[test.Name] = true
		tests = append(tests, test)
	}
	return tests
}

func (p *testParser) test(node *yaml.Node) Test {
	test := Test{File: p.name, Line: node.Line}
	keys := p.fields(node, "a test", []string{"name", "notification", "previous", "known", "expect", "reply", "conversation", "record"})
	if node.Kind != yaml.MappingNode {
		return test
	}
	about := "notification"
	if keys["reply"] != nil {
		about = "reply"
		test.Reply = p.reply(keys)
	}
	for _, key := range []string{"name", about, "expect"} {
		if keys[key] == nil {
			p.errorf(node, "the test has no %q, which every test needs", key)
		}
	}
	test.Name = p.text(keys["name"], "name")
	if n := keys["notification"]; n != nil {
		p.notification(n, &test.Input)
	}
	if n := keys["previous"]; n != nil && !isNull(n) {
		test.Input.Previous = Snapshot{Seen: true, Fields: map[string]string{}}
		for _, field := range p.record(n, "previous") {
			if !field.Null {
				test.Input.Previous.Fields[field.Name] = field.Value
			}
		}
	}
	if n := keys["known"]; n != nil {
		test.Input.Known = map[string]struct{}{}
		for _, name := range p.texts(n, "known") {
			test.Input.Known[name] = struct{}{}
		}
	}
	if n := keys["expect"]; n != nil {
		for _, item := range p.items(n, "expect") {
			test.Expect = append(test.Expect, p.expectation(item))
		}
	}
	return test
}

func (p *testParser) notification(node *yaml.Node, in *Input) {
	keys := p.fields(node, "notification", []string{"object", "record", "id", "org", "received_at"})
	if node.Kind != yaml.MappingNode {
		return
	}
	if keys["object"] == nil || keys["record"] == nil {
		p.errorf(node, `a notification needs "object" and "record"`)
	}
	in.Object = p.text(keys["object"], "object")
	in.Org = notification.OrgID(orDefault(p.text(keys["org"], "org"), testOrg))
	in.Notification.ID = notification.ID(orDefault(p.text(keys["id"], "id"), testNotification))
	received := testReceived
	if n := keys["received_at"]; n != nil {
		received = p.scalar(n, "received_at")
	}
	var err error
	if in.Received, err = time.Parse(time.RFC3339, received); err != nil {
		p.errorf(keys["received_at"], "received_at must be a time such as %s", testReceived)
	}
	if n := keys["record"]; n != nil {
		in.Notification.Fields = p.record(n, "record")
	}
	for _, field := range in.Notification.Fields {
		if field.Name == "Id" {
			in.Notification.RecordID = notification.ID(field.Value)
		}
	}
}

// record reads fields; a value is the text as written, null is null.
func (p *testParser) record(node *yaml.Node, what string) []notification.Field {
	var fields []notification.Field
	p.each(node, what, func(key, value *yaml.Node) {
		field := notification.Field{Name: key.Value, Null: isNull(value)}
		if !field.Null {
			field.Value = p.scalar(value, what+"."+key.Value)
		}
		fields = append(fields, field)
	})
	return fields
}

// texts reads one text or a list of texts.
func (p *testParser) texts(node *yaml.Node, what string) []string {
	if node.Kind != yaml.SequenceNode {
		return []string{p.scalar(node, what)}
	}
	texts := make([]string, 0, len(node.Content))
	for _, item := range node.Content {
		texts = append(texts, p.scalar(item, what))
	}
	return texts
}

func (p *testParser) expectation(node *yaml.Node) Expectation {
	e := Expectation{Line: node.Line}
	keys := p.fields(node, "an expectation", []string{
		"rule", "to", "channels", "language", "contact", "purpose", "template", "vars", "text", "no_recipient", "error", "ask", "webhook",
		"mark", "quiet_hours", "place", "action", "program", "at", "opens", "caps",
	})
	if node.Kind != yaml.MappingNode {
		return e
	}
	if keys["rule"] == nil {
		p.errorf(node, `an expectation needs "rule"`)
	}
	e.Rule = p.text(keys["rule"], "rule")
	e.Purpose = p.text(keys["purpose"], "purpose")
	e.Template = p.text(keys["template"], "template")
	e.QuietHours = p.text(keys["quiet_hours"], "quiet_hours")
	p.expectedPlace(&e, keys["place"])
	if n := keys["to"]; n != nil {
		e.To = p.texts(n, "to")
	}
	if n := keys["channels"]; n != nil {
		e.Channels = p.texts(n, "channels")
	}
	e.Language, e.Contact = p.optional(keys["language"], "language"), p.optional(keys["contact"], "contact")
	e.Ask, e.Webhook = p.text(keys["ask"], "ask"), p.text(keys["webhook"], "webhook")
	if n := keys["mark"]; n != nil {
		mark := p.boolean(n, "mark")
		e.Mark = &mark
	}
	e.Action = p.oneOf(keys["action"], "action", string(consent.OptOut), string(consent.OptIn), string(consent.ReOptIn), string(consent.Confirm))
	e.Program = p.optional(keys["program"], "program")
	e.At, e.Opens = p.moment(keys["at"], "at"), p.moment(keys["opens"], "opens")
	if n := keys["caps"]; n != nil {
		e.Caps = p.texts(n, "caps")
	}
	e.NoRecipient = p.boolean(keys["no_recipient"], "no_recipient")
	if n := keys["error"]; n != nil {
		e.Error = true
		if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" {
			e.Error = p.boolean(n, "error")
		} else {
			e.ErrorText = p.text(n, "error")
		}
	}
	p.expectedContent(&e, keys)
	return e
}

// moment reads a time and keeps it as it is written; empty when there is none.
func (p *testParser) moment(node *yaml.Node, what string) string {
	if node == nil {
		return ""
	}
	text := p.scalar(node, what)
	if _, err := time.Parse(time.RFC3339, text); err != nil {
		p.errorf(node, "%s must be a time such as %s", what, testReceived)
	}
	return text
}

func (p *testParser) expectedContent(e *Expectation, keys map[string]*yaml.Node) {
	if n := keys["vars"]; n != nil {
		e.Vars = map[string]*string{}
		p.each(n, "vars", func(key, value *yaml.Node) {
			e.Vars[key.Value] = nil
			if !isNull(value) {
				text := p.scalar(value, "vars."+key.Value)
				e.Vars[key.Value] = &text
			}
		})
	}
	if n := keys["text"]; n != nil {
		e.Text = map[message.Channel]string{}
		channels := []string{string(message.SMS), string(message.WhatsApp)}
		for key, value := range p.fields(n, "text", channels) {
			e.Text[message.Channel(key)] = p.text(value, "text."+key)
		}
	}
}

func (p *testParser) expectedPlace(e *Expectation, node *yaml.Node) {
	if node == nil {
		return
	}
	e.Place = map[string]string{}
	for key, value := range p.fields(node, "place", []string{"time_zone", "country", "state", "postal_code"}) {
		e.Place[key] = *p.optional(value, "place."+key)
	}
}

// optional reads a text that may be demanded to be empty, written null or "".
func (p *testParser) optional(node *yaml.Node, what string) *string {
	if node == nil {
		return nil
	}
	text := ""
	if !isNull(node) {
		text = p.scalar(node, what)
	}
	return &text
}

func orDefault(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
