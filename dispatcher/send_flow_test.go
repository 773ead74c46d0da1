package dispatcher

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twilio"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

func TestSMSIsSentOnceAndDelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.start()
	id := w.queue(sms(person, "Hello"))[0]
	w.carry(id, id) // a repeated belt message is harmless
	m := w.becomes(id, message.Delivered)
	sent := w.outbound()
	require.Len(t, sent, 1)
	require.Equal(t, sent[0].SID, m.SID)
	require.Equal(t, 1, m.Attempts)
	require.Equal(t, message.SMS, m.Channel)
	require.Equal(t, "Hello", sent[0].Body)
	require.Equal(t, string(person), sent[0].To)
	require.Equal(t, string(smsFrom), sent[0].From)
	link, err := url.Parse(sent[0].StatusCallback)
	require.NoError(t, err)
	require.Equal(t, id, link.Query().Get("message"))
	require.NotEmpty(t, link.Query().Get("attempt"))
	require.Equal(t, "rc=5&rp=all", link.Fragment)
}

func TestMessagingServiceIsTheSender(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	config := w.config()
	config.Lanes[0].Sender = Sender{Name: "default", MessagingServiceSID: "MG" + strings.Repeat("1", 32)}
	w.run(config)
	m := w.becomes(w.queue(sms(person, "Hello"))[0], message.Delivered)
	sent, _ := w.sim.Message(m.SID)
	require.Equal(t, config.Lanes[0].Sender.MessagingServiceSID, sent.MessagingServiceSID)
}

func TestWhatsAppTemplateOutsideTheWindowAndFreeTextInside(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{ReadReceipts: true})
	w.start()
	m := w.becomes(w.queue(wa(person))[0], message.Read)
	sent, _ := w.sim.Message(m.SID)
	require.Equal(t, contentSID, sent.ContentSID)
	require.Equal(t, map[string]string{"1": "Ana"}, sent.ContentVariables)
	require.Equal(t, "whatsapp:"+string(person), sent.To)

	_, err := w.sim.Inbound(t.Context(), twiliosim.InboundMessage{
		From: "whatsapp:" + string(person), To: "whatsapp:" + string(whatsAppFrom), Body: "hi",
	})
	require.NoError(t, err)
	w.repliesWorked()
	m = w.becomes(w.queue(wa(person))[0], message.Read)
	sent, _ = w.sim.Message(m.SID)
	require.Empty(t, sent.ContentSID)
	require.Equal(t, "free text", sent.Body)
}

func TestFallsBackToSMSOnceWhenTheNumberIsNotOnWhatsApp(t *testing.T) {
	t.Parallel()
	const notOnWhatsApp = address.Address("+15005556303")
	w := newWorld(t, twiliosim.Config{Callbacks: twiliosim.Callbacks{Duplicate: true}})
	w.start()
	m := w.becomes(w.queue(both(notOnWhatsApp, "by SMS"))[0], message.Delivered)
	require.Equal(t, message.SMS, m.Channel)
	require.Equal(t, 2, m.Attempts)
	require.Equal(t, 1, w.sim.Count("whatsapp:"+string(notOnWhatsApp)))
	require.Equal(t, 1, w.sim.Count(string(notOnWhatsApp)))
}

func TestSuppressed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	entry := func(a address.Address, channel message.Channel, action consent.Action) {
		require.NoError(t, w.AddConsent(t.Context(), consent.Entry{
			Org: testOrg, Address: a, Channel: channel, Action: action, Source: consent.FromOperator, Evidence: "test",
		}))
	}
	const out, noSMS, in = address.Address("+14155550101"), address.Address("+14155550102"), address.Address("+14155550103")
	entry(out, consent.AllChannels, consent.OptOut)
	entry(noSMS, message.SMS, consent.OptOut)
	entry(in, consent.AllChannels, consent.OptIn)
	marketing := func(m message.Message) message.Message { m.Purpose = message.Marketing; return m }
	freeOnly := wa(person)
	freeOnly.Content.WhatsApp.ContentSID = ""
	cases := map[string]struct {
		message message.Message
		reason  message.Reason // empty: it is sent
		channel message.Channel
	}{
		"opted out":                        {sms(out, "x"), message.ReasonOptedOut, ""},
		"opted out of the only channel":    {sms(noSMS, "x"), message.ReasonOptedOut, ""},
		"opted out of the second channel":  {both(noSMS, "x"), "", message.WhatsApp},
		"marketing without consent":        {marketing(sms(person, "x")), message.ReasonNoConsent, ""},
		"marketing with consent":           {marketing(sms(in, "x")), "", message.SMS},
		"free text outside the window":     {freeOnly, message.ReasonNoRoute, ""},
		"no content for its channel":       {message.Message{To: person, Channels: []message.Channel{message.WhatsApp}, Purpose: message.Transactional}, message.ReasonNoRoute, ""},
		"opted out of both, marketing too": {marketing(both(out, "x")), message.ReasonOptedOut, ""},
	}
	w.start()
	for name, c := range cases {
		id := w.queue(c.message)[0]
		if c.reason == "" {
			require.Equal(t, c.channel, w.becomes(id, message.Delivered).Channel, name)
			continue
		}
		m := w.becomes(id, message.Suppressed)
		require.Equal(t, c.reason, m.Reason, name)
		require.Zero(t, m.Attempts, name)
	}
	require.Len(t, w.outbound(), 2)
}

