package dispatcher

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

// A person's cap lets two of three messages through, whichever dispatcher claims them; the third waits. A paused rule sends nothing
// until somebody lets it go on.
func TestCapsAndPauses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.start()
	capped := sms(person, "x")
	capped.Caps = []message.Cap{{Name: "two", Scope: message.PerPerson, Messages: 2, Per: time.Hour}}
	ids := w.queue(capped, capped, capped)
	require.True(t, w.wait(func() bool {
		return w.number(`select count(*) from message where state = 'delivered'`) == 2 &&
			w.number(`select count(*) from message where state = 'queued' and reason = 'frequency_cap' and not_before > now() + interval '50 minutes'`) == 1
	}))
	require.Len(t, w.outbound(), 2)

	_, err := w.PauseRule(t.Context(), store.RuleSwitch{Rule: "a-rule", By: "ana"})
	require.NoError(t, err)
	id := w.queue(sms("+14155550119", "x"))[0]
	require.True(t, w.wait(func() bool { return w.message(id).Reason == message.ReasonRulePaused }))
	require.Len(t, w.outbound(), 2)
	_, err = w.ResumeRule(t.Context(), store.RuleSwitch{Rule: "a-rule", By: "ana"})
	require.NoError(t, err)
	w.becomes(id, message.Delivered)
	require.Len(t, ids, 3)
}
