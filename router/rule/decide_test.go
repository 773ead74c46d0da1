package rule_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/router/rule"
)

// load makes a Set from the text of one rule file.
func load(tb testing.TB, text string, wsdl ...string) *rule.Set {
	tb.Helper()
	fsys := fstest.MapFS{"rules.yaml": {Data: []byte(text)}}
	for i, w := range wsdl {
		fsys[fmt.Sprintf("wsdl/%d.wsdl", i)] = &fstest.MapFile{Data: []byte(w)}
	}
	set, err := rule.Load(fsys, rule.Options{})
	require.NoError(tb, err)
	return set
}

// one makes a Set with one rule for Thing, of a `when` and further lines.
func one(tb testing.TB, when string, more ...string) *rule.Set {
	tb.Helper()
	return load(tb, oneText(when, more...))
}

func oneText(when string, more ...string) string {
	lines := []string{
		"rules:", "- name: r", "  object: Thing", "  when: |", "    " + when, "  channels: [sms]", "  template: t",
	}
	hasTo := false
	for _, l := range more {
		hasTo = hasTo || strings.HasPrefix(l, "to:")
		lines = append(lines, "  "+l)
	}
	if !hasTo {
		lines = append(lines, `  to: '"+14155550123"'`)
	}
	return strings.Join(lines, "\n") + "\n"
}

// input makes an Input of fields given as name, value; the value "<nil>" is xsi:nil.
func input(fields ...string) rule.Input {
	in := rule.Input{
		Org: "00D000000000001", Object: "Thing", Received: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
		Notification: notification.Notification{ID: "04l000000000001AAA", RecordID: "a00000000000001AAA"},
	}
	in.Notification.Fields = append(in.Notification.Fields, notification.Field{Name: "Id", Value: "a00000000000001AAA"})
	for i := 0; i+1 < len(fields); i += 2 {
		f := notification.Field{Name: fields[i], Value: fields[i+1]}
		if f.Value == "<nil>" {
			f.Value, f.Null = "", true
		}
		in.Notification.Fields = append(in.Notification.Fields, f)
	}
	return in
}

func previously(in rule.Input, fields ...string) rule.Input {
	in.Previous = rule.Snapshot{Seen: true, Fields: map[string]string{}}
	for i := 0; i+1 < len(fields); i += 2 {
		in.Previous.Fields[fields[i]] = fields[i+1]
	}
	return in
}

func knowing(in rule.Input, fields ...string) rule.Input {
	in.Known = map[string]struct{}{}
	for _, f := range fields {
		in.Known[f] = struct{}{}
	}
	return in
}