func TestTwiliosOptOutIsRecorded(t *testing.T) {
	t.Parallel()
	const unsubscribed = address.Address("+15005550004") // 21610
	w := newWorld(t, twiliosim.Config{})
	w.start()
	m := w.becomes(w.queue(sms(unsubscribed, "x"))[0], message.Suppressed)
	require.Equal(t, message.ReasonOptedOut, m.Reason)
	require.Equal(t, 21610, m.ErrorCode)
	history, err := w.ConsentHistory(t.Context(), unsubscribed)
	require.NoError(t, err)
	require.Len(t, history, 1)
	require.Equal(t, consent.OptOut, history[0].Action)
	require.Equal(t, consent.FromErrorCode, history[0].Source)
	m = w.becomes(w.queue(sms(unsubscribed, "again"))[0], message.Suppressed)
	require.Zero(t, m.Attempts, "it does not reach Twilio again")
}

func TestRateLimitIsRetriedAndHoldsEverythingBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.RateLimit, To: string(person), RetryAfterSeconds: 2})
	w.start()
	began := time.Now()
	limited := w.queue(sms(person, "first"))[0]
	w.becomes(limited, message.Queued)
	require.True(t, w.wait(func() bool { return w.message(limited).Reason == message.ReasonRetry }))
	other := w.queue(sms("+14155550101", "second"))[0]
	w.becomes(other, message.Delivered)
	require.Greater(t, time.Since(began), 2*time.Second, "others are held back for as long as Twilio asked")
	w.becomes(limited, message.Delivered)
	require.Equal(t, 1, w.sim.Count(string(person)))
}

func TestWrongCredentialsDoNotBurnTheBacklog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Refuse, Status: 401, Code: 20003, Count: 1000})
	config := w.config()
	config.Lanes[0].Concurrency, config.ProbeAfter = 4, time.Hour
	w.run(config)
	messages := make([]message.Message, 40)
	for i := range messages {
		messages[i] = sms(address.Address(fmt.Sprintf("+141555501%02d", i)), "x")
	}
	ids := w.queue(messages...)
	require.True(t, w.wait(func() bool {
		return w.number(`select count(*) from message where reason = 'retry'`) > 0 && w.number(`select count(*) from live_attempt`) == 0
	}))
	tried := w.sim.Stats().Creates
	require.LessOrEqual(t, tried, int64(8), "the first calls stop all others")
	for _, id := range ids {
		require.Equal(t, message.Queued, w.message(id).State)
	}
}

func TestTwilioOutOfReachCostsNoMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	config := w.config()
	away := twilio.New(twilio.Config{AccountSID: "AC1", AuthToken: "x", BaseURL: "http://127.0.0.1:1"})
	t.Cleanup(away.Close)
	config.Lanes[0].Twilio, config.Tries = away, 1
	stop := w.run(config)
	id := w.queue(sms(person, "x"))[0]
	require.True(t, w.wait(func() bool { m := w.message(id); return m.Attempts >= 2 && m.State == message.Queued }))
	stop()
	w.start()
	w.becomes(id, message.Delivered)
	require.Equal(t, 1, w.sim.Count(""))
}

func TestRefusedForGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.start()
	m := w.becomes(w.queue(sms("+15005550001", "x"))[0], message.Failed) // 21211
	require.Equal(t, message.ReasonRejected, m.Reason)
	require.Equal(t, 21211, m.ErrorCode)
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Undelivered, Code: 30006})
	m = w.becomes(w.queue(sms(person, "x"))[0], message.Undelivered)
	require.Equal(t, message.ReasonDelivery, m.Reason)
	require.Equal(t, 30006, m.ErrorCode)
}

// inFlight watches the calls and fails the test when two to one address overlap.
type inFlight struct {
	Twilio

	t    *testing.T
	mu   sync.Mutex
	open map[string]int
}

func (f *inFlight) Send(ctx context.Context, r twilio.Request) (twilio.Result, error) {
	f.mu.Lock()
	f.open[r.To]++
	if f.open[r.To] > 1 {
		f.t.Error("two messages to one address are in flight")
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.open[r.To]--
	}()
	return f.Twilio.Send(ctx, r)
}

func TestOneMessageToAnAddressAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{Delays: twiliosim.Delays{Answer: twiliosim.Delay{Min: 30 * time.Millisecond, Max: 30 * time.Millisecond}}})
	config := w.config()
	config.Lanes[0].Twilio = &inFlight{Twilio: config.Lanes[0].Twilio, t: t, open: map[string]int{}}
	w.run(config)
	ids := w.queue(sms(person, "1"), sms(person, "2"), sms(person, "3"), sms(person, "4"))
	for _, id := range ids {
		w.becomes(id, message.Delivered)
	}
	require.Equal(t, 4, w.sim.Count(string(person)))
}

func TestSchedulerSendsWhenDueAndSweepsWhatLies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.start()
	due := time.Now().Add(700 * time.Millisecond)
	delayed := sms(person, "later")
	delayed.NotBefore = due
	later := w.store(delayed)[0]
	w.carry(later) // even when somebody puts it on the belt too early
	lying := w.store(sms("+14155550101", "lying"))[0]
	w.exec(`update belt set due_at = now() where message_id = $1::uuid`, lying) // its grace is over: the router died
	w.becomes(lying, message.Delivered)
	w.becomes(later, message.Delivered)
	sent, _ := w.sim.Message(w.message(later).SID)
	require.False(t, sent.Created.Before(due), "it is sent when it is due, not before")
	require.Len(t, w.outbound(), 2)
}

func TestLostBeltIsFilledAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	ids := w.store(sms(person, "x"))
	w.exec(`update belt set seq = 900, epoch = 'another stream', due_at = now() where message_id = $1::uuid`, ids[0])
	w.start()
	w.becomes(ids[0], message.Delivered)
}

func TestGarbageOnTheBeltHarmsNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	require.NoError(t, w.nc.Publish("messages.default."+string(testOrg), []byte("not an id")))
	id := w.queue(sms(person, "x"))[0]
	w.start()
	w.becomes(id, message.Delivered)
	require.True(t, w.wait(func() bool { return len(w.letters()) == 1 }))
	require.Equal(t, "not an id", string(w.letters()[0].Data))
}

// brokenClaim fails for good whenever one message is among the claimed.
type brokenClaim struct {
	Ledger

	culprit string
}

func (b brokenClaim) Claim(ctx context.Context, r store.ClaimRequest) (*store.ClaimResult, error) {
	if slices.Contains(r.IDs, b.culprit) {
		return nil, errUnreadable // anything that is not temporary
	}
	return b.Ledger.Claim(ctx, r)
}

func TestAMessageThatCannotBeClaimedStopsNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	ids := w.queue(sms(person, "x"), sms("+14155550101", "x"), sms("+14155550102", "x"))
	config := w.config()
	config.Ledger = brokenClaim{w.Store, ids[1]}
	stop := w.run(config)
	w.becomes(ids[0], message.Delivered)
	w.becomes(ids[2], message.Delivered)
	require.Equal(t, message.Queued, w.message(ids[1]).State)
	stop()
	w.exec(`update belt set due_at = now()`)
	w.start()
	w.becomes(ids[1], message.Delivered)
}

func TestOrderlyStopFinishesCallsInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Slow, DelayMS: 500})
	stop := w.run(w.config())
	id := w.queue(sms(person, "x"))[0]
	require.True(t, w.wait(func() bool { return w.sim.Stats().Creates == 1 }))
	stop()
	require.Equal(t, message.Accepted, w.message(id).State)
	require.Zero(t, w.number(`select count(*) from live_attempt`))
}
