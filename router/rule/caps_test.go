package rule_test

import (
	"errors"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/router/rule"
)

func TestCaps(t *testing.T) {
	t.Parallel()
	set, err := rule.Load(fstest.MapFS{
		"a.yaml": {Data: []byte(placed)},
		"caps.yaml": {Data: []byte(`caps:
  - {name: marketing-per-person, scope: person, purpose: marketing, messages: 3, per: 24h, exceed: suppress}
  - {name: budget, scope: all, messages: 1000, segments: 2500, per: 1h}
  - {name: this-rule, scope: rule, rule: a-rule, sender: default, segments: 10, per: 1m, exceed: defer}
`)},
	}, rule.Options{})
	require.NoError(t, err)
	marketing := message.Cap{Name: "marketing-per-person", Scope: message.PerPerson, Purpose: message.Marketing, Messages: 3, Per: 24 * time.Hour, Suppress: true}
	budget := message.Cap{Name: "budget", Scope: message.PerAll, Messages: 1000, Segments: 2500, Per: time.Hour}
	one := message.Cap{Name: "this-rule", Scope: message.PerRule, Rule: "a-rule", Sender: "default", Segments: 10, Per: time.Minute}
	require.Equal(t, []message.Cap{marketing, budget, one}, set.Caps())
	require.Equal(t, []message.Cap{budget, one}, set.CapsOf(&rule.Draft{Rule: "a-rule", Sender: "default", Purpose: message.Transactional}))
	require.Equal(t, []message.Cap{marketing, budget}, set.CapsOf(&rule.Draft{Rule: "b-rule", Sender: "default", Purpose: message.Marketing}))
	program := message.Cap{Name: "n", Scope: message.PerAll, Program: "acme/news", Messages: 1, Per: time.Hour}
	require.True(t, program.About(&message.Message{Program: "acme/news"}))
	require.False(t, program.About(&message.Message{Program: "news"}))
	require.Equal(t, "1000 messages and 2500 segments in 1h", budget.Bound())
	none := load(t, placed)
	require.Nil(t, none.CapsOf(&rule.Draft{Rule: "a-rule"}))
}

func TestMistakesInCaps(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{scope: all, messages: 1, per: 1h}":                                "a.yaml:9:5: the cap has no \"name\"",
		"{name: a, scope: all, per: 1h}":                                    "the cap bounds nothing",
		"{name: a, scope: al, messages: 1, per: 1h}":                        `scope is "al"`,
		"{name: a, scope: all, messages: 0, per: 1h}":                       "messages must be a whole number from 1 on",
		"{name: a, scope: all, segments: many, per: 1h}":                    "segments must be a whole number from 1 on",
		"{name: a, scope: all, messages: 1, per: 10ms}":                     "shorter than 1s",
		"{name: a, scope: all, messages: 1, per: day}":                      "not a duration",
		"{name: A b, scope: all, messages: 1, per: 1h}":                     "must be kebab-case",
		"{name: a, scope: rule, rule: a-rul, messages: 1, per: 1h}":         `rule "a-rul", which does not exist; did you mean "a-rule"?`,
		"{name: a, scope: all, messages: 1, per: 1h, exceed: drop}":         `exceed is "drop"`,
		"{name: a, scope: all, messages: 1, per: 1h, limit: 1}":             `unknown key "limit" in a cap`,
		"{name: a, scope: all, sender: nobody, messages: 1, per: 1h}":       `sender "nobody" is not configured`,
		"{name: a, scope: all, program: A b, messages: 1, per: 1h}":         `program "A b" must be a name in kebab-case`,
		"{name: twice, scope: all, messages: 1, per: 1h}":                   `cap name "twice" is used already`,
		"{name: a, scope: all, purpose: advertising, messages: 1, per: 1h}": `purpose is "advertising"`,
	} {
		data := placed + "caps:\n  - " + text + "\n  - {name: twice, scope: all, messages: 1, per: 1h}\n"
		_, err := rule.Load(fstest.MapFS{"a.yaml": {Data: []byte(data)}}, rule.Options{Senders: []string{}})
		require.ErrorContains(t, err, want, text)
	}
}

// One mistake is told once: what is no duration is not called too short besides.
func TestABadSpanIsOneMistake(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"caps: [{name: a, scope: all, messages: 1, per: 1d}]\n", "caps: [{name: a, scope: all, messages: 1, per: 20000h}]\n",
		"    breaker: {above: 10x, per: 1d, at_least: 5}\n", "    opt_out_breaker: {above: 3%, per: -1h, at_least: 5}\n",
	} {
		_, err := rule.Load(fstest.MapFS{"a.yaml": {Data: []byte(placed + text)}}, rule.Options{})
		wrong, ok := errors.AsType[*rule.LoadError](err)
		require.True(t, ok, text)
		require.Len(t, wrong.Problems, 1, text)
	}
}
