package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/router/rule"
)

// replyJSON is a reply as --reply gives it, with the keys of a test of reply rules.
type replyJSON struct {
	Text         string                     `json:"text"`
	Button       string                     `json:"button"`
	Channel      message.Channel            `json:"channel"`
	ReceivedAt   time.Time                  `json:"received_at"`
	Question     string                     `json:"question"`
	Answers      []string                   `json:"answers"`
	Asked        int                        `json:"asked"` // 0: once, where there is a question
	TimedOut     bool                       `json:"timed_out"`
	Conversation conversationJSON           `json:"conversation"`
	Record       map[string]json.RawMessage `json:"record"`
}

// conversationJSON is the message that a reply answers and what people did with the conversation.
type conversationJSON struct {
	Rule       string `json:"rule"`
	Template   string `json:"template"`
	Language   string `json:"language"`
	Contact    string `json:"contact"`
	RecordID   string `json:"record_id"`
	Object     string `json:"object"`
	State      string `json:"state"`
	AssignedTo string `json:"assigned_to"`
}

// replyExplanation is what Beckon would make of one reply.
type replyExplanation struct {
	Text     string               `json:"text"`
	Button   string               `json:"button,omitempty"`
	Word     string               `json:"word"`
	Consent  consentSays          `json:"consent"`
	Question string               `json:"question,omitempty"` // the open one
	Answers  []string             `json:"answers,omitempty"`  // that it waits for
	Answer   string               `json:"answer,omitempty"`   // the one that the reply is
	Asked    bool                 `json:"asked"`              // whether the reply rules are
	Outcome  notification.Outcome `json:"outcome,omitempty"`
	RuleSet  string               `json:"rule_set"`
	Rules    []replyReasons       `json:"rules"`
	Act      *rule.ReplyAct       `json:"act,omitempty"`
	Content  *message.Content     `json:"content,omitempty"` // what it would write
	Error    string               `json:"error,omitempty"`   // of the template
	Caps     []capView            `json:"caps,omitempty"`    // that hold for the answer, by the default sender

	input rule.ReplyInput
}

// consentSays is what the detection of opt-outs makes of a reply.
type consentSays struct {
	Keyword  consent.Keyword `json:"keyword"` // empty: an ordinary reply
	Language string          `json:"language,omitempty"`
	By       string          `json:"by,omitempty"` // the word or pattern
}

// replyReasons is one rule's verdict. One that was not asked has the reason in Verdict.
type replyReasons struct {
	Rule    string       `json:"rule"`
	Verdict rule.Verdict `json:"verdict"` // also not_asked
	Why     string       `json:"why,omitempty"`
	When    string       `json:"when"`
	Error   string       `json:"error,omitempty"`
}

const notAsked rule.Verdict = "not_asked"

// replyInput reads --reply, a text or a JSON object, with --conversation and --record.
func (f *explainFlags) replyInput() (rule.ReplyInput, error) {
	in := replyJSON{Text: f.reply}
	if strings.HasPrefix(strings.TrimSpace(f.reply), "{") {
		in.Text = ""
		if err := decodeStrictly("--reply", f.reply, &in); err != nil {
			return rule.ReplyInput{}, err
		}
	}
	if f.conversation != "" {
		if err := decodeStrictly("--conversation", f.conversation, &in.Conversation); err != nil {
			return rule.ReplyInput{}, err
		}
	}
	if in.Channel == "" {
		in.Channel = message.SMS
	}
	if in.Channel != message.SMS && in.Channel != message.WhatsApp {
		return rule.ReplyInput{}, usagef("--reply: channel is %q, which is neither sms nor whatsapp", in.Channel)
	}
	if in.ReceivedAt.IsZero() {
		in.ReceivedAt = time.Now()
	}
	if in.Question != "" {
		in.Asked = max(in.Asked, 1)
	}
	if in.TimedOut && (in.Question == "" || in.Text+in.Button != "") {
		return rule.ReplyInput{}, usagef("--reply: timed_out goes with question, and without text and button")
	}
	out := rule.ReplyInput{
		Text: in.Text, Button: in.Button, Channel: in.Channel, Received: in.ReceivedAt, Question: in.Question, Answers: in.Answers,
		Asked: in.Asked, TimedOut: in.TimedOut, Org: madeUpOrg, Object: in.Conversation.Object,
		Conversation: rule.ConversationFacts{
			Rule: in.Conversation.Rule, Template: in.Conversation.Template, Language: in.Conversation.Language, Contact: in.Conversation.Contact,
			RecordID: in.Conversation.RecordID, State: in.Conversation.State, AssignedTo: in.Conversation.AssignedTo,
		},
	}
	text := f.record
	if in.Record != nil {
		if text != "" {
			return out, usagef("the record stands in --reply and in --record")
		}
		encoded, err := json.Marshal(in.Record)
		if err != nil {
			return out, usagef("--reply: the record is %w", err)
		}
		text = string(encoded)
	}
	if text == "" {
		return out, nil
	}
	fields, err := parseFields("the record", []byte(text))
	if err != nil {
		return out, err
	}
	out.Record = snapshotOf(fields)
	return out, nil
}

