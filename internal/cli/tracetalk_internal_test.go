package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/view"
)

// Messages without a rule say what they come of all the same.
func TestTraceSaysWhatEachMessageComesOf(t *testing.T) {
	t.Parallel()
	seen := map[string]message.Origin{}
	for _, origin := range message.Origins() {
		m := view.TracedMessage{Message: view.Message{Origin: string(origin), Channels: []string{"sms"}, Purpose: "transactional"}}
		if origin == message.OriginRule {
			m.Rule = "closed-won-welcome"
		}
		var b strings.Builder
		traceMessage(&b, m)
		said := comesOf(m)
		require.Contains(t, b.String(), said+", transactional, to")
		require.False(t, strings.HasSuffix(said, " "), "%s ends without a name: %q", origin, said)
		require.NotContains(t, seen, said, "%s and %s look the same", origin, seen[said])
		require.NotContains(t, b.String(), " in -", "free text has no language to tell")
		seen[said] = origin
	}
	require.Equal(t, "answer of reply rule case-rated", comesOf(view.TracedMessage{Message: view.Message{Origin: string(message.OriginReplyRule), Rule: "case-rated"}}))
}
