package rule

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/message"
)

// Failure is one demand of a test that the rules did not meet.
type Failure struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Message string `json:"message"` // may have several lines
}

// String is file:line: message.
func (f Failure) String() string { return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Message) }

// TestResult is how one test ended. Decision is what the rules said, for whoever wants to explain it.
type TestResult struct {
	File     string    `json:"file"`
	Line     int       `json:"line"`
	Name     string    `json:"name"`
	Failures []Failure `json:"failures,omitempty"`
	Decision Decision  `json:"decision"`
}

// Passed tells whether every demand was met.
func (r TestResult) Passed() bool { return len(r.Failures) == 0 }

// RunTests plays tests against a Set, in order. A test that demands what a missing tool would tell fails and says so.
func RunTests(set *Set, tests []Test, tools Tools) []TestResult {
	results := make([]TestResult, len(tests))
	for i, test := range tests {
		run := &testRun{test: test, set: set, tools: tools}
		run.check()
		results[i] = TestResult{
			File: test.File, Line: test.Line, Name: test.Name, Failures: run.failures, Decision: run.decision,
		}
	}
	return results
}

type testRun struct {
	test     Test
	set      *Set
	tools    Tools
	decision Decision
	failures []Failure
}

func (t *testRun) fail(line int, format string, args ...any) {
	t.failures = append(t.failures, Failure{File: t.test.File, Line: line, Message: fmt.Sprintf(format, args...)})
}

func (t *testRun) check() {
	if t.test.Reply != nil {
		t.checkReply()
		return
	}
	rules := t.set.ForObject(t.test.Input.Object)
	if len(rules)+len(t.set.Mappings(t.test.Input.Object)) == 0 {
		t.fail(t.test.Line, "no rule is for object %q, so this test shows nothing", t.test.Input.Object)
		return
	}
	t.decision = Decide(t.set, t.test.Input)
	expected := map[string]bool{}
	for _, e := range t.test.Expect {
		expected[e.Rule] = true
		t.expect(e)
	}
	for _, r := range t.decision.Results {
		if r.Verdict != VerdictNotMatched && !expected[r.Rule] {
			t.fail(t.test.Line, "rule %q must not match%s", r.Rule, differs("not_matched", describe(r)))
		}
	}
}

func (t *testRun) expect(e Expectation) {
	i := slices.IndexFunc(t.decision.Results, func(r Result) bool { return r.Rule == e.Rule })
	if i < 0 {
		t.fail(e.Line, "there is no rule %q for object %s%s", e.Rule, t.test.Input.Object, didYouMean(e.Rule, t.ruleNames()))
		return
	}
	got := t.decision.Results[i]
	want := VerdictMatched
	switch {
	case e.Error:
		want = VerdictError
	case e.NoRecipient:
		want = VerdictNoRecipient
	}
	if got.Verdict != want {
		t.fail(e.Line, "rule %q%s", e.Rule, differs(string(want), describe(got)))
		return
	}
	if e.Error && !strings.Contains(got.Error, e.ErrorText) {
		t.fail(e.Line, "error of rule %q%s", e.Rule, differs(e.ErrorText, got.Error))
	}
	switch {
	case want != VerdictMatched:
	case got.Consent != nil:
		t.compareConsent(e, got.Consent)
	case e.Action != "" || e.At != "":
		t.fail(e.Line, "rule %q makes messages: action and at are of items of consent", e.Rule)
	default:
		t.compare(e, got.Messages[0])
		t.compareOpens(e, &got.Messages[0])
		t.compareCaps(e, t.set.CapsOf(&got.Messages[0]))
	}
}

func (t *testRun) ruleNames() []string {
	rules := t.set.ForObject(t.test.Input.Object)
	names := make([]string, 0, len(rules))
	for _, r := range rules {
		names = append(names, r.Name)
	}
	return append(names, t.set.Mappings(t.test.Input.Object)...)
}

