package rule_test

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/router/rule"
)

const mappings = `
consent:
  - name: opt-out-field
    object: Thing
    address: "[record.Mobile, record.Phone]"
    channels: [sms]
    program: acme/news
    opt_out: record.Out == "true" && changed("Out")
    opt_in_again: record.Out == "false" && previous.Out == "true"
    opt_in: record.In == "true" && changed("In")
    evidence: record.Source
`

func TestConsentMapping(t *testing.T) {
	t.Parallel()
	set := load(t, mappings)
	require.Empty(t, set.Warnings())
	require.Equal(t, []string{"opt-out-field"}, set.Mappings("thing"))
	received := input().Received
	for name, c := range map[string]struct {
		in      rule.Input
		verdict rule.Verdict
		action  consent.Action
		at      time.Time
		outcome notification.Outcome
	}{
		"opted out": {
			previously(input("Out", "true", "Phone", "1", "Mobile", "1", "SystemModstamp", "2026-03-04T05:00:00.000Z")),
			rule.VerdictMatched, consent.OptOut, received.Add(-6*time.Minute - 7*time.Second), notification.Matched,
		},
		"opted out since long": {previously(input("Out", "true", "Phone", "1"), "Out", "true"), rule.VerdictNotMatched, "", received, notification.NoMatch},
		"taken back":           {previously(input("Out", "false", "Phone", "1"), "Out", "true"), rule.VerdictMatched, consent.ReOptIn, received, notification.Matched},
		"never opted out":      {input("Out", "false", "Phone", "1"), rule.VerdictNotMatched, "", received, notification.NoMatch},
		"opted in": {
			previously(input("In", "true", "Phone", "1", "LastModifiedDate", "2027-03-04T05:00:00.000Z"), "In", "false"),
			rule.VerdictMatched, consent.OptIn, received, notification.Matched,
		},
		"opted in, nobody knows when": {
			input("In", "true", "Phone", "1", "SystemModstamp", "2026-03-04T05:00:00.000Z"),
			rule.VerdictMatched, consent.OptIn, time.Unix(0, 0).UTC(), notification.Matched,
		},
		"opted in, at the earliest when the record was created": {
			input("In", "true", "Phone", "1", "CreatedDate", "2026-03-01T00:00:00.000Z", "SystemModstamp", "2026-03-04T05:00:00.000Z"),
			rule.VerdictMatched, consent.OptIn, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), notification.Matched,
		},
		"opted in, in a field that was not sent before": {
			previously(input("In", "true", "Phone", "1", "SystemModstamp", "2026-03-04T05:00:00.000Z"), "Phone", "1"),
			rule.VerdictMatched, consent.OptIn, time.Unix(0, 0).UTC(), notification.Matched,
		},
		"opted out, at the first sight": {input("Out", "true", "Phone", "1"), rule.VerdictMatched, consent.OptOut, received, notification.Matched},
		"both at once":                  {input("In", "true", "Out", "true", "Phone", "1"), rule.VerdictMatched, consent.OptOut, received, notification.Matched},
		"nobody to say it of":           {input("In", "true"), rule.VerdictNoRecipient, "", received, notification.Matched},
	} {
		d := rule.Decide(set, c.in)
		require.Len(t, d.Results, 1, name)
		require.Equal(t, c.verdict, d.Results[0].Verdict, "%s: %+v", name, d)
		require.Equal(t, c.outcome, d.Outcome, name)
		if c.action == "" {
			require.Nil(t, d.Results[0].Consent, name)
			continue
		}
		require.Equal(t, &rule.Word{
			Mapping: "opt-out-field", Action: c.action, To: []string{"1"}, Channels: []message.Channel{message.SMS}, Program: "acme/news", At: c.at,
		}, d.Results[0].Consent, name)
	}
}

func TestConsentMappingTime(t *testing.T) {
	t.Parallel()
	set := load(t, `
consent:
  - {name: log, object: Thing, address: record.Phone, opt_in: record.Kind == "in", at: record.When}
`)
	require.Empty(t, set.Warnings(), "it says when")
	for text, want := range map[string]string{"2026-01-02": "2026-01-02T00:00:00Z", "2026-01-02T03:04:05.000Z": "2026-01-02T03:04:05Z", "2030-01-01": "2026-03-04T05:06:07Z"} {
		d := rule.Decide(set, input("Kind", "in", "Phone", "1", "When", text))
		require.Equal(t, want, d.Results[0].Consent.At.Format(time.RFC3339), text)
	}
	for _, text := range []string{"soon", ""} {
		d := rule.Decide(set, input("Kind", "in", "Phone", "1", "When", text))
		require.Equal(t, rule.VerdictError, d.Results[0].Verdict, text)
		require.NotContains(t, d.Results[0].Error, "soon")
	}
}

