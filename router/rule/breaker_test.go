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
		"{above: 10x, per: 10m}":                 `the breaker has no "at_least"`,
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
