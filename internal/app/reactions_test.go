package app

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/twilio"
	"github.com/beckonhq/beckon/internal/twiliosim"
	"github.com/beckonhq/beckon/internal/twiliosim/twiliosimtest"
)

// A table of one's own holds for the answers to calls as it does for callbacks.
func TestOwnReactionsHoldForCalls(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, dir, "reactions:\n  - {code: 21617, phases: [send], reaction: permanent, meaning: ours}\n")
	sim := twiliosimtest.NewServer(t, twiliosim.Config{})
	sim.AddFault(twiliosim.Fault{Kind: twiliosim.Refuse, Code: 21617})
	h := start(t, withPostgres(t, "BECKON_TWILIO_API_URL="+sim.URL, "BECKON_REACTIONS_FILE="+filepath.Join(dir, "case.yaml")), config.RoleDispatcher)
	lane, err := h.newLane(h.cfg.Senders[0])
	require.NoError(t, err)
	_, err = lane.Twilio.Send(t.Context(), twilio.Request{
		From: "+15005550006", To: "+14155550100", Channel: message.SMS, Body: "x",
	})
	failure, ok := twilio.AsError(err)
	require.True(t, ok, "%v", err)
	require.Equal(t, 21617, failure.Code)
	require.Equal(t, twilio.Permanent, failure.Reaction)
	require.Equal(t, "ours", failure.Rule.Meaning)
}