// What the person wants is clear: that nobody can tell when it was said, or by what, does not keep an opt-out from counting.
func TestAnOptOutCountsWithoutItsTime(t *testing.T) {
	t.Parallel()
	set := load(t, `
consent:
  - {name: log, object: Thing, address: record.Phone, opt_out: record.Kind == "out", opt_in: int(record.Name) > 0, at: record.When,
     evidence: 'record.Name.split("-")[1]'}
`)
	for text, want := range map[string]string{
		"": "2026-03-04T05:00:00Z", "soon": "2026-03-04T05:00:00Z", "2026-03-02": "2026-03-02T23:59:59Z", "2026-03-04": "2026-03-04T05:06:07Z",
		"2026-03-02T03:04:05.000Z": "2026-03-02T03:04:05Z",
	} {
		d := rule.Decide(set, input("Kind", "out", "Phone", "1", "When", text, "Name", "x", "SystemModstamp", "2026-03-04T05:00:00.000Z"))
		require.Equal(t, rule.VerdictMatched, d.Results[0].Verdict, text)
		require.Equal(t, want, d.Results[0].Consent.At.Format(time.RFC3339), text)
	}
}

// A record that says both is read as the person who wants less.
func TestAnOptOutCountsBesideAnOptIn(t *testing.T) {
	t.Parallel()
	set := load(t, `
consent:
  - {name: log, object: Thing, address: record.Phone, opt_out: record.Out == "true", opt_in: record.In == "true", confirm: record.Sure == "true"}
`)
	d := rule.Decide(set, input("Out", "true", "In", "true", "Sure", "true", "Phone", "1"))
	require.Equal(t, rule.VerdictMatched, d.Results[0].Verdict)
	require.Equal(t, consent.OptOut, d.Results[0].Consent.Action)
	d = rule.Decide(set, input("Out", "false", "In", "true", "Sure", "true", "Phone", "1"))
	require.Equal(t, rule.VerdictError, d.Results[0].Verdict)
	require.Contains(t, d.Results[0].Error, "true at once")
}

func TestConsentMistakes(t *testing.T) {
	t.Parallel()
	_, err := rule.Load(fstest.MapFS{"c.yaml": {Data: []byte(`
consent:
  - {name: a, object: Thing, address: record.Phone}
  - {name: a, object: Thing, opt_in: "1", program: Big, chanels: [sms]}
`)}}, rule.Options{})
	for _, want := range []string{
		"c.yaml:3:5: the item of consent says nothing", `c.yaml:4:5: the item of consent has no "address"`, `rule name "a" is used already`,
		"opt_in gives int, but must give true or false", `program "Big"`, `unknown key "chanels"`,
	} {
		require.ErrorContains(t, err, want)
	}
	set := load(t, "consent:\n- {name: a, object: Thing, address: record.P, opt_out: record.Out == 'true'}")
	require.Len(t, set.Warnings(), 1)
	require.Contains(t, set.Warnings()[0].Message, "each time that the record is sent")
	set = load(t, "consent:\n- {name: a, object: Thing, address: record.P, opt_in: record.In == 'true'}")
	said := rule.Decide(set, previously(input("In", "true", "P", "1", "SystemModstamp", "2026-03-04T05:00:00.000Z"), "In", "true"))
	require.Equal(t, time.Unix(0, 0).UTC(), said.Results[0].Consent.At, "a box that is ticked is no news at each change of its record")
}

func TestConsentIsTested(t *testing.T) {
	t.Parallel()
	set := load(t, mappings)
	tests, err := rule.LoadTests(fstest.MapFS{"a_test.yaml": {Data: []byte(`
tests:
  - name: right
    notification: {object: Thing, record: {Out: "true", Phone: "1"}}
    expect:
      - {rule: opt-out-field, action: opt_out, to: "1", channels: [sms], program: acme/news, at: 2026-01-15T12:00:00Z}
  - name: wrong
    notification: {object: Thing, record: {Out: "true", Phone: "1"}}
    expect:
      - {rule: opt-out-field, action: opt_in, to: "2", channels: [whatsapp], program: null, at: 2026-01-15T13:00:00Z, purpose: marketing}
  - name: not expected
    notification: {object: Thing, record: {Out: "true", Phone: "1"}}
    expect: []
`)}})
	require.NoError(t, err)
	results := rule.RunTests(set, tests, rule.Tools{})
	require.True(t, results[0].Passed(), "%v", results[0].Failures)
	require.Len(t, results[1].Failures, 6)
	require.Len(t, results[2].Failures, 1)
}
