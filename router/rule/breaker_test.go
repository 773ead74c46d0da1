package rule_test

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/router/rule"
)

func TestBreaker(t *testing.T) {
	t.Parallel()
	r := load(t, placed+"    breaker: {above: 10x, per: 10m, at_least: 50}\n").Rules()[0]
	require.Equal(t, &rule.Breaker{Above: 10, Per: 10 * time.Minute, AtLeast: 50}, r.Breaker)
	require.Nil(t, load(t, placed).Rules()[0].Breaker)
	for text, want := range map[string]string{
		"{above: 10x, per: 10m}":                 `a breaker has no "at_least"`,
		"{above: 1x, per: 10m, at_least: 50}":    "above must be a factor greater than 1",
		"{above: NaN, per: 10m, at_least: 50}":   "above must be a factor greater than 1",
		"{above: much, per: 10m, at_least: 50}":  "above must be a factor greater than 1",
		"{above: 10x, per: 10s, at_least: 50}":   "shorter than 1m0s",
		"{above: 10x, per: 10m, at_least: 0}":    "at_least must be a whole number from 1 on",
		"{above: 10x, every: 10m, at_least: 50}": `unknown key "every" in a breaker`,
	} {
		_, err := rule.Load(fstest.MapFS{"r.yaml": {Data: []byte(placed + "    breaker: " + text + "\n")}}, rule.Options{})
		require.ErrorContains(t, err, want, text)
	}
}

func TestOptOutBreaker(t *testing.T) {
	t.Parallel()
	r := load(t, placed+"    opt_out_breaker: {above: 2.5%, per: 24h, at_least: 10}\n").Rules()[0]
	require.Equal(t, &rule.OptOutBreaker{Above: 0.025, Per: 24 * time.Hour, AtLeast: 10}, r.OptOutBreaker)
	require.Nil(t, load(t, placed).Rules()[0].OptOutBreaker)
	for text, want := range map[string]string{
		"{above: 3%, per: 24h}":                `an opt-out breaker has no "at_least"`,
		"{above: 3, per: 24h, at_least: 5}":    "above must be a share of the people reached, such as 3%",
		"{above: 0%, per: 24h, at_least: 5}":   "above must be a share",
		"{above: 100%, per: 24h, at_least: 5}": "above must be a share",
		"{above: NaN%, per: 24h, at_least: 5}": "above must be a share",
		"{above: 3%, per: 10s, at_least: 5}":   "shorter than 1m0s",
		"{above: 3%, per: 721h, at_least: 5}":  "longer than 720h0m0s",
		"{above: 3%, per: 24h, at_least: 0}":   "at_least must be a whole number from 1 on",
		"3%":                                   "an opt-out breaker",
	} {
		_, err := rule.Load(fstest.MapFS{"r.yaml": {Data: []byte(placed + "    opt_out_breaker: " + text + "\n")}}, rule.Options{})
		require.ErrorContains(t, err, want, text)
	}
}
