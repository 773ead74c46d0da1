package rule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/beckonhq/beckon/internal/notification"
)

// Decide asks every rule of the notification's object, in order, and then what its records say about consent, and never fails: what goes wrong is in the Results.
// It is pure and safe for concurrent use. An sObject without any field is a deleted record and matches nothing.
//
// The Outcome is matched when any rule matched, also one without a recipient; else rule_error when any rule failed;
// else no_rule_matched.
func Decide(set *Set, in Input) Decision {
	d := Decision{Outcome: notification.NoMatch, RuleSet: set.Version(), PreviousSeen: in.Previous.Seen}
	if len(in.Notification.Fields) == 0 {
		d.Deleted = true
		return d
	}
	o := set.object(in.Object)
	if o == nil || len(o.rules)+len(o.mappings) == 0 {
		return d
	}
	f := newFacts(&in, o.schema)
	d.Results = make([]Result, 0, len(o.rules)+len(o.mappings))
	for _, r := range o.rules {
		d.Results = append(d.Results, r.decide(f))
	}
	for _, m := range o.mappings {
		d.Results = append(d.Results, m.decide(f))
	}
	d.Outcome = OutcomeOf(d.Results)
	d.PreviousUsed = f.previousUsed
	return d
}

// OutcomeOf is the outcome of a notification with these results.
func OutcomeOf(results []Result) notification.Outcome {
	outcome := notification.NoMatch
	for _, r := range results {
		switch r.Verdict {
		case VerdictMatched, VerdictNoRecipient:
			return notification.Matched
		case VerdictError:
			outcome = notification.RuleError
		case VerdictNotMatched:
		}
	}
	return outcome
}

// decide asks one rule. A panic below is an error of this rule alone.
func (r *Rule) decide(f *facts) (result Result) {
	defer func() {
		if recover() != nil {
			result = Result{Rule: r.Name, Verdict: VerdictError, Error: panicked}
		}
	}()
	result = Result{Rule: r.Name, Verdict: VerdictNotMatched}
	matched, err := r.when.evalBool(f)
	if err == nil && !matched {
		return result
	}
	var draft Draft
	if err == nil {
		draft, err = r.draft(f)
	}
	switch {
	case err != nil:
		result.Verdict, result.Error = VerdictError, err.Error()
	case len(draft.To) == 0:
		result.Verdict = VerdictNoRecipient
	default:
		result.Verdict, result.Messages = VerdictMatched, []Draft{draft}
	}
	return result
}

func (r *Rule) draft(f *facts) (Draft, error) {
	d := Draft{
		Rule: r.Name, Channels: r.Channels, Template: r.Template, Purpose: r.Purpose, Program: r.Program, QuietHours: r.QuietHours,
		Once: r.Once, Delay: r.Delay, ExpiresAfter: r.ExpiresAfter, Sender: r.Sender, Breaker: r.Breaker, OptOutBreaker: r.OptOutBreaker,
	}
	var err error
	if d.To, err = r.to.evalTexts(f); err != nil || len(d.To) == 0 {
		return d, err
	}
	if d.Contact, err = r.contact.evalText(f); err != nil {
		return d, err
	}
	if d.Language, err = r.language.evalText(f); err != nil {
		return d, err
	}
	if d.Place, err = r.where(f); err != nil {
		return d, err
	}
	if len(r.vars) > 0 {
		d.Vars = make(map[string]any, len(r.vars))
	}
	for _, v := range r.vars {
		if d.Vars[v.name], err = v.expr.evalScalar(f); err != nil {
			return d, err
		}
	}
	return d, nil
}

// eval runs an expression. The error names the key and the kind of failure, and has no values.
func (e *expression) eval(f *facts) (ref.Val, error) {
	value, err := e.run(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", e.key, failure(err))
	}
	return value, nil
}

// run takes the short way for an expression that is a field and nothing else.
func (e *expression) run(f *facts) (ref.Val, error) {
	if e.bareField == "" {
		value, _, err := e.program.Eval(f)
		return value, err
	}
	value := f.recordValue
	if e.barePrevious {
		value = f.previousValue
	}
	v := value(e.bareField)
	if err, failed := v.(*types.Err); failed {
		return nil, err
	}
	return v, nil
}

