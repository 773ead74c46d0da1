package rule_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/router/rule"
)

const placed = `rules:
  - name: a-rule
    object: Contact
    when: 'true'
    to: record.Mobile
    channels: [sms]
    template: t
`

func TestPlaceOfADraft(t *testing.T) {
	t.Parallel()
	set := load(t, placed+`    quiet_hours: respect
    place: {country: record.Country, state: 'record.State', postal_code: record.Zip, time_zone: '"Europe/Berlin"'}
`)
	require.Equal(t, []string{"Country", "Mobile", "State", "Zip"}, set.Rules()[0].RecordFields)
	in := rule.Input{Object: "Contact", Notification: notification.Notification{Fields: []notification.Field{
		{Name: "Mobile", Value: "+14155550123"}, {Name: "Country", Value: " USA "}, {Name: "State", Null: true},
	}}}
	draft := rule.Decide(set, in).Results[0].Messages[0]
	require.Equal(t, rule.QuietHoursRespect, draft.QuietHours)
	require.Equal(t, rule.Place{TimeZone: "Europe/Berlin", Country: "USA"}, draft.Place)
}

func TestQuietHoursAtLoad(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, problem, warning string }{
		"a window that is there":    {"    quiet_hours: late\n", "", ""},
		"a window that is misspelt": {"    quiet_hours: lat\n", `window "lat", which is in no table; did you mean "late"?`, ""},
		"marketing and ignore":      {"    purpose: marketing\n    quiet_hours: ignore\n", "", "marketing always respects"},
		"a place for nothing":       {"    place: {state: record.S}\n", "", "place does nothing"},
		"an empty place":            {"    quiet_hours: late\n    place: {}\n", "place is empty", ""},
		"an unknown part":           {"    quiet_hours: late\n    place: {city: record.S}\n", `unknown key "city" in place`, ""},
		"a part of another type":    {"    quiet_hours: late\n    place: {state: '1'}\n", "place.state gives int", ""},
	} {
		set, err := rule.Load(fstest.MapFS{"rules.yaml": {Data: []byte(placed + c.text)}}, rule.Options{Windows: []string{"late"}})
		if c.problem != "" {
			require.ErrorContains(t, err, c.problem, name)
			continue
		}
		require.NoError(t, err, name)
		var warnings []string
		for _, w := range set.Warnings() {
			warnings = append(warnings, w.Message)
		}
		require.Contains(t, strings.Join(warnings, "\n"), c.warning, name)
		require.Equal(t, c.warning == "", len(warnings) == 0, name)
	}
}

func TestExpectedPlace(t *testing.T) {
	t.Parallel()
	set := load(t, placed+"    quiet_hours: late\n    place: {state: record.S}\n")
	run := func(expect string) rule.TestResult {
		tests, err := rule.LoadTests(fstest.MapFS{"a_test.yaml": {Data: []byte(
			"tests:\n  - name: x\n    notification: {object: Contact, record: {Mobile: '1', S: FL}}\n    expect: [{rule: a-rule, " + expect + "}]\n")}})
		require.NoError(t, err)
		return rule.RunTests(set, tests, rule.Tools{})[0]
	}
	require.True(t, run("quiet_hours: late, place: {state: FL, country: null}").Passed())
	failed := run("quiet_hours: respect, place: {state: GA, country: US}")
	require.Len(t, failed.Failures, 3)
	require.Contains(t, failed.Failures[0].Message, "quiet_hours of rule")
	require.Contains(t, failed.Failures[1].Message, "place.country")
}

// When a message may go first, and which caps hold for it.
func TestExpectedOpeningAndCaps(t *testing.T) {
	t.Parallel()
	set := load(t, placed+"    quiet_hours: late\n    delay: 1h\ncaps:\n  - {name: b, scope: all, messages: 3, per: 1h}\n"+
		"  - {name: a, scope: person, messages: 3, per: 1h}\n  - {name: other, scope: all, purpose: marketing, messages: 3, per: 1h}\n")
	opens := func(d *rule.Draft, to string, made time.Time) (time.Time, error) {
		if to != "1" {
			return time.Time{}, errors.New("not a valid phone number")
		}
		return made.Add(d.Delay), nil
	}
	run := func(expect, mobile string, tools rule.Tools) string {
		tests, err := rule.LoadTests(fstest.MapFS{"a_test.yaml": {Data: []byte(
			"tests:\n  - name: x\n    notification: {object: Contact, record: {Mobile: '" + mobile + "'}, received_at: 2026-07-03T20:30:00-04:00}\n" +
				"    expect: [{rule: a-rule, " + expect + "}]\n")}})
		require.NoError(t, err)
		var all []string
		for _, f := range rule.RunTests(set, tests, tools)[0].Failures {
			all = append(all, f.Message)
		}
		return strings.Join(all, "\n")
	}
	tools := rule.Tools{Opens: opens}
	require.Empty(t, run("opens: 2026-07-04T01:30:00Z, caps: [a, b]", "1", tools), "the same moment in another zone")
	require.Contains(t, run("opens: 2026-07-04T08:00:00-04:00", "1", tools), "got:  2026-07-03T21:30:00-04:00")
	require.Contains(t, run("opens: 2026-07-04T08:00:00-04:00", "2", tools), "recipient 1: not a valid phone number")
	require.Contains(t, run("opens: 2026-07-04T08:00:00-04:00", "1", rule.Tools{}), "cannot be checked without the hours")
	require.Contains(t, run("caps: []", "1", tools), "got:  a, b")
	require.Contains(t, run("caps: [a, b, other]", "1", tools), "want: a, b, other")
	_, err := rule.LoadTests(fstest.MapFS{"a_test.yaml": {Data: []byte(
		"tests: [{name: x, notification: {object: A, record: {}}, expect: [{rule: a, opens: tomorrow}]}]")}})
	require.ErrorContains(t, err, "opens must be a time")
}
