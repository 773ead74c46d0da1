package dispatcher

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	hours "github.com/beckonhq/beckon/internal/quiet"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

// Whatever a message comes of, whatever else is so: nobody gets it who has opted out. The one exemption has a name.
func TestNoOriginPassesAnOptOut(t *testing.T) {
	t.Parallel()
	law, err := hours.Shipped()
	require.NoError(t, err)
	l := &lane{gates: gates(everySender(), law, false), closing: func(c *store.Candidate) time.Time { return closing(law, c) }}
	rapid.Check(t, func(t *rapid.T) {
		m := both(person, "text")
		m.Origin = rapid.SampledFrom(message.Origins()).Draw(t, "origin")
		m.OriginKey = rapid.SampledFrom([]string{"", "SM1"}).Draw(t, "key")
		m.Purpose = rapid.SampledFrom([]message.Purpose{message.Transactional, message.Marketing}).Draw(t, "purpose")
		m.Channels = rapid.SampledFrom([][]message.Channel{{message.SMS}, {message.WhatsApp}, {message.WhatsApp, message.SMS}}).Draw(t, "channels")
		state := consent.State{{Channel: consent.AllChannels, Action: consent.OptOut}}
		if rapid.Bool().Draw(t, "channel by channel") {
			state = consent.State{{Channel: message.SMS, Action: consent.OptOut}, {Channel: message.WhatsApp, Action: consent.OptOut}}
		}
		if rapid.Bool().Draw(t, "under review") {
			state = append(state, consent.Mark{Channel: consent.ReviewChannel})
		}
		verdict := l.judge(store.Candidate{Message: m, Consent: state})
		if m.Origin == message.OriginCompliance {
			if m.Purpose == message.Transactional { // as the ledger makes it; quiet hours hold for marketing
				require.Equal(t, m.Channels[0], verdict.Send)
			}
			return
		}
		require.Empty(t, verdict.Send)
		require.Equal(t, message.ReasonOptedOut, verdict.Suppress)
	})
}

// The same on the whole way to Twilio, with the ledger's part of the exemption: one message for one STOP or HELP of this person.
func TestOnlyTheAnswerToAStopReachesWhoOptedOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	w.start()
	const stop, thanks = "SM00000000000000000000000000000aaa", "SM00000000000000000000000000000bbb"
	w.reply(url.Values{"Body": {"thanks"}, "MessageSid": {thanks}})
	w.reply(url.Values{"Body": {"STOP"}, "MessageSid": {stop}})
	w.repliesWorked()
	add := func(origin message.Origin, key string, to string) bool {
		m := sms(person, string(origin))
		if to != "" {
			m = sms(person[:len(person)-1]+"9", "to another")
		}
		m.Origin, m.OriginKey = origin, key
		made, err := w.AddMessage(t.Context(), m)
		require.NoError(t, err)
		return made
	}
	for _, origin := range message.Origins() {
		if origin != message.OriginRule && origin != message.OriginCompliance {
			require.True(t, add(origin, stop, ""))
			require.False(t, add(origin, stop, ""), "once for one key")
		}
	}
	rule := w.queue(sms(person, "rule"))[0]
	require.False(t, add(message.OriginCompliance, thanks, ""), "it is no STOP")
	require.False(t, add(message.OriginCompliance, "SM00000000000000000000000000000ccc", ""), "nobody sent it")
	require.False(t, add(message.OriginCompliance, stop, "another"), "another person sent it")
	elsewhere := sms(person, "by a sender whom it was not said to")
	elsewhere.Sender, elsewhere.Origin, elsewhere.OriginKey = "marketing", message.OriginCompliance, stop
	made, err := w.AddMessage(t.Context(), elsewhere)
	require.NoError(t, err)
	require.False(t, made)
	made = add(message.OriginCompliance, stop, "")
	require.False(t, add(message.OriginCompliance, stop, ""), "never a second one")
	if !made { // the dispatcher itself has answered
		require.Equal(t, 1, w.number(`select count(*) from message where origin = 'compliance'`))
	}
	require.True(t, w.wait(func() bool { return w.number(`select count(*) from message where state in ('queued', 'sending')`) == 0 }))
	require.Equal(t, message.ReasonOptedOut, w.message(rule).Reason)
	require.Len(t, w.outbound(), 1)
	require.Equal(t, 1, w.number(`select count(*) from message where origin = 'compliance' and state in ('accepted', 'sent', 'delivered')`))
	require.Equal(t, 4, w.number(`select count(*) from message where origin <> 'compliance' and origin <> 'rule' and state = 'suppressed' and reason = 'opted_out'`))
}