func decodeStrictly(flag, text string, into any) error {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return usagef("%s is not a JSON object of the right form: %w", flag, err)
	}
	if decoder.More() {
		return usagef("%s has more than one JSON object", flag)
	}
	return nil
}

// explainReply decides a reply as the dispatcher and the router do: what it says about consent, then the reply rules.
func explainReply(p *policy, words *consent.Words, in rule.ReplyInput) replyExplanation {
	if in.Question != "" && in.Answers == nil {
		in.Answers = answersOf(p.rules, in.Question)
	}
	verdict := words.Classify(in.Text)
	if pressed, ok := words.Pressed(in.Button); ok && verdict.Keyword != consent.Stop {
		verdict = pressed
	}
	e := replyExplanation{
		Text: in.Text, Button: in.Button, Word: rule.OneWord(in.Text), Question: in.Question, Answers: in.Answers,
		Consent: consentSays{verdict.Keyword, verdict.Language, verdict.Rule}, RuleSet: p.rules.Version(), Rules: []replyReasons{}, input: in,
	}
	if verdict.Keyword != consent.None {
		return e
	}
	d := rule.DecideReply(p.rules, in)
	e.Asked, e.Outcome, e.Answer, e.Act = true, d.Outcome, d.Answer, d.Act
	for _, one := range p.rules.ReplyRules() {
		e.Rules = append(e.Rules, reasonsOf(one, &d, in.Object, in.TimedOut))
	}
	if d.Act != nil && d.Act.Template != "" {
		language := d.Act.Language
		if language == "" {
			language = in.Conversation.Language
		}
		content, err := p.templates.Render(d.Act.Template, language, d.Act.Vars)
		e.Content = &content
		e.Caps = viewCaps(p.rules.CapsOfAnswer(d.Act.Rule, message.DefaultSender))
		if err != nil {
			e.Error = err.Error()
		} else if !content.Has(in.Channel) {
			e.Error = fmt.Sprintf("template %s has nothing for %s", d.Act.Template, in.Channel)
		}
	}
	return e
}

// answersOf are the answers to a question of the rules; nil when none asks it.
func answersOf(set *rule.Set, question string) []string {
	for _, one := range set.ReplyRules() {
		if one.Ask != nil && one.Ask.Name == question {
			return one.Ask.Answers
		}
	}
	return nil
}

func reasonsOf(one *rule.ReplyRule, d *rule.ReplyDecision, object string, timedOut bool) replyReasons {
	reasons := replyReasons{Rule: one.Name, Verdict: notAsked, When: strings.TrimSpace(one.When)}
	for _, result := range d.Results {
		if result.Rule == one.Name {
			reasons.Verdict, reasons.Error = result.Verdict, result.Error
			return reasons
		}
	}
	switch {
	case timedOut != (one.On == rule.OnTimeout):
		reasons.Why = "it is on " + one.On
	case one.Object != "" && !strings.EqualFold(one.Object, object):
		reasons.Why = fmt.Sprintf("it is about %s, the conversation about %s", one.Object, dash(object))
	case d.Act != nil:
		reasons.Why = d.Act.Rule + " matched before"
	}
	return reasons
}

func (r *root) explainReply(p *policy, in rule.ReplyInput, asJSON bool) error {
	words, err := p.cfg.Words()
	if err != nil {
		return usagef("%w", err)
	}
	e := explainReply(p, words, in)
	if asJSON {
		return r.printJSON(e)
	}
	r.writeReply(p, &e)
	return nil
}

