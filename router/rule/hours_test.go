package rule_test

import (
	"strings"
	"testing"
	"testing/fstest"

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
		return rule.RunTests(set, tests, nil)[0]
	}
	require.True(t, run("quiet_hours: late, place: {state: FL, country: null}").Passed())
	failed := run("quiet_hours: respect, place: {state: GA, country: US}")
	require.Len(t, failed.Failures, 3)
	require.Contains(t, failed.Failures[0].Message, "quiet_hours of rule")
	require.Contains(t, failed.Failures[1].Message, "place.country")
}
