package rule_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/router/rule"
)

const testedRules = `
rules:
  - name: closed-won
    object: Opportunity
    when: record.StageName == "Closed Won" && changed("StageName")
    to: record.Mobile
    language: record.Language
    channels: [whatsapp, sms]
    template: welcome
    vars: {first_name: record.First, amount: double(record.Amount)}
  - name: fragile
    object: Opportunity
    when: record.Name > "zz"
    to: record.Mobile
    channels: [sms]
    template: welcome
`

// render stands in for the templates.
func render(template, language string, vars map[string]any) (message.Content, error) {
	name, ok := vars["first_name"].(string)
	if !ok {
		return message.Content{}, errors.New("first_name is missing")
	}
	return message.Content{SMS: &message.SMSContent{Text: template + "/" + language + "/" + name}}, nil
}

func play(t *testing.T, render rule.Render, tests string) []rule.TestResult {
	t.Helper()
	fsys := fstest.MapFS{"a.yaml": {Data: []byte(testedRules)}, "a_test.yaml": {Data: []byte(tests)}}
	set, err := rule.Load(fsys, rule.Options{})
	require.NoError(t, err)
	list, err := rule.LoadTests(fsys)
	require.NoError(t, err)
	return rule.RunTests(set, list, rule.Tools{Render: render})
}

func TestRunTestsPass(t *testing.T) {
	t.Parallel()
	results := play(t, render, `
tests:
  - name: everything that can be demanded
    notification:
      object: Opportunity
      id: 04l000000000009AAA
      org: 00D000000000009
      received_at: 2026-05-04T03:02:01Z
      record: {Id: 006000000000001AAA, StageName: Closed Won, Mobile: "+14155550123", Language: es, First: Ana, Amount: 120000.0, Name: a}
    previous: {StageName: Negotiation, Gone: null}
    known: [StageName, Language]
    expect:
      - rule: closed-won
        to: ["+14155550123"]
        channels: [whatsapp, sms]
        language: es
        contact: null
        purpose: transactional
        template: welcome
        vars: {first_name: Ana, amount: 120000}
        text: {sms: welcome/es/Ana}
  - name: no recipient, and the other fails
    notification: {object: Opportunity, record: {StageName: Closed Won, Amount: 1}}
    expect:
      - {rule: closed-won, no_recipient: true}
      - {rule: fragile, error: no such overload}
  - name: nothing
    notification: {object: Opportunity, record: {StageName: Closed Won, Name: a}}
    previous: {StageName: Closed Won}
    expect: []
  - name: nulls are nulls
    notification: {object: Opportunity, record: {StageName: ~, Name: a}}
    previous: {}
    expect: []
`)
	require.Len(t, results, 4)
	for _, r := range results {
		require.True(t, r.Passed(), "%s: %v", r.Name, r.Failures)
	}
	require.Equal(t, "a_test.yaml", results[1].File)
	require.Equal(t, "no recipient, and the other fails", results[1].Name)
	require.Len(t, results[1].Decision.Results, 2)
}

func TestRunTestsFail(t *testing.T) {
	t.Parallel()
	const record = "    notification: {object: Opportunity, record: {StageName: Closed Won, Mobile: \"1\", Language: es, First: Ana, Amount: 7, Name: a}}\n"
	for _, tc := range []struct {
		name, test, want string
		render           rule.Render
	}{
		{
			name: "matches and must not", test: record + "    expect: []",
			want: "a_test.yaml:2: rule \"closed-won\" must not match\n    want: not_matched\n    got:  matched",
		},
		{
			name: "does not match and must", test: record + "    expect: [{rule: closed-won}, {rule: fragile}]",
			want: "a_test.yaml:4: rule \"fragile\"\n    want: matched\n    got:  not_matched",
		},
		{
			name: "fails and must match", want: "want: matched\n    got:  error (when: no such overload",
			test: "    notification: {object: Opportunity, record: {X: 1}}\n    expect: [{rule: fragile}]",
		},
		{
			name: "fails and is not expected", want: "rule \"fragile\" must not match\n    want: not_matched\n    got:  error (when: no such overload",
			test: "    notification: {object: Opportunity, record: {X: 1}}\n    expect: []",
		},
		{
			name: "unknown rule", test: record + "    expect: [{rule: closed-won}, {rule: closedwon}]",
			want: `there is no rule "closedwon" for object Opportunity; did you mean "closed-won"?`,
		},
		{
			name: "unknown object", test: "    notification: {object: Opportunityy, record: {X: 1}}\n    expect: []",
			want: `no rule is for object "Opportunityy", so this test shows nothing`,
		},
		{
			name: "wrong recipient", test: record + "    expect: [{rule: closed-won, to: [\"2\"]}]",
			want: "to of rule \"closed-won\"\n    want: 2\n    got:  1",
		},
		{
			name: "wrong channels", test: record + "    expect: [{rule: closed-won, channels: [sms, whatsapp]}]",
			want: "want: sms, whatsapp\n    got:  whatsapp, sms",
		},
		{
			name: "wrong language", test: record + "    expect: [{rule: closed-won, language: \"\"}]",
			want: "language of rule \"closed-won\"\n    want: \n    got:  es",
		},
		{
			name: "wrong variable", test: record + "    expect: [{rule: closed-won, vars: {first_name: Bob, amount: null}}]",
			want: "variable \"amount\" of rule \"closed-won\"\n    want: null\n    got:  7",
		},
		{
			name: "unknown variable", test: record + "    expect: [{rule: closed-won, vars: {firstname: Ana}}]",
			want: `rule "closed-won" has no variable "firstname"; did you mean "first_name"?`,
		},
		{
			name: "wrong text", test: record + "    expect: [{rule: closed-won, text: {sms: Hi}}]", render: render,
			want: "sms text of rule \"closed-won\"\n    want: Hi\n    got:  welcome/es/Ana",
		},
		{
			name: "text without templates", test: record + "    expect: [{rule: closed-won, text: {sms: Hi}}]",
			want: "cannot be checked without the templates",
		},
		{
			name: "expected error has another text", want: "error of rule \"fragile\"\n    want: division by zero\n    got:  when: no such",
			test: "    notification: {object: Opportunity, record: {X: 1}}\n    expect: [{rule: fragile, error: division by zero}]",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			results := play(t, tc.render, "tests:\n  - name: a\n"+tc.test+"\n")
			require.Len(t, results, 1)
			require.False(t, results[0].Passed())
			var all []string
			for _, f := range results[0].Failures {
				all = append(all, f.String())
			}
			require.Contains(t, strings.Join(all, "\n"), tc.want)
		})
	}
}