func TestWhen(t *testing.T) {
	t.Parallel()
	const (
		yes  = rule.VerdictMatched
		no   = rule.VerdictNotMatched
		fail = rule.VerdictError
	)
	sent := input("X", "a", "Amount", "120000.0", "N", "<nil>")
	for _, tc := range []struct {
		name, when string
		in         rule.Input
		want       rule.Verdict
	}{
		{"text is equal", `record.X == "a"`, sent, yes},
		{"text is not equal", `record.X == "b"`, sent, no},
		{"index form", `record["X"] == "a"`, sent, yes},
		{"nil is null", `record.N == null`, sent, yes},
		{"absent is null", `record.Nowhere == null`, sent, yes},
		{"null equals no text", `record.N == "a"`, sent, no},
		{"absent equals no text", `record.Nowhere == "a"`, sent, no},
		{"null differs from text", `record.N != "a"`, sent, yes},
		{"null in a list", `record.N in ["a", "b"]`, sent, no},
		{"has of a value", `has(record.X)`, sent, yes},
		{"has of nil", `has(record.N)`, sent, no},
		{"has of absent", `has(record.Nowhere)`, sent, no},
		{"in of a value", `"X" in record`, sent, yes},
		{"in of nil", `"N" in record`, sent, no},
		{"in of absent", `"Nowhere" in record`, sent, no},
		{"case is a courtesy", `record.amount == "120000.0"`, sent, yes},
		{"comparing null fails", `record.N > "a"`, sent, fail},
		{"method of null fails", `record.N.startsWith("a")`, sent, fail},
		{"number from text", `double(record.Amount) > 100000`, sent, yes},
		{"number from bad text fails", `double(record.X) > 1.0`, sent, fail},
		{"text is not a number", `record.Amount > 1000`, sent, fail},
		{"when that gives text fails", `record.X`, sent, fail},
		{"when that gives null fails", `record.N`, sent, fail},
		{"false and an error is false", `record.X == "b" && record.N > "a"`, sent, no},
		{"true or an error is true", `record.X == "a" || record.N > "a"`, sent, yes},
		{"string functions", `record.X.upperAscii() == "A"`, sent, yes},
		{"math functions", `math.greatest(double(record.Amount), 1.0) == 120000.0`, sent, yes},
		{"cost has a limit", `"` + strings.Repeat("a", 200) + `".split("").all(x, "` + strings.Repeat("a", 200) +
			`".split("").all(y, x == y && x.matches("a*")))`, sent, fail},

		{"notification", `notification.id == "04l000000000001AAA" && notification.org == "00D000000000001" && ` +
			`notification.object == "Thing" && notification.received_at == timestamp("2026-03-04T05:06:07Z")`, sent, yes},

		{"previous", `previous.X == "b"`, previously(sent, "X", "b"), yes},
		{"previous null", `previous.X == null`, previously(sent), yes},
		{"previous of an unseen record", `previous.X == null`, sent, yes},
		{"previous has", `has(previous.X) && !has(previous.Y) && "X" in previous`, previously(sent, "X", "b"), yes},
		{"previous finds the case", `previous.x == "b"`, previously(sent, "X", "b"), yes},

		{"changed", `changed("X")`, previously(sent, "X", "b"), yes},
		{"not changed", `changed("X")`, previously(sent, "X", "a"), no},
		{"changed from null", `changed("X")`, previously(sent), yes},
		{"changed to nil", `changed("N")`, previously(sent, "N", "b"), yes},
		{"null stays null", `changed("N")`, previously(sent), no},
		{"first sight with a value", `changed("X")`, sent, yes},
		{"first sight of nil", `changed("N")`, sent, no},
		{"first sight of absent and known", `changed("K")`, knowing(sent, "K"), no},
		{"absent and known became null", `changed("K")`, knowing(previously(sent, "K", "b"), "K"), yes},
		{"absent and known was null", `changed("K")`, knowing(previously(sent), "K"), no},
		{"absent and unknown was not sent", `changed("K")`, previously(sent, "K", "b"), no},
		{"changed finds the case", `changed("x")`, previously(sent, "X", "a"), no},
		{"changed to nil finds the case", `changed("k")`, knowing(previously(sent, "K", "b"), "K"), yes},
		{"changed in a larger expression", `record.X == "a" && changed("X") && previous.X == "b"`, previously(sent, "X", "b"), yes},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := rule.Decide(one(t, tc.when), tc.in)
			require.Len(t, d.Results, 1)
			require.Equal(t, tc.want, d.Results[0].Verdict, "%+v", d.Results[0])
			require.Equal(t, tc.want == fail, d.Results[0].Error != "")
		})
	}
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	set := load(t, `
rules:
  - {name: broken, object: Thing, when: 'record.Name > "a"', to: '"1"', channels: [sms], template: t}
  - {name: hits, object: Thing, when: 'record.X == "a"', to: record.To, channels: [sms], template: t}
  - {name: other, object: Other, when: 'true', to: '"1"', channels: [sms], template: t}
`)
	t.Run("an error stops no other rule", func(t *testing.T) {
		t.Parallel()
		d := rule.Decide(set, input("X", "a", "To", "1"))
		require.Equal(t, notification.Matched, d.Outcome)
		require.Equal(t, rule.VerdictError, d.Results[0].Verdict)
		require.Equal(t, rule.VerdictMatched, d.Results[1].Verdict)
		require.Len(t, d.Results, 2)
		require.Equal(t, set.Version(), d.RuleSet)
	})
	t.Run("an error and no match is a rule error", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, notification.RuleError, rule.Decide(set, input("X", "b")).Outcome)
	})
	t.Run("a match without recipient is a match", func(t *testing.T) {
		t.Parallel()
		d := rule.Decide(set, input("X", "a"))
		require.Equal(t, notification.Matched, d.Outcome)
		require.Equal(t, rule.VerdictNoRecipient, d.Results[1].Verdict)
		require.Empty(t, d.Results[1].Messages)
	})
	t.Run("nothing fits", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, notification.NoMatch, rule.Decide(set, input("X", "b", "Name", "A")).Outcome)
	})
	t.Run("no rule for the object", func(t *testing.T) {
		t.Parallel()
		in := input("X", "a")
		in.Object = "Nothing"
		d := rule.Decide(set, in)
		require.Equal(t, notification.NoMatch, d.Outcome)
		require.Empty(t, d.Results)
	})
	t.Run("the object's case does not matter", func(t *testing.T) {
		t.Parallel()
		in := input()
		in.Object = "OTHER"
		require.Equal(t, notification.Matched, rule.Decide(set, in).Outcome)
		require.Len(t, set.ForObject("oTHER"), 1)
	})
	t.Run("a deleted record matches nothing", func(t *testing.T) {
		t.Parallel()
		in := input()
		in.Object, in.Notification.Fields = "Other", nil
		d := rule.Decide(set, in)
		require.True(t, d.Deleted)
		require.Equal(t, notification.NoMatch, d.Outcome)
		require.Empty(t, d.Results)
	})
	t.Run("the nil set", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, notification.NoMatch, rule.Decide(nil, input()).Outcome)
	})
}

