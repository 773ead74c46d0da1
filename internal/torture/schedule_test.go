package torture

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/twiliosim"
)

func TestScheduleIsRepeatable(t *testing.T) {
	t.Parallel()
	m := newChart(3)
	one := schedule(m, 7, 10*time.Minute, Kinds())
	require.Equal(t, one, schedule(newChart(3), 7, 10*time.Minute, Kinds()))
	require.NotEqual(t, one, schedule(m, 8, 10*time.Minute, Kinds()))
}

// A run of twenty minutes does every harm to everything, and nothing is left unhealed.
func TestScheduleReachesEverything(t *testing.T) {
	t.Parallel()
	const length = 20 * time.Minute
	m := newChart(3)
	faults := schedule(m, 1, length, Kinds())
	done := map[card]bool{}
	straddling := map[string]bool{}
	busy := map[string]time.Duration{}
	for _, f := range faults {
		answer, _, _ := strings.Cut(f.Detail, " x")
		if f.Kind != Answers {
			answer = ""
		}
		done[card{f.Kind, f.Target, twiliosim.FaultKind(answer)}] = true
		require.LessOrEqual(t, f.end(), length)
		if f.Kind == Freeze && f.For > lease {
			straddling[f.Target] = true
		}
		for _, name := range touched(m, f.Kind, f.Target) {
			require.GreaterOrEqual(t, f.At, busy[name], "%s: %s suffers one harm at a time", f, name)
			busy[name] = f.end()
		}
	}
	for _, c := range deck(m, Kinds()) {
		require.Truef(t, done[c], "%s of %s %s never happens", c.kind, c.target, c.answer)
	}
	for _, name := range m.processes() {
		require.Truef(t, straddling[name], "%s is never frozen across a lease", name)
	}
}

func TestScheduleKeepsToTheKinds(t *testing.T) {
	t.Parallel()
	faults := schedule(newChart(1), 1, time.Minute, []Kind{Freeze})
	require.NotEmpty(t, faults)
	require.False(t, slices.ContainsFunc(faults, func(f Fault) bool { return f.Kind != Freeze }))
}

func TestChartHasEveryEdge(t *testing.T) {
	t.Parallel()
	m := newChart(3)
	reached := map[string]bool{}
	for _, region := range m.regions() {
		edges := m.matching(region)
		require.NotEmptyf(t, edges, "%s matches nothing", region)
		for _, edge := range edges {
			reached[edge] = true
		}
	}
	for _, edge := range m.edges {
		require.Truef(t, reached[edge], "no region has the edge %s", edge)
	}
	require.Len(t, m.matching("nats-*<>nats-2"), 4)
	for _, edge := range m.matching("[a-mo-z]*>nats-2") {
		require.False(t, strings.HasPrefix(edge, "nats-"), edge)
	}
}
