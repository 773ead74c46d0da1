package dispatcher

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/twiliosim"
	"github.com/beckonhq/beckon/templates"
)

// answering is a dispatcher that answers STOP and HELP on WhatsApp.
func (w *world) answering() {
	w.t.Helper()
	texts, err := templates.NewReplies(func() *templates.Set { return nil }, "Acme", "")
	require.NoError(w.t, err)
	config := w.config()
	config.Answers = Answers{
		Render: texts.Render, PerHour: 4,
		Twilio: func(_ string, channel message.Channel) bool { return channel == message.SMS },
	}
	w.run(config)
}

func (w *world) whatsApp(body, sid string) url.Values {
	return url.Values{
		"Body": {body}, "MessageSid": {sid}, "From": {"whatsapp:" + string(person)}, "To": {"whatsapp:" + string(whatsAppFrom)},
	}
}

func (w *world) answered() int {
	return w.number(`select count(*) from message where origin = 'compliance'`)
}

// The same person under the id that WhatsApp shows in place of the number: it is still the second STOP.
func TestStopByAnotherAddressIsNotConfirmedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	w.answering()
	stop := w.whatsApp("STOP", "SM00000000000000000000000000000b01")
	stop.Set("ExternalUserId", "whatsapp:US.1A2B3C")
	w.reply(stop)
	again := w.whatsApp("STOP", "SM00000000000000000000000000000b02")
	again.Set("From", "whatsapp:US.1A2B3C")
	w.reply(again)
	w.repliesWorked()
	require.Equal(t, 2, w.number(`select count(*) from consent where action = 'opt_out'`))
	require.Equal(t, 1, w.answered())
}

func TestStopAndHelpAreAnsweredOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff, NoWindow: true})
	w.answering()
	w.written(whatsAppFrom) // so that the simulator knows of the window too
	for range 2 {           // Twilio, or the belt, brings it again
		w.reply(w.whatsApp("STOP", "SM00000000000000000000000000000a01"))
	}
	w.reply(w.whatsApp("stop", "SM00000000000000000000000000000a02"))
	w.repliesWorked()
	require.Equal(t, 1, w.answered(), "one confirmation is enough")
	w.reply(w.whatsApp("HELP", "SM00000000000000000000000000000a03"))
	w.reply(url.Values{"Body": {"HELP"}})
	w.reply(url.Values{"Body": {"HELP"}, "OptOutType": {"HELP"}, "From": {"whatsapp:" + string(person)}, "To": {"whatsapp:" + string(whatsAppFrom)}})
	w.repliesWorked()
	require.Equal(t, 2, w.answered(), "Twilio answers SMS, and what it says that it took for a keyword")
	require.Equal(t, 1, w.number(`select count(*) from reply_task`), "no rule is asked about words on consent")
	require.True(t, w.wait(func() bool { return len(w.outbound()) == 2 }))
	require.Contains(t, w.outbound()[0].Body, "Acme: You have opted out")
	require.Contains(t, w.outbound()[1].Body, "Reply STOP")
	require.Equal(t, 2, w.number(`select count(*) from message where origin_key in ('SM00000000000000000000000000000a01', 'SM00000000000000000000000000000a03')`))
}

// Twilio keeps the person from us until they say START in its words.
func TestStartInOtherWordsThanTwiliosIsNotAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.answering()
	for _, body := range []string{"STOP", "iniciar"} {
		w.reply(url.Values{"Body": {body}})
	}
	w.repliesWorked()
	require.Equal(t, 1, w.number(`select count(*) from consent where action = 're_opt_in'`))
	require.Zero(t, w.number(`select count(*) from message`))
}

// Without Advanced Opt-Out Twilio answers a few English words. Whoever says it otherwise is answered by us.
func TestWordsThatTwilioDoesNotKnowAreAnswered(t *testing.T) {
	t.Parallel()
	for body, answers := range map[string]int{"STOP": 0, "Stop.": 0, "HELP": 0, "BAJA": 1, "please stop": 1, "AYUDA": 1} {
		w := newWorld(t, twiliosim.Config{})
		w.answering()
		sid := w.sid()
		for range 2 {
			w.reply(url.Values{"Body": {body}, "MessageSid": {sid}})
		}
		w.repliesWorked()
		require.Equal(t, answers, w.answered(), body)
		if answers > 0 {
			require.True(t, w.wait(func() bool { return len(w.outbound()) == 1 }), body)
			if body == "BAJA" {
				require.Contains(t, w.outbound()[0].Body, "Acme: Te has dado de baja", "in the language of the word")
			}
		}
		w.reply(url.Values{"Body": {body}, "MessageSid": {w.sid()}, "OptOutType": {"STOP"}})
		w.repliesWorked()
		require.Equal(t, answers, w.answered(), "Twilio says that it took it")
	}
}