func (e *expression) evalBool(f *facts) (bool, error) {
	value, err := e.eval(f)
	if err != nil {
		return false, err
	}
	b, ok := value.(types.Bool)
	if !ok {
		return false, e.wrongType(value, wantBool)
	}
	return bool(b), nil
}

// evalText gives trimmed text; a nil expression and null are empty.
func (e *expression) evalText(f *facts) (string, error) {
	if e == nil {
		return "", nil
	}
	value, err := e.eval(f)
	if err != nil {
		return "", err
	}
	switch v := value.(type) {
	case types.Null:
		return "", nil
	case types.String:
		return strings.TrimSpace(string(v)), nil
	}
	return "", e.wrongType(value, wantText)
}

// evalTexts gives the texts of `to`, trimmed, without empty and repeated ones.
func (e *expression) evalTexts(f *facts) ([]string, error) {
	value, err := e.eval(f)
	if err != nil {
		return nil, err
	}
	list, isList := value.(traits.Lister)
	if !isList {
		return e.addText(nil, value)
	}
	var texts []string
	for it := list.Iterator(); it.HasNext() == types.True; {
		if texts, err = e.addText(texts, it.Next()); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

func (e *expression) addText(texts []string, value ref.Val) ([]string, error) {
	switch v := value.(type) {
	case types.Null:
		return texts, nil
	case types.String:
		text := strings.TrimSpace(string(v))
		if text == "" || slices.Contains(texts, text) {
			return texts, nil
		}
		return append(texts, text), nil
	}
	return nil, e.wrongType(value, wantTexts)
}

// evalScalar gives a template variable. A date or time that the rule passes on untouched keeps the text that Salesforce
// wrote, with a WSDL or without one.
func (e *expression) evalScalar(f *facts) (any, error) {
	value, err := e.eval(f)
	if err != nil {
		return nil, err
	}
	switch v := value.(type) {
	case types.Null:
		return nil, nil //nolint:nilnil // null is a value of a variable
	case types.String:
		return string(v), nil
	case types.Bool:
		return bool(v), nil
	case types.Int:
		return int64(v), nil
	case types.Uint:
		return uint64(v), nil
	case types.Double:
		return float64(v), nil
	case types.Duration:
		return v.String(), nil
	case types.Timestamp:
		if text := e.bareText(f); text != nil {
			return *text, nil
		}
		return v.UTC().Format(time.RFC3339Nano), nil
	}
	return nil, e.wrongType(value, wantScalar)
}

func (e *expression) bareText(f *facts) *string {
	switch {
	case e.bareField == "":
		return nil
	case e.barePrevious:
		return f.previousText(e.bareField)
	}
	text, _ := f.sentText(e.bareField)
	return text
}

func (e *expression) wrongType(value ref.Val, want result) error {
	return fmt.Errorf("%s: gave %s, want %s", e.key, value.Type().TypeName(), want)
}

// panicked is the error of a rule in whose evaluation something panicked.
const panicked = "internal error: panic in evaluation"

// failure names the kind of a run-time error. CEL's own texts may quote field values, so they never pass through.
func failure(err error) string {
	if wrongType, ok := errors.AsType[*typeError](err); ok {
		return wrongType.Error()
	}
	text := err.Error()
	for _, kind := range failures() {
		if strings.Contains(text, kind.mark) {
			return kind.name
		}
	}
	return "evaluation failed"
}

type failureKind struct{ mark, name string }

// failures maps marks in the texts of cel-go to names of ours; the first that fits counts.
func failures() []failureKind {
	const conversion = "type conversion error from 'string' to "
	return []failureKind{
		{"internal error", panicked},
		{"cost limit exceeded", "cost limit exceeded"},
		{"invalid RFC 3339 timestamp", conversion + "'timestamp'"},
		{conversion + "'double'", conversion + "'double'"},
		{conversion + "'int'", conversion + "'int'"},
		{conversion + "'uint'", conversion + "'uint'"},
		{conversion + "'bool'", conversion + "'bool'"},
		{conversion + "'google.protobuf.Duration'", conversion + "'duration'"},
		{"type conversion error", "type conversion error"},
		{"no such overload", "no such overload (null or another type in a comparison, operator or function)"},
		{"no such key", "no such key"},
		{"division by zero", "division by zero"},
		{"modulus by zero", "modulus by zero"},
		{"overflow", "overflow"},
		{"out of bounds", "index out of bounds"},
		{"out of range", "index out of range"},
		{"regexp", "invalid regular expression"},
	}
}
