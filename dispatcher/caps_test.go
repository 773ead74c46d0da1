package dispatcher

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
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

// Three marketing messages of one program in a day to somebody in Florida, and no fourth; of another program, or transactional, one
// more. The hours and a cap together: what waits for both is sent when both allow it.
func TestLimitsOfTheLawAndHoursWithCaps(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	const miami = address.Address("+13055550123")
	require.NoError(t, w.AddConsent(t.Context(), consent.Entry{
		Address: miami, Channel: consent.AllChannels, Action: consent.OptIn, Source: consent.FromOperator, Evidence: "a form",
		Purpose: message.Marketing, OccurredAt: time.Now().Add(-time.Hour),
	}))
	w.start()
	offer := sms(miami, "x")
	offer.Purpose, offer.Program = message.Marketing, "news"
	other := offer
	other.Program = "alerts"
	w.queue(offer, offer, offer, offer, other, sms(miami, "x"))
	require.True(t, w.wait(func() bool {
		return w.number(`select count(*) from message where state = 'delivered'`) == 5 &&
			w.number(`select count(*) from message m join gate_answer g on g.message_id = m.id where m.state = 'queued' and m.reason = 'frequency_cap'
				and m.not_before > now() + interval '23 hours' and g.answers::text like '%cap law of US-FL on news: 3 messages in 24h%'`) == 1
	}), w.states())

	both := wishing("+14155550111", "closed")
	both.Caps = []message.Cap{{Name: "one", Scope: message.PerPerson, Messages: 1, Per: time.Hour}}
	first := both
	first.Hours = nil
	w.becomes(w.queue(first)[0], message.Delivered)
	id := w.queue(both)[0]
	waits := func(reason message.Reason) {
		require.True(t, w.wait(func() bool {
			return w.message(id).Reason == reason && w.message(id).NotBefore.After(time.Now().Add(50*time.Minute))
		}))
		require.Equal(t, 1, w.number(`select count(*) from message where id = $1 and permitted_at is null`, id), "its time has not begun")
		require.Len(t, w.outbound(), 6)
	}
	again := func() {
		w.exec(`update message set not_before = now() where id = $1`, id)
		w.exec(`update belt set due_at = now() where message_id = $1`, id)
	}
	waits(message.ReasonQuietHours)
	w.exec(`update message set hours = '{"wish": "open"}' where id = $1`, id)
	again()
	waits(message.ReasonFrequencyCap)
	w.exec(`update message set hours = '{"wish": "closed"}' where id = $1`, id)
	w.exec(`update attempt set started_at = now() - interval '2 hours'`)
	again()
	waits(message.ReasonQuietHours)
	w.exec(`update message set hours = '{"wish": "open"}' where id = $1`, id)
	again()
	w.becomes(id, message.Delivered)
}