// A START that ends an opt-out is answered once, through all gates: a STOP after it suppresses the answer.
func TestStartIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff, NoWindow: true})
	w.answering()
	answers := func() int { return w.number(`select count(*) from message where template = 'opt-in-again'`) }
	w.reply(w.whatsApp("START", w.sid()))
	w.repliesWorked()
	require.Zero(t, answers(), "there was nothing to end")
	w.reply(w.whatsApp("STOP", w.sid()))
	start := w.sid()
	for range 2 { // Twilio, or the belt, brings it again
		w.reply(w.whatsApp("START", start))
	}
	w.reply(w.whatsApp("start", w.sid()))
	w.repliesWorked()
	require.Equal(t, 1, answers())
	require.True(t, w.wait(func() bool { return len(w.outbound()) == 2 }))
	require.Contains(t, w.outbound()[1].Body, "Acme: You will get messages from us again")
	require.Equal(t, 1, w.number(`select count(*) from message where origin = 'reply_rule' and origin_key = $1`, start))
	require.Equal(t, 1, w.answered(), "the exemption is for STOP and HELP alone")
}

func TestStopAfterStartSuppressesItsAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff, NoWindow: true})
	for _, body := range []string{"STOP", "START", "STOP"} { // before there is a dispatcher: they are worked on before anything is sent
		w.reply(w.whatsApp(body, w.sid()))
	}
	w.answering()
	w.repliesWorked()
	require.True(t, w.wait(func() bool {
		return w.number(`select count(*) from message where template = 'opt-in-again' and state = 'suppressed' and reason = 'opted_out'`) == 1
	}))
}

// A person gets one confirmation, whatever the channel and the address of the second STOP.
func TestStopOnAnotherChannelIsNotConfirmedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff, NoWindow: true})
	texts, err := templates.NewReplies(func() *templates.Set { return nil }, "", "")
	require.NoError(t, err)
	config := w.config()
	config.Answers = Answers{Render: texts.Render, PerHour: 9, Twilio: func(string, message.Channel) bool { return false }}
	w.run(config)
	w.reply(url.Values{"Body": {"STOP"}, "MessageSid": {w.sid()}})
	w.reply(w.whatsApp("STOP", w.sid()))
	w.repliesWorked()
	require.Equal(t, 1, w.answered())

	const alias = "US.13491208655302741918"
	require.NoError(t, w.AddAlias(t.Context(), person, alias, consent.FromOperator, "test"))
	form := w.whatsApp("STOP", w.sid())
	form.Set("From", "whatsapp:"+alias)
	w.reply(form)
	w.repliesWorked()
	require.Equal(t, 1, w.answered())
	require.Equal(t, 3, w.number(`select count(*) from consent where action = 'opt_out'`))
}

func TestMachinesAreNotAnsweredForEver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff, NoWindow: true})
	w.answering()
	for range 5 {
		w.reply(w.whatsApp("HELP", w.sid()))
	}
	w.repliesWorked()
	require.Equal(t, 2, w.answered(), "the same text for the third time")
	for _, text := range []string{"info", "help", "Info", "Help!", "HELP", "INFO"} {
		w.reply(w.whatsApp(text, w.sid()))
	}
	w.repliesWorked()
	require.Equal(t, 4, w.answered(), "four in an hour")
}

// sid was not used before.
func (w *world) sid() string { return fmt.Sprintf("SM%032d", 1_000_000+w.next.Add(1)) }

func TestLateStopIsNotConfirmed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff, NoWindow: true})
	w.answering()
	form := w.whatsApp("STOP", "SM00000000000000000000000000000b01")
	form.Set("AccountSid", "AC1")
	form.Set("NumMedia", "0")
	require.NoError(t, w.belt.PublishCallback(t.Context(), stream.KindInbound, "", map[string]string{
		stream.HeaderReceived: time.Now().Add(-confirmWithin).UTC().Format(time.RFC3339Nano),
	}, []byte(form.Encode())))
	w.repliesWorked()
	require.Zero(t, w.answered())
	require.Equal(t, 1, w.number(`select count(*) from consent`), "it counts all the same")
}