// writeReply tells of a reply for a person.
func (r *root) writeReply(p *policy, e *replyExplanation) {
	if e.input.TimedOut {
		r.printf("question %s: its time is over\n", e.Question)
	} else {
		r.printf("reply %s\n", strconv.Quote(e.Text))
	}
	if k := e.Consent.Keyword; k != consent.None {
		says := map[consent.Keyword]string{
			consent.Stop: "an opt-out: it counts at once", consent.Start: "the end of an opt-out, and no opt-in to marketing", consent.Help: "a request for help",
			consent.Review: "for review: it may be an opt-out, and nothing is sent to the person until that is decided",
		}
		r.printf("consent: %s, by %q (%s)\nno reply rule is asked\n", says[k], e.Consent.By, e.Consent.Language)
		return
	}
	if !e.input.TimedOut {
		r.printf("consent: an ordinary reply\n")
	}
	if len(e.Rules) == 0 {
		r.printf("there is no reply rule in %s\n", p.rulesDir)
		return
	}
	r.printf("outcome: %s, by rule set %s\n", words(string(e.Outcome)), e.RuleSet)
	r.writeReplyFacts(e)
	for _, one := range e.Rules {
		why := ""
		if one.Why != "" {
			why = ", " + one.Why
		}
		r.printf("\nrule %s: %s%s\n", one.Rule, words(string(one.Verdict)), why)
		if one.Error != "" {
			r.printf("  error     %s\n", one.Error)
		}
		r.printf("  when      %s\n", strings.ReplaceAll(one.When, "\n", "\n            "))
		if e.Act != nil && e.Act.Rule == one.Rule {
			r.writeAct(e)
		}
	}
}

// writeReplyFacts shows what the rules see, but for what is empty.
func (r *root) writeReplyFacts(e *replyExplanation) {
	c := e.input.Conversation
	label := "sees"
	for _, fact := range [][2]string{
		{"reply.word", e.Word},
		{"reply.button", e.Button},
		{"reply.channel", string(e.input.Channel)},
		{"reply.question", e.Question},
		{"reply.answer", e.Answer},
		{"conversation.rule", c.Rule},
		{"conversation.template", c.Template},
		{"conversation.language", c.Language},
		{"conversation.contact", c.Contact},
		{"conversation.record_id", c.RecordID},
		{"conversation.object", e.input.Object},
		{"conversation.state", c.State},
		{"conversation.assigned_to", c.AssignedTo},
	} {
		if fact[1] != "" {
			r.printf("  %-9s %s = %q\n", label, fact[0], fact[1])
			label = ""
		}
	}
	if e.input.Asked > 0 {
		r.printf("  %-9s reply.asked = %d\n", label, e.input.Asked)
	}
	if e.Question != "" && e.Answer == "" && !e.input.TimedOut {
		r.printf("  %-9s the question waits for one of: %s\n", label, dash(strings.Join(e.Answers, ", ")))
	}
	for _, name := range slices.Sorted(maps.Keys(e.input.Record.Fields)) {
		r.printf("  %-9s record.%s = %q\n", label, name, e.input.Record.Fields[name])
		label = ""
	}
}

// writeAct tells what the rule that matched would do.
func (r *root) writeAct(e *replyExplanation) {
	act := e.Act
	if act.Ask != nil {
		r.printf("  ask       %s by template %s, answers %s, for %s\n", act.Ask.Name, act.Template, strings.Join(act.Ask.Answers, ", "), act.Ask.ExpiresAfter)
	} else if act.Template != "" {
		r.printf("  answer    by template %s on %s, within an hour\n", act.Template, e.input.Channel)
	}
	if e.Content != nil {
		r.writeContent(explainIndent, *e.Content)
	}
	for i, line := range capLines(e.Caps) {
		r.printf("  %-9s %s\n", []string{"caps", ""}[min(i, 1)], line)
	}
	for problem := range strings.Lines(e.Error) {
		r.printf("%s%s: a human has to answer\n", explainIndent, strings.TrimSpace(problem))
	}
	if act.Webhook != "" {
		r.printf("  webhook   %s\n", act.Webhook)
	}
	if act.Mark {
		r.printf("  mark      the conversation waits for a human\n")
	}
}