func (t *testRun) compareConsent(e Expectation, got *Word) {
	same := func(what, want, have string) {
		if want != have {
			t.fail(e.Line, "%s of %q%s", what, e.Rule, differs(want, have))
		}
	}
	if e.Action != "" {
		same("action", e.Action, string(got.Action))
	}
	if e.To != nil {
		same("to", strings.Join(e.To, ", "), strings.Join(got.To, ", "))
	}
	if e.Channels != nil {
		same("channels", strings.Join(e.Channels, ", "), joinChannels(got.Channels))
	}
	if e.Program != nil {
		same("program", *e.Program, got.Program)
	}
	if want, err := time.Parse(time.RFC3339, e.At); err == nil && !want.Equal(got.At) {
		same("at", e.At, got.At.UTC().Format(time.RFC3339))
	}
	if e.Language != nil || e.Contact != nil || e.Purpose != "" || e.Template != "" || e.Vars != nil || e.Text != nil || e.Opens != "" || e.Caps != nil {
		t.fail(e.Line, "%q makes no message: language, contact, purpose, template, vars, text, opens and caps are of rules", e.Rule)
	}
}

func (t *testRun) compare(e Expectation, got Draft) {
	same := func(what, want, have string) {
		if want != have {
			t.fail(e.Line, "%s of rule %q%s", what, e.Rule, differs(want, have))
		}
	}
	if e.To != nil {
		same("to", strings.Join(e.To, ", "), strings.Join(got.To, ", "))
	}
	if e.Channels != nil {
		same("channels", strings.Join(e.Channels, ", "), joinChannels(got.Channels))
	}
	if e.Language != nil {
		same("language", *e.Language, got.Language)
	}
	if e.Contact != nil {
		same("contact", *e.Contact, got.Contact)
	}
	if e.Purpose != "" {
		same("purpose", e.Purpose, string(got.Purpose))
	}
	if e.Program != nil {
		same("program", *e.Program, got.Program)
	}
	if e.Template != "" {
		same("template", e.Template, got.Template)
	}
	if e.QuietHours != "" {
		same("quiet_hours", e.QuietHours, string(got.QuietHours))
	}
	for name, have := range got.Place.parts() {
		if want, asked := e.Place[name]; asked {
			same("place."+name, want, *have)
		}
	}
	t.compareVars(e, got)
	t.compareText(e, got)
}

func (t *testRun) compareVars(e Expectation, got Draft) {
	for _, name := range slices.Sorted(maps.Keys(e.Vars)) {
		have, ok := got.Vars[name]
		if !ok {
			t.fail(e.Line, "rule %q has no variable %q%s", e.Rule, name,
				didYouMean(name, slices.Collect(maps.Keys(got.Vars))))
			continue
		}
		if !sameValue(e.Vars[name], have) {
			t.fail(e.Line, "variable %q of rule %q%s", name, e.Rule, differs(orNull(e.Vars[name]), shown(have)))
		}
	}
}

func (t *testRun) compareText(e Expectation, got Draft) {
	if len(e.Text) == 0 {
		return
	}
	if t.tools.Render == nil {
		t.fail(e.Line, "rule %q: the text cannot be checked without the templates", e.Rule)
		return
	}
	content, err := t.tools.Render(got.Template, got.Language, got.Vars)
	if err != nil {
		t.fail(e.Line, "template %q of rule %q cannot be rendered: %v", got.Template, e.Rule, err)
		return
	}
	texts := map[message.Channel]string{}
	if content.SMS != nil {
		texts[message.SMS] = content.SMS.Text
	}
	if content.WhatsApp != nil {
		texts[message.WhatsApp] = content.WhatsApp.Text
	}
	for _, channel := range slices.Sorted(maps.Keys(e.Text)) {
		if e.Text[channel] != texts[channel] {
			t.fail(e.Line, "%s text of rule %q%s", channel, e.Rule, differs(e.Text[channel], texts[channel]))
		}
	}
}

// sameValue compares a variable with what the test file has: numbers by value, so that 120000 is 120000.0.
func sameValue(want *string, have any) bool {
	if want == nil || have == nil {
		return want == nil && have == nil
	}
	if *want == shown(have) {
		return true
	}
	if _, isText := have.(string); isText {
		return false
	}
	a, errA := strconv.ParseFloat(*want, 64)
	b, errB := strconv.ParseFloat(shown(have), 64)
	return errA == nil && errB == nil && a == b
}

func shown(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(value)
}

func orNull(text *string) string {
	if text == nil {
		return "null"
	}
	return *text
}

func describe(r Result) string {
	if r.Error != "" {
		return string(r.Verdict) + " (" + r.Error + ")"
	}
	return string(r.Verdict)
}

func differs(want, got string) string { return "\n    want: " + want + "\n    got:  " + got }

func joinChannels(channels []message.Channel) string {
	words := make([]string, len(channels))
	for i, c := range channels {
		words[i] = string(c)
	}
	return strings.Join(words, ", ")
}
