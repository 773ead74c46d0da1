package rule

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

// reply reads what a test of reply rules is about.
func (p *testParser) reply(keys map[string]*yaml.Node) *ReplyInput {
	for _, key := range []string{"notification", "previous", "known"} {
		if keys[key] != nil {
			p.errorf(keys[key], "a test of a reply has no %q: the record's last-known fields are in record", key)
		}
	}
	fields := p.fields(keys["reply"], "reply", []string{"text", "button", "channel", "received_at", "question", "answers", "asked", "timed_out"})
	in := &ReplyInput{Org: notification.OrgID(testOrg), Channel: message.SMS, Record: Snapshot{Fields: map[string]string{}}}
	received := testReceived
	for name, into := range map[string]*string{
		"text": &in.Text, "button": &in.Button, "question": &in.Question, "received_at": &received, "channel": (*string)(&in.Channel),
	} {
		if n := fields[name]; n != nil {
			*into = p.scalar(n, name)
		}
	}
	var err error
	if in.Received, err = time.Parse(time.RFC3339, received); err != nil {
		p.errorf(fields["received_at"], "received_at must be a time such as %s", testReceived)
	}
	if n := fields["answers"]; n != nil {
		in.Answers = p.texts(n, "answers")
	}
	p.questionOf(fields, in)
	p.conversation(keys["conversation"], in)
	if n := keys["record"]; n != nil {
		in.Record.Seen = true
		for _, field := range p.record(n, "record") {
			if !field.Null {
				in.Record.Fields[field.Name] = field.Value
			}
		}
	}
	return in
}

// questionOf reads how often the question has been asked, once when nothing is said, and whether its time is over.
func (p *testParser) questionOf(fields map[string]*yaml.Node, in *ReplyInput) {
	if in.Question != "" {
		in.Asked = 1
	}
	if n := fields["asked"]; n != nil {
		var err error
		if in.Asked, err = strconv.Atoi(p.scalar(n, "asked")); err != nil || in.Asked < 1 {
			p.errorf(n, "asked must be a number from 1 on")
		}
	}
	if in.TimedOut = p.boolean(fields["timed_out"], "timed_out"); !in.TimedOut {
		return
	}
	if in.Question == "" {
		p.errorf(fields["timed_out"], "what is timed out is a question: name it in question")
	}
	for _, name := range []string{"text", "button"} {
		if fields[name] != nil {
			p.errorf(fields[name], "a question that is timed out has no %s", name)
		}
	}
}

func (p *testParser) conversation(node *yaml.Node, in *ReplyInput) {
	if node == nil {
		return
	}
	c := &in.Conversation
	into := map[string]*string{
		"rule": &c.Rule, "template": &c.Template, "language": &c.Language, "contact": &c.Contact, "record_id": &c.RecordID,
		"state": &c.State, "assigned_to": &c.AssignedTo, "object": &in.Object,
	}
	names := []string{"rule", "template", "language", "contact", "record_id", "state", "assigned_to", "object"}
	for name, n := range p.fields(node, "conversation", names) {
		*into[name] = p.scalar(n, name)
	}
}

// checkReply plays a test of reply rules: the one rule that acts, or none, must be the expected one.
func (t *testRun) checkReply() {
	if len(t.set.ReplyRules()) == 0 {
		t.fail(t.test.Line, "there is no reply rule, so this test shows nothing")
		return
	}
	d := DecideReply(t.set, *t.test.Reply)
	expected := map[string]bool{}
	for _, e := range t.test.Expect {
		expected[e.Rule] = true
		i := slices.IndexFunc(d.Results, func(r Result) bool { return r.Rule == e.Rule })
		want := VerdictMatched
		if e.Error {
			want = VerdictError
		}
		switch {
		case i < 0:
			t.fail(e.Line, "reply rule %q was not asked: there is none, it is about another object, or one before it matched", e.Rule)
		case d.Results[i].Verdict != want:
			t.fail(e.Line, "reply rule %q%s", e.Rule, differs(string(want), describe(d.Results[i])))
		case e.Error && !strings.Contains(d.Results[i].Error, e.ErrorText):
			t.fail(e.Line, "error of reply rule %q%s", e.Rule, differs(e.ErrorText, d.Results[i].Error))
		case !e.Error:
			t.compareAct(e, d.Act)
		}
	}
	for _, r := range d.Results {
		if r.Verdict != VerdictNotMatched && !expected[r.Rule] {
			t.fail(t.test.Line, "reply rule %q must not match%s", r.Rule, differs("not_matched", describe(r)))
		}
	}
}

func (t *testRun) compareAct(e Expectation, act *ReplyAct) {
	if act.Ask != nil && e.Ask != "" && e.Ask != act.Ask.Name || act.Ask == nil && e.Ask != "" {
		t.fail(e.Line, "reply rule %q does not ask %q", e.Rule, e.Ask)
	}
	if e.Webhook != "" && e.Webhook != act.Webhook {
		t.fail(e.Line, "webhook of reply rule %q%s", e.Rule, differs(e.Webhook, act.Webhook))
	}
	if e.Mark != nil && *e.Mark != act.Mark {
		t.fail(e.Line, "mark of reply rule %q is not as expected", e.Rule)
	}
	language := act.Language
	if language == "" { // as the router does
		language = t.test.Reply.Conversation.Language
	}
	t.compare(e, Draft{Rule: act.Rule, Template: act.Template, Language: language, Vars: act.Vars})
	if e.Opens != "" {
		t.fail(e.Line, "reply rule %q: an answer goes at once, whatever the hour, so that opens means nothing", e.Rule)
	}
	t.compareCaps(e, t.set.CapsOfAnswer(act.Rule, message.DefaultSender))
}
