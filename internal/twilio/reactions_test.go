package twilio_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/twilio"
)

func TestDefaultReactions(t *testing.T) {
	t.Parallel()
	table := twilio.DefaultReactions()
	require.Greater(t, table.Codes(), 60)
	tests := []struct {
		phase  twilio.Phase
		code   int
		status int
		want   twilio.Reaction
	}{
		{twilio.PhaseSend, 21610, 400, twilio.OptOut},
		{twilio.PhaseCallback, 63014, 0, twilio.OptOut},
		{twilio.PhaseSend, 21211, 400, twilio.Permanent},
		{twilio.PhaseSend, 20003, 401, twilio.Alert},
		{twilio.PhaseSend, 20429, 429, twilio.Retry},
		{twilio.PhaseCallback, 30003, 0, twilio.Retry},
		{twilio.PhaseCallback, 30006, 0, twilio.Permanent},
		{twilio.PhaseCallback, 30007, 0, twilio.Content},
		{twilio.PhaseCallback, 63018, 0, twilio.Defer},
		{twilio.PhaseCallback, 63019, 0, twilio.Content},
		{twilio.PhaseSend, 12300, 400, twilio.Content},
		{twilio.PhaseCallback, 63049, 0, twilio.SoftFail},
		// not in the table
		{twilio.PhaseSend, 0, 400, twilio.Content},
		{twilio.PhaseSend, 12345, 404, twilio.Content},
		{twilio.PhaseSend, 0, 429, twilio.Retry},
		{twilio.PhaseSend, 0, 401, twilio.Alert},
		{twilio.PhaseCallback, 12345, 0, twilio.SoftFail},
		{twilio.PhaseCallback, 0, 0, twilio.SoftFail},
		{twilio.PhaseCallback, 21211, 0, twilio.SoftFail},
	}
	for _, test := range tests {
		rule := table.For(test.phase, test.code, test.status)
		require.Equal(t, test.want, rule.Reaction, test)
		require.NotEmpty(t, rule.Meaning)
		if !rule.Known && rule.Reaction != twilio.Retry {
			require.True(t, rule.Alert, "nobody would hear of %v", test)
		}
	}
	landline := table.For(twilio.PhaseCallback, 30006, 0)
	require.True(t, landline.Fallback)
	require.True(t, table.For(twilio.PhaseCallback, 63019, 0).Fallback, "another channel may do without the file")
	require.Equal(t, twilio.StopSender, table.For(twilio.PhaseCallback, 30034, 0).Stop)
	require.Equal(t, 30*time.Minute, table.For(twilio.PhaseCallback, 30003, 0).RetryAfter)
}

func TestLoadReactionsReportsAllProblems(t *testing.T) {
	t.Parallel()
	_, err := twilio.LoadReactions("mine.yaml", []byte(`reactions:
  - {code: 1, phases: [send], reaction: explode, meaning: x}
  - {code: -1, phases: [], reaction: retry, meaning: ""}
  - {code: 2, phases: [sometimes], reaction: retry, meaning: x, surprise: 1}
  - {code: 3, phases: [send], reaction: retry, meaning: x}
  - {code: 3, phases: [send, callback], reaction: reconcile, meaning: x, stop: planet}
  - {code: 4, phases: [send], reaction: opt_out, meaning: x, fallback: true, retries: -1}
  - {code: 5, phases: [send], reaction: defer, meaning: x}
  - {code: 6, phases: [send], reaction: retry, meaning: x, defer: 1h}
  - {code: 7, phases: [send], reaction: defer, meaning: x, defer: next_midnight Atlantis/Main}
  - {code: 8, phases: [send], reaction: defer, meaning: x, defer: soon}
`))
	for _, part := range []string{
		"mine.yaml:2: reaction", "explode", "mine.yaml:3: code must", "phases is missing", "meaning is missing", "mine.yaml:4: ", "surprise",
		"defer is missing", "defer is for", "mine.yaml:10: ", "Atlantis", "mine.yaml:11: ", "soon",
		"code 3 is given twice for phase send", "reconcile", "planet", "no fallback", "negative",
	} {
		require.ErrorContains(t, err, part)
	}
	for _, bad := range []string{"", "reactions: []", "reactions: {}", "other: 1", "reactions: [1]", ":"} {
		_, err := twilio.LoadReactions("mine.yaml", []byte(bad))
		require.Error(t, err, bad)
	}
}

func BenchmarkDefaultReactions(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		twilio.DefaultReactions()
	}
}

// A file of an operator replaces entries by code and phase, and leaves the rest.
func TestReactionsWith(t *testing.T) {
	t.Parallel()
	own, err := twilio.LoadReactions("mine.yaml", []byte(`reactions:
  - {code: 30003, phases: [callback], reaction: soft_fail, meaning: we do not insist}
  - {code: 99999, phases: [send], reaction: permanent, meaning: ours}
`))
	require.NoError(t, err)
	base := twilio.DefaultReactions()
	table := base.With(own)
	require.Equal(t, twilio.SoftFail, table.For(twilio.PhaseCallback, 30003, 0).Reaction)
	require.Equal(t, twilio.Permanent, table.For(twilio.PhaseSend, 99999, 400).Reaction)
	require.Equal(t, twilio.Retry, table.For(twilio.PhaseCallback, 30008, 0).Reaction)
	require.Equal(t, twilio.Retry, base.For(twilio.PhaseCallback, 30003, 0).Reaction, "the shipped table stays")
}

func TestDeferral(t *testing.T) {
	t.Parallel()
	table := twilio.DefaultReactions()
	pacific, err := time.LoadLocation("America/Los_Angeles")
	require.NoError(t, err)
	for _, now := range []time.Time{
		time.Date(2026, 3, 7, 23, 30, 0, 0, pacific), time.Date(2026, 3, 8, 0, 0, 0, 0, pacific), // a day of 23 hours
		time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), time.Date(2026, 12, 31, 18, 0, 0, 0, pacific),
	} {
		wait, spread := table.For(twilio.PhaseCallback, 30023, 0).Defer.From(now)
		then := now.Add(wait).In(pacific)
		require.Equal(t, "00:00:00", then.Format(time.TimeOnly), now)
		require.Greater(t, wait, time.Duration(0))
		require.LessOrEqual(t, wait, 25*time.Hour)
		require.Greater(t, spread, time.Minute)
	}
	wait, spread := table.For(twilio.PhaseSend, 63018, 400).Defer.From(time.Now())
	require.Equal(t, time.Hour, wait)
	require.Less(t, spread, wait)
}
