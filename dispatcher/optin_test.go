package dispatcher

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/twiliosim"
	"github.com/beckonhq/beckon/templates"
)

// doubleOptIn is the configuration of a dispatcher that asks people to confirm.
func (w *world) doubleOptIn() Config {
	w.t.Helper()
	texts, err := templates.NewReplies(nil, "Acme", "")
	require.NoError(w.t, err)
	config := w.config()
	config.DoubleOptIn = true
	config.Answers = Answers{
		Render: texts.Render, Question: texts.Question, PerHour: 4, Twilio: func(string, message.Channel) bool { return true },
	}
	return config
}

func (w *world) optIn(evidence string) {
	w.t.Helper()
	require.NoError(w.t, w.AddConsent(w.t.Context(), consent.Entry{
		Org: consent.AnyOrg, Address: person, Channel: consent.AllChannels, Action: consent.OptIn, Scope: consent.ProgramScope("news"),
		Source: consent.FromOperator, Evidence: evidence, Ask: true,
	}))
}

func newsletter() message.Message {
	m := sms(person, "20 % off")
	m.Purpose, m.Program = message.Marketing, "news"
	return m
}

// Ask, wait for YES, confirm: on the whole way to Twilio and back.
func TestDoubleOptIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	w.run(w.doubleOptIn())
	w.optIn("ana 1")
	early := w.queue(newsletter())[0]
	require.Equal(t, message.ReasonNoConsent, w.becomes(early, message.Suppressed).Reason)
	require.True(t, w.wait(func() bool { return len(w.outbound()) == 1 }))
	require.Contains(t, w.outbound()[0].Body, "Acme: Reply YES")
	require.True(t, w.wait(func() bool {
		return w.number(`select count(*) from message where origin = 'double_opt_in' and state = 'delivered'`) == 1
	}))
	for range 2 {
		w.reply(url.Values{"Body": {"Yes!"}, "MessageSid": {"SM00000000000000000000000000000e01"}})
	}
	w.reply(url.Values{"Body": {"yes"}})
	w.repliesWorked()
	require.Equal(t, 1, w.number(`select count(*) from consent where action = 'confirm' and program = 'news' and note = 'Yes!'`))
	require.Equal(t, 1, w.number(`select count(*) from reply_task`), "the second yes is an ordinary reply")
	require.True(t, w.wait(func() bool { return len(w.outbound()) == 2 }))
	require.Contains(t, w.outbound()[1].Body, "Acme: You are in.")
	w.becomes(w.queue(newsletter())[0], message.Delivered)
	w.reply(url.Values{"Body": {"STOP"}})
	w.repliesWorked()
	require.Equal(t, message.ReasonOptedOut, w.becomes(w.queue(newsletter())[0], message.Suppressed).Reason)
}

// With double opt-in off nothing is asked; STOP may be of one program.
func TestNobodyIsAskedWithoutDoubleOptIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	config := w.doubleOptIn()
	config.DoubleOptIn = false
	w.run(config)
	w.optIn("ana 1")
	w.becomes(w.queue(newsletter())[0], message.Delivered)
	w.reply(url.Values{"Body": {"Yes"}})
	w.repliesWorked()
	require.Zero(t, w.number(`select count(*) from message where origin = 'double_opt_in'`))
	require.Zero(t, w.number(`select count(*) from consent where action = 'confirm'`))
}

// The question goes through the gates: it waits for the hours of marketing, and an opt-out that comes meanwhile stops it.
func TestTheQuestionWaitsAtTheGates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	config := w.doubleOptIn()
	day := strings.ToLower(time.Now().UTC().Add(3 * 24 * time.Hour).Weekday().String()[:3])
	config.Hours = lawWith(t, fmt.Sprintf(`countries: {US: {windows: {%s: "00:00-24:00"}, regions: {CA: {windows: {daily: "00:00-24:00"}}}}}`, day))
	w.run(config)
	w.optIn("ana 1")
	require.True(t, w.wait(func() bool { return w.number(`select count(*) from message where reason = 'quiet_hours'`) == 1 }))
	w.reply(url.Values{"Body": {"STOP"}})
	w.repliesWorked()
	w.exec(`with due as (update message set not_before = now() returning id) update belt set due_at = now(), seq = 0 from due where id = message_id`)
	require.True(t, w.wait(func() bool {
		return w.number(`select count(*) from message where origin = 'double_opt_in' and state = 'suppressed' and reason = 'opted_out'`) == 1
	}))
	require.Empty(t, w.outbound())
}
