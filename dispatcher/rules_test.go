package dispatcher

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

// People who answer with STOP pause the rule that wrote to them; what it makes then waits, until a human lets it go on.
func TestOptOutsPauseTheRule(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	config := w.config()
	config.RuleRound = 20 * time.Millisecond
	d, _ := w.begin(config)
	people := make([]address.Address, 4)
	for i := range people {
		people[i] = address.Address(fmt.Sprintf("+1415558%04d", i))
		w.becomes(w.queue(sms(people[i], "x"))[0], message.Delivered)
	}
	require.Equal(t, 4, w.number(`with changed as (update message set opt_out_breaker = '{"above": 0.4, "per": 3600000000000, "at_least": 2}' returning 1)
		select count(*) from changed`))
	for _, who := range people[:2] {
		w.reply(url.Values{"Body": {"STOP"}, "From": {string(who)}})
	}
	require.True(t, w.wait(func() bool {
		pauses, err := w.RulePauses(t.Context())
		return err == nil && len(pauses) == 1
	}))
	pauses, err := w.RulePauses(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.PausedByBreaker, pauses[0].PausedBy)
	rule := pauses[0].Rule
	require.True(t, w.wait(func() bool { return testutil.ToFloat64(d.metrics.paused.WithLabelValues(rule, "breaker")) == 1 }))

	next := w.queue(sms(people[3], "x"))[0]
	require.True(t, w.wait(func() bool { return w.message(next).Reason == message.ReasonRulePaused }))
	_, err = w.ResumeRule(t.Context(), store.RuleSwitch{Rule: rule, By: "ana"})
	require.NoError(t, err)
	w.becomes(next, message.Delivered)
	require.True(t, w.wait(func() bool { return testutil.CollectAndCount(d.metrics.paused) == 0 }))
}

// Two dispatchers share the replies; whichever works on a word first, the person's last one counts.
func TestTwoDispatchersKeepTheOrderOfWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	w.start()
	w.start()
	const people, words = 20, 5
	want := map[address.Address]consent.Action{}
	for i := range words {
		for n := range people {
			who := address.Address(fmt.Sprintf("+1415559%04d", n))
			body, action := "START", consent.ReOptIn
			if (i+n)%2 == 0 {
				body, action = "STOP", consent.OptOut
			}
			want[who] = action
			w.reply(url.Values{"Body": {body}, "From": {string(who)}})
		}
	}
	w.repliesWorked()
	require.Equal(t, people*words, w.number(`select count(*) from consent`))
	for who, action := range want {
		states, err := w.Consent(t.Context(), []address.Address{who})
		require.NoError(t, err)
		require.Equal(t, action, states[who].On(message.SMS), who)
	}
}