func TestTo(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, to string
		want     []string
		verdict  rule.Verdict
	}{
		{"text", `record.A`, []string{"1"}, rule.VerdictMatched},
		{"text is trimmed", `"  1 "`, []string{"1"}, rule.VerdictMatched},
		{"list keeps its order, once each", `["2", record.A, " 2", "", record.None, "1"]`, []string{"2", "1"}, rule.VerdictMatched},
		{"null", `null`, nil, rule.VerdictNoRecipient},
		{"absent", `record.None`, nil, rule.VerdictNoRecipient},
		{"blank", `"  "`, nil, rule.VerdictNoRecipient},
		{"empty list", `[]`, nil, rule.VerdictNoRecipient},
		{"list of null", `[record.None]`, nil, rule.VerdictNoRecipient},
		{"split", `record.List.split(";")`, []string{"5", "6"}, rule.VerdictMatched},
		{"a number", `dyn(5)`, nil, rule.VerdictError},
		{"a number in a list", `[dyn("1"), dyn(5)]`, nil, rule.VerdictError},
		{"fails", `record.None + "x"`, nil, rule.VerdictError},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := rule.Decide(one(t, "true", "to: '"+tc.to+"'"), input("A", "1", "List", "5; 6 ;5"))
			require.Equal(t, tc.verdict, d.Results[0].Verdict, d.Results[0].Error)
			if tc.verdict == rule.VerdictMatched {
				require.Equal(t, tc.want, d.Results[0].Messages[0].To)
			}
		})
	}
}

func TestDraft(t *testing.T) {
	t.Parallel()
	set := one(t, "true", `to: record.A`, `contact: record.C`, `language: record.L`, `once: record`, `delay: 1h30m`,
		`purpose: marketing`, `quiet_hours: late-shift`, `vars:`, `  text: record.A`, `  number: double(record.N)`,
		`  whole: int("7")`, `  yes: 1 < 2`, `  none: record.None`, `  at: notification.received_at`,
		`  long: duration("90s")`)
	d := rule.Decide(set, input("A", "1", "C", "003000000000001AAA", "L", " es ", "N", "1.0E7"))
	require.Equal(t, rule.Draft{
		Sender: "default", Program: "default",
		Rule: "r", To: []string{"1"}, Contact: "003000000000001AAA", Language: "es", Channels: []message.Channel{"sms"},
		Template: "t", Purpose: message.Marketing, QuietHours: "late-shift", Once: rule.OncePerRecord,
		Delay: 90 * time.Minute, ExpiresAfter: 4 * time.Hour,
		Vars: map[string]any{
			"text": "1", "number": 1e7, "whole": int64(7), "yes": true, "none": nil, "at": "2026-03-04T05:06:07Z",
			"long": "1m30s",
		},
	}, d.Results[0].Messages[0])

	text, err := json.Marshal(d)
	require.NoError(t, err)
	require.Contains(t, string(text), `"outcome":"matched"`)
	require.Contains(t, string(text), `"quiet_hours":"late-shift"`)
}

func TestErrorInAnyKeyIsAnErrorOfTheRule(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"to", "contact", "language"} {
		d := rule.Decide(one(t, "true", key+`: record.None + "x"`), input())
		require.Equal(t, rule.VerdictError, d.Results[0].Verdict, key)
		require.True(t, strings.HasPrefix(d.Results[0].Error, key+": "), d.Results[0].Error)
	}
	d := rule.Decide(one(t, "true", "vars:", `  v: int(record.None)`), input())
	require.True(t, strings.HasPrefix(d.Results[0].Error, "vars.v: "), d.Results[0].Error)
}

