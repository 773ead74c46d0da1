package rule

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

// ReplyRule is a rule with `on: reply` or `on: timeout`, checked. The first are asked about replies that say nothing about consent, the
// others about questions whose time is over. Treat it as read-only.
type ReplyRule struct {
	On          string            `json:"on"` // OnReply or OnTimeout
	Name        string            `json:"name"`
	Description string            `json:"description,omitempty"`
	Object      string            `json:"object,omitempty"` // only replies about its records; empty: all
	When        string            `json:"when"`             // the CEL text, as are Language and the values of Vars
	Answer      string            `json:"answer,omitempty"` // the template of the answer; empty: none
	Language    string            `json:"language,omitempty"`
	Vars        map[string]string `json:"vars,omitempty"`
	Ask         *Question         `json:"ask,omitempty"`
	Webhook     string            `json:"webhook,omitempty"`
	Mark        bool              `json:"mark,omitempty"` // the conversation waits for a human
	File        string            `json:"file"`
	Line        int               `json:"line"`

	when, language *expression
	vars           []variable
}

// What a ReplyRule is asked about.
const (
	OnReply   = "reply"
	OnTimeout = "timeout"
)

// Question is asked by a template, and waits for one of its answers.
type Question struct {
	Name         string        `json:"name"`
	Template     string        `json:"template"`
	Answers      []string      `json:"answers"`       // as Answered compares them
	ExpiresAfter time.Duration `json:"expires_after"` // then rules with on: timeout are asked, and an answer is an ordinary reply; nanoseconds
}

// Template is the one that the rule writes by; empty when it writes nothing.
func (r *ReplyRule) Template() string {
	if r.Ask != nil {
		return r.Ask.Template
	}
	return r.Answer
}

// ReplyInput is everything that a decision about a reply, or about a question without an answer, depends on, besides the Set.
type ReplyInput struct {
	Text         string
	Button       string // the payload of a WhatsApp button; empty for none
	Channel      message.Channel
	Received     time.Time
	TimedOut     bool     // it is about the question, whose time is over: there is no reply
	Question     string   // the open question of the conversation; empty for none
	Answers      []string // that it waits for
	Asked        int      // how often it has been asked until now; 0 without a question
	Conversation ConversationFacts
	Org          notification.OrgID
	Object       string   // of the record; empty when the conversation has none
	Record       Snapshot // the last-known copy of it
}

// ConversationFacts are the message that the reply answers and what people did with the conversation.
type ConversationFacts struct {
	Rule, Template, Language, Contact, RecordID, State, AssignedTo string
}

// ReplyDecision is what a Set says about one reply: the first rule that matches acts, the ones after it are not asked.
type ReplyDecision struct {
	Outcome notification.Outcome `json:"outcome"` // matched, no_rule_matched or rule_error
	RuleSet string               `json:"rule_set"`
	Results []Result             `json:"results,omitempty"`
	Answer  string               `json:"answer,omitempty"` // the one of the open question's answers that the reply is
	Act     *ReplyAct            `json:"act,omitempty"`
}

// ReplyAct is what a reply rule asks for. Values of Vars are as in Draft.
type ReplyAct struct {
	Rule     string         `json:"rule"`
	Template string         `json:"template,omitempty"` // of the answer, or of the question
	Language string         `json:"language,omitempty"`
	Vars     map[string]any `json:"vars,omitempty"`
	Ask      *Question      `json:"ask,omitempty"`
	Webhook  string         `json:"webhook,omitempty"`
	Mark     bool           `json:"mark,omitempty"`
}

// ReplyRules gives the rules for replies and for questions without an answer, by file name and then in the order of the file.
func (s *Set) ReplyRules() []*ReplyRule {
	if s == nil {
		return nil
	}
	return slices.Clone(s.replies)
}

// OneWord is a reply of one word in small letters without what stands around it ("YES!" is yes); empty when there are several words.
func OneWord(text string) string {
	words := strings.Fields(text)
	if len(words) != 1 {
		return ""
	}
	return strings.ToLower(strings.TrimFunc(words[0], func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }))
}

// Answered gives the one of the answers that a reply is: its whole text, its word or its button, in any case; empty when it is none.
func Answered(answers []string, text, button string) string {
	for _, answer := range answers {
		for _, said := range []string{strings.TrimSpace(text), OneWord(text), button} {
			if said != "" && strings.EqualFold(said, answer) {
				return answer
			}
		}
	}
	return ""
}

