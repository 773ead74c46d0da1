package dispatcher

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/twiliosim"
	"github.com/beckonhq/beckon/internal/twiliosim/twiliosimtest"
)

// panickyLedger breaks down over one SID.
type panickyLedger struct {
	Ledger

	culprit string
}

func (p panickyLedger) ApplyStatus(ctx context.Context, events []store.StatusEvent) ([]message.State, error) {
	for _, e := range events {
		if e.SID == p.culprit {
			panic("a bug")
		}
	}
	return p.Ledger.ApplyStatus(ctx, events)
}

func TestAPanicCostsItsCallbackOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	culprit, other := "SM"+strings.Repeat("1", 32), "SM"+strings.Repeat("2", 32)
	for _, sid := range []string{other, culprit} {
		form := url.Values{"MessageSid": {sid}, "MessageStatus": {"delivered"}}
		require.NoError(t, w.publish(t.Context(), "status", "", []byte(form.Encode())))
	}
	config := w.config()
	config.Ledger = panickyLedger{w.Store, culprit}
	stop := w.run(config)
	require.True(t, w.wait(func() bool { return len(w.letters()) == 1 }))
	require.True(t, w.wait(func() bool { return w.number(`select count(*) from delivery_event where sid = $1`, other) == 1 }))
	stop()
	letter := w.letters()[0]
	require.Equal(t, errPanicked.Error(), letter.Reason)
	require.Contains(t, letter.History[0], "given up at delivery")

	// Put back when the bug is mended, it is worked on as it came.
	w.start()
	_, err := w.belt.PutLetterBack(t.Context(), letter, "r1")
	require.NoError(t, err)
	require.True(t, w.wait(func() bool { return w.number(`select count(*) from delivery_event where sid = $1`, culprit) == 1 }))
}

// A person's words count by the time at which they were said, also when they were a dead letter for a while.
func TestAStartThatIsPutBackIsNoNewerThanItWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	w.start()
	w.reply(url.Values{"Body": {"STOP"}})
	require.True(t, w.wait(func() bool { return w.number(`select count(*) from consent`) == 1 }))
	form := url.Values{"MessageSid": {"SM" + strings.Repeat("3", 32)}, "AccountSid": {twiliosimtest.AccountSID}, "NumMedia": {"0"}, "From": {string(person)}, "To": {string(smsFrom)}, "Body": {"START"}}
	require.NoError(t, w.belt.DeadLetter(t.Context(), stream.DeadLetter{
		Stream: stream.Callbacks, Seq: 1, Subject: "callbacks.inbound.default", Reason: "a bug", Data: []byte(form.Encode()),
		Header: map[string]string{"Nats-Msg-Id": "the id of that time"}, First: time.Now().Add(-time.Hour),
	}))
	_, err := w.belt.PutLetterBack(t.Context(), w.letters()[0], "r1")
	require.NoError(t, err)
	require.True(t, w.wait(func() bool { return w.number(`select count(*) from consent`) == 2 }))
	require.Equal(t, message.ReasonOptedOut, w.becomes(w.queue(sms(person, "x"))[0], message.Suppressed).Reason)
}

func TestRefusalsOfGatesAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	w.start()
	w.reply(url.Values{"Body": {"STOP"}})
	w.repliesWorked()
	id := w.queue(both(person, "x"))[0]
	w.becomes(id, message.Suppressed)
	plain := w.queue(sms("+14155550101", "x"))[0]
	w.becomes(plain, message.Delivered)
	trace, err := w.Trace(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, trace.Messages[0].Gates, 1)
	require.Equal(t, []store.GateAnswer{
		{Channel: "whatsapp", Gate: "consent", Answer: "opted_out"}, {Channel: "sms", Gate: "consent", Answer: "opted_out"},
	}, trace.Messages[0].Gates[0].Answers)
	require.Equal(t, 1, w.number(`select count(*) from gate_answer`), "what simply passes costs no row")
}