func TestErrorsCarryNoValues(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t"
	for _, when := range []string{
		`double(record.X) > 1.0`, `int(record.X) > 1`, `uint(record.X) > 1u`, `bool(record.X)`, `timestamp(record.X) > notification.received_at`,
		`duration(record.X) > duration("1s")`, `record.X > size("a")`, `record.X.matches(record.X + "(")`, `{"a": true}[record.X]`,
		`record.X[0] == "a"`, `record.X.substring(100) == "a"`, `record.X.charAt(50) == "a"`, `[true][size(record.X)]`,
		`record.X.Sub == "a"`, `1 / (size(record.X) - 6) == 1`, `timestamp(record.X).getFullYear("x/y") == 1`,
		`notification.received_at.getHours(record.X) == 1`,
	} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			d := rule.Decide(one(t, when), input("X", secret))
			require.Equal(t, rule.VerdictError, d.Results[0].Verdict)
			require.NotContains(t, d.Results[0].Error, secret)
			require.NotEqual(t, "when: ", d.Results[0].Error)
			t.Log(d.Results[0].Error)
		})
	}
}

func TestPreviousUsed(t *testing.T) {
	t.Parallel()
	set := one(t, `record.X == "a" && changed("X") && previous.Y == null && (previous.Z == "z" || previous.W == "w")`)
	require.Equal(t, []string{"W", "X", "Y", "Z"}, set.Rules()[0].PreviousFields)
	require.Equal(t, []string{"X"}, set.Rules()[0].RecordFields)

	d := rule.Decide(set, previously(input("X", "a"), "X", "b", "Z", "z", "V", "v"))
	b, z := "b", "z"
	require.Equal(t, map[string]*string{"X": &b, "Y": nil, "Z": &z}, d.PreviousUsed, "W was never looked at")
	require.True(t, d.PreviousSeen)

	in := previously(input("X", "a"), "X", "b")
	in.Previous.Seen = false
	require.Equal(t, map[string]*string{"X": nil, "Y": nil, "Z": nil, "W": nil}, rule.Decide(set, in).PreviousUsed,
		"what was never seen has no values")

	d = rule.Decide(set, input("X", "c"))
	require.Empty(t, d.PreviousUsed)
	require.False(t, d.PreviousSeen)
}

func TestDecideLeavesItsInputAlone(t *testing.T) {
	t.Parallel()
	set := one(t, `changed("X") && previous.Y == null`)
	in := knowing(previously(input("X", "a"), "X", "b"), "Y")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() { // the race detector watches
			rule.Decide(set, in)
			set.NextSnapshot(in)
		})
	}
	group.Wait()
	require.Equal(t, knowing(previously(input("X", "a"), "X", "b"), "Y"), in)
}

func TestNextSnapshot(t *testing.T) {
	t.Parallel()
	const early, late = "2018-05-04T11:35:40.000Z", "2018-05-04T11:35:41.000Z"
	for _, tc := range []struct {
		name  string
		in    rule.Input
		want  map[string]string
		moved bool
	}{
		{"first sight", input("X", "a", "N", "<nil>"), map[string]string{"X": "a"}, true},
		{
			"sent overwrites, nil removes, unsent stays", previously(input("X", "a", "N", "<nil>"), "X", "b", "N", "c", "O", "d"),
			map[string]string{"X": "a", "O": "d"},
			true,
		},
		{"absent and known removes", knowing(previously(input(), "K", "b", "O", "d"), "K"), map[string]string{"O": "d"}, true},
		{
			"older does not move", previously(input("SystemModstamp", early, "X", "a"), "SystemModstamp", late, "X", "b"),
			map[string]string{"SystemModstamp": late, "X": "b"},
			false,
		},
		{
			"as old moves", previously(input("LastModifiedDate", late, "X", "a"), "LastModifiedDate", late, "X", "b"),
			map[string]string{"LastModifiedDate": late, "X": "a"},
			true,
		},
		{
			"SystemModstamp goes first",
			previously(input("SystemModstamp", late, "LastModifiedDate", early), "SystemModstamp", early, "LastModifiedDate", late),
			map[string]string{"SystemModstamp": late, "LastModifiedDate": early},
			true,
		},
		{
			"LastModifiedDate where only it is in both",
			previously(input("SystemModstamp", late, "LastModifiedDate", early), "LastModifiedDate", late),
			map[string]string{"LastModifiedDate": late},
			false,
		},
		{
			"a time that cannot be read stops nothing",
			previously(input("LastModifiedDate", "yesterday"), "LastModifiedDate", late),
			map[string]string{"LastModifiedDate": "yesterday"},
			true,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var set *rule.Set
			got, moved := set.NextSnapshot(tc.in)
			delete(got, "Id")
			require.Equal(t, tc.moved, moved)
			require.Equal(t, tc.want, got)
		})
	}
	t.Run("deleted does not move", func(t *testing.T) {
		t.Parallel()
		in := knowing(previously(input(), "X", "a"), "X")
		in.Notification.Fields = nil
		got, moved := (*rule.Set)(nil).NextSnapshot(in)
		require.False(t, moved)
		require.Equal(t, map[string]string{"X": "a"}, got)
	})
}
