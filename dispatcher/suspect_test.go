package dispatcher

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twilio"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

// gap notes that what was sent in the last hour is not in the ledger.
func (w *world) gap() {
	w.t.Helper()
	now := time.Now()
	_, err := w.OpenGap(w.t.Context(), store.Gap{Began: now.Add(-time.Hour), Ended: now, Operator: "a test"})
	require.NoError(w.t, err)
}

// sentBefore sends a message as it was sent in the gap; the ledger does not know.
func (w *world) sentBefore(m message.Message, channel message.Channel) string {
	w.t.Helper()
	request := twilio.Request{To: string(m.To), Channel: channel}
	switch channel {
	case message.SMS:
		request.From, request.Body = string(smsFrom), m.Content.SMS.Text
	case message.WhatsApp:
		request.From = string(whatsAppFrom)
		request.ContentSID, request.ContentVariables = m.Content.WhatsApp.ContentSID, m.Content.WhatsApp.Variables
	}
	result, err := w.sim.Client(w.t).Send(w.t.Context(), request)
	require.NoError(w.t, err)
	return result.SID
}

func TestWhatWasSentInAGapIsAdopted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.gap()
	sid := w.sentBefore(sms(person, "sent in the gap"), message.SMS)
	w.start()
	ids := w.queue(sms(person, "not sent"), sms(person, "sent in the gap"), sms("+14155550101", "to somebody else"))
	for _, id := range ids {
		w.becomes(id, message.Accepted, message.Sent, message.Delivered)
	}
	require.Equal(t, sid, w.message(ids[1]).SID)
	require.Equal(t, 2, w.sim.Count(string(person)), "one was sent in the gap, the other one after it")
	require.Equal(t, 1, w.sim.Count("+14155550101"))
	require.Equal(t, 1, w.message(ids[1]).Attempts)
	require.Equal(t, 2, w.message(ids[0]).Attempts, "a look, then a call")
}

// Today the gates would choose WhatsApp; in the gap it went by SMS.
func TestWhatWasSentOnAnotherChannelIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.gap()
	m := both(person, "sent by SMS")
	w.sentBefore(m, message.SMS)
	w.start()
	got := w.becomes(w.queue(m)[0], message.Accepted, message.Sent, message.Delivered)
	require.Equal(t, message.SMS, got.Channel)
	require.Len(t, w.outbound(), 1)
}

// The text of a template can't be compared. Of two messages to one person, one of them sent, nobody can say which: nothing is
// sent, until a status callback names it.
func TestTemplatesInAGapAreToldApartByCallbacksOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.shut.Store(true)
	ids := w.store(wa(person), wa(person))
	w.gap()
	sid := w.sentBefore(wa(person), message.WhatsApp)
	w.start()
	w.carry(ids...)
	require.True(t, w.wait(func() bool {
		return w.number(`select count(*) from attempt where detail = 'Twilio has a message that may be this one'`) == 1
	}))
	require.Len(t, w.outbound(), 1)
	_, err := w.ApplyStatus(t.Context(), []store.StatusEvent{{
		SID: sid, Status: "delivered", State: message.Delivered, MessageID: ids[1], Received: time.Now(),
		AttemptID: "00000000-0000-7000-8000-000000000000", // it was in the ledger that was lost
	}})
	require.NoError(t, err)
	for _, id := range ids {
		w.becomes(id, message.Accepted, message.Sent, message.Delivered, message.Read)
	}
	require.Equal(t, sid, w.message(ids[1]).SID)
	require.Len(t, w.outbound(), 2)
}

// A message whose notification came after the gap can't have been sent in it: it goes at once.
func TestAfterAGapMessagesGoAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.gap()
	w.exec(`update gap set ended = now() - interval '10 minutes'`)
	w.start()
	require.Equal(t, 1, w.becomes(w.queue(sms(person, "new"))[0], message.Delivered).Attempts)
}