// DecideReply asks the reply rules in order until one matches, and never fails: what goes wrong is in the Results. It is pure and
// safe for concurrent use.
func DecideReply(set *Set, in ReplyInput) ReplyDecision {
	d := ReplyDecision{Outcome: notification.NoMatch, RuleSet: set.Version(), Answer: Answered(in.Answers, in.Text, in.Button)}
	on := OnReply
	if in.TimedOut {
		on = OnTimeout
	}
	for _, r := range set.ReplyRules() {
		if r.On != on || (r.Object != "" && !strings.EqualFold(r.Object, in.Object)) {
			continue
		}
		act, result := r.decide(set.replyFacts(&in, d.Answer))
		d.Results = append(d.Results, result)
		switch result.Verdict {
		case VerdictMatched:
			d.Outcome, d.Act = notification.Matched, act
			return d
		case VerdictError:
			d.Outcome = notification.RuleError
		case VerdictNotMatched, VerdictNoRecipient:
		}
	}
	return d
}

// decide asks one rule. A panic below is an error of this rule alone.
func (r *ReplyRule) decide(f *facts) (act *ReplyAct, result Result) {
	defer func() {
		if recover() != nil {
			act, result = nil, Result{Rule: r.Name, Verdict: VerdictError, Error: panicked}
		}
	}()
	result = Result{Rule: r.Name, Verdict: VerdictNotMatched}
	matched, err := r.when.evalBool(f)
	if err == nil && matched {
		act, err = r.act(f)
	}
	switch {
	case err != nil:
		return nil, Result{Rule: r.Name, Verdict: VerdictError, Error: err.Error()}
	case matched:
		result.Verdict = VerdictMatched
	}
	return act, result
}

func (r *ReplyRule) act(f *facts) (*ReplyAct, error) {
	act := &ReplyAct{Rule: r.Name, Template: r.Template(), Ask: r.Ask, Webhook: r.Webhook, Mark: r.Mark}
	var err error
	if act.Language, err = r.language.evalText(f); err != nil {
		return nil, err
	}
	if len(r.vars) > 0 {
		act.Vars = make(map[string]any, len(r.vars))
	}
	for _, v := range r.vars {
		if act.Vars[v.name], err = v.expr.evalScalar(f); err != nil {
			return nil, err
		}
	}
	return act, nil
}

// replyFacts is what the expressions of a reply rule can see: the last-known copy of the record as `record`, and their own names.
func (s *Set) replyFacts(in *ReplyInput, answer string) *facts {
	input := &Input{Org: in.Org, Object: in.Object}
	for name, value := range in.Record.Fields {
		input.Notification.Fields = append(input.Notification.Fields, notification.Field{Name: name, Value: value})
	}
	var known *schema
	if o := s.object(in.Object); o != nil {
		known = o.schema
	}
	f := newFacts(input, known)
	f.reply = map[string]any{"reply.received_at": types.Timestamp{Time: in.Received}, "reply.asked": types.Int(in.Asked)}
	for name, text := range map[string]string{
		"reply.text": strings.TrimSpace(in.Text), "reply.word": OneWord(in.Text), "reply.button": in.Button, "reply.channel": string(in.Channel),
		"reply.question": in.Question, "reply.answer": answer, "conversation.rule": in.Conversation.Rule,
		"conversation.template": in.Conversation.Template, "conversation.language": in.Conversation.Language,
		"conversation.contact": in.Conversation.Contact, "conversation.record_id": in.Conversation.RecordID,
		"conversation.object": in.Object, "conversation.state": in.Conversation.State, "conversation.assigned_to": in.Conversation.AssignedTo,
	} {
		f.reply[name] = types.String(text)
	}
	return f
}

// replyVariables declares the names of replyFacts.
func replyVariables() []cel.EnvOption {
	options := []cel.EnvOption{
		cel.Variable(recordName, cel.MapType(cel.StringType, cel.DynType)), cel.Variable("reply.received_at", cel.TimestampType),
		cel.Variable("reply.asked", cel.IntType),
	}
	for _, name := range []string{
		"reply.text", "reply.word", "reply.button", "reply.channel", "reply.question", "reply.answer", "conversation.rule",
		"conversation.template", "conversation.language", "conversation.contact", "conversation.record_id", "conversation.object",
		"conversation.state", "conversation.assigned_to",
	} {
		options = append(options, cel.Variable(name, cel.StringType))
	}
	return options
}
