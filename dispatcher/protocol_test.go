package dispatcher

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/twilio"
	"github.com/beckonhq/beckon/internal/twiliosim"
	"github.com/beckonhq/beckon/internal/twiliosim/twiliosimtest"
)

// soon is the shipped table with waits that a test can bear.
func soon(t *testing.T) *twilio.Reactions {
	t.Helper()
	own, err := twilio.LoadReactions("test.yaml", []byte(`reactions:
  - {code: 30003, phases: [callback], reaction: retry, retries: 2, retry_after: 1ms, meaning: away}
  - {code: 30008, phases: [callback], reaction: retry, retries: 1, retry_after: 1ms, meaning: unknown}
  - {code: 63018, phases: [callback], reaction: defer, defer: 1ms, retries: 1, meaning: too many}
  - {code: 30023, phases: [callback], reaction: defer, defer: 5h, meaning: the day is over}
`))
	require.NoError(t, err)
	return twilio.DefaultReactions().With(own)
}

func lasting(m message.Message, validity time.Duration) message.Message {
	m.ExpiresAfter = validity
	return m
}

func TestTwilioIsToldWhatIsLeftOfTheValidity(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.start()
	for validity, want := range map[time.Duration]int{0: 4 * 3600, 10 * time.Minute: 600, 100 * time.Hour: 36000} {
		to := address.Address(fmt.Sprintf("+141555501%02d", want%89))
		m := w.becomes(w.queue(lasting(sms(to, "x"), validity))[0], message.Delivered)
		sent, _ := w.sim.Message(m.SID)
		require.LessOrEqual(t, sent.ValidityPeriod, want)
		require.Greater(t, sent.ValidityPeriod, want-60)
	}
}

// Twilio has no time for it until its own time is over: then it is not sent any more.
func TestMessageThatTwilioRefusesForTooLongExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.RateLimit, Count: 1000})
	w.start()
	m := w.becomes(w.queue(lasting(sms(person, "x"), 3*time.Second))[0], message.Expired)
	require.Equal(t, message.ReasonValidity, m.Reason)
	require.Zero(t, w.sim.Count(string(person)))
	require.Positive(t, m.Attempts)
	require.Zero(t, w.number(`select count(*) from belt`))
}

// Nobody claims while sending is stopped: the sweeper ends what is too late.
func TestMessageExpiresWhileSendingIsStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Refuse, Status: 401, Code: 20003, Count: 1000})
	w.start()
	first := w.queue(sms("+14155550101", "x"))[0]
	require.True(t, w.wait(func() bool { return w.message(first).Attempts > 0 && w.message(first).State == message.Queued }))
	id := w.queue(lasting(sms(person, "x"), time.Second))[0]
	require.True(t, w.wait(func() bool {
		w.exec(`update belt set due_at = now() where message_id = $1::uuid`, id)
		return w.message(id).State == message.Expired
	}))
	require.Zero(t, w.sim.Count(string(person)), "a probe may have tried it, and was refused")
}

// queuedAgain counts the outcomes that queue a message again.
type queuedAgain struct {
	Ledger

	n atomic.Int64
}

func (q *queuedAgain) Record(ctx context.Context, outcomes []store.Outcome) error {
	for _, o := range outcomes {
		if o.MessageState == message.Queued {
			q.n.Add(1)
		}
	}
	return q.Ledger.Record(ctx, outcomes)
}

func TestUnknownOutcomeExpiresAfterProof(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.shut.Store(true)
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.ServerError})
	config := w.config()
	ledger := &queuedAgain{Ledger: w.Store}
	config.Ledger = ledger
	w.run(config)
	id := w.queue(sms(person, "x"))[0]
	w.becomes(id, message.Unknown)
	w.exec(`update message set expires_after = interval '1 microsecond' where id = $1::uuid`, id)
	m := w.becomes(id, message.Expired)
	require.Equal(t, 1, m.Attempts)
	require.Equal(t, 1, w.number(`select count(*) from attempt where state = 'absent'`), "only after its proof")
	require.Zero(t, ledger.n.Load(), "and without another round")
	require.Zero(t, w.sim.Count(string(person)))
}

// laterRetries makes what waits for its next try due at once.
func (w *world) laterRetries(id string, states ...message.State) message.Message {
	w.t.Helper()
	require.True(w.t, w.wait(func() bool {
		w.exec(`update belt set due_at = now() where message_id = $1::uuid and seq = 0 and due_at > now()`, id)
		for _, s := range states {
			if w.message(id).State == s {
				return true
			}
		}
		return false
	}), "the message is %s", w.message(id).State)
	return w.message(id)
}

func TestFailureInAStatusIsTriedAgain(t *testing.T) {
	t.Parallel()
	for _, code := range []int{30003, 30008, 63018} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, twiliosim.Config{Callbacks: twiliosim.Callbacks{Duplicate: true}})
			w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Undelivered, Code: code})
			config := w.config()
			config.Reactions = soon(t)
			w.run(config)
			m := w.laterRetries(w.queue(sms(person, "x"))[0], message.Delivered)
			require.Equal(t, 2, m.Attempts)
			require.Equal(t, 2, w.sim.Count(string(person)))
		})
	}
}

func TestFailureInAStatusEndsWithItsBudgetOrItsTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Undelivered, Code: 30003, Count: 10, To: string(person)})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Undelivered, Code: 30023, Count: 10, To: "+14155550101"})
	config := w.config()
	config.Reactions = soon(t)
	w.run(config)
	ids := w.queue(sms(person, "x"), sms("+14155550101", "x"))
	m := w.laterRetries(ids[0], message.Undelivered)
	require.Equal(t, message.ReasonRetriesExhausted, m.Reason)
	require.Equal(t, 3, m.Attempts)
	m = w.laterRetries(ids[1], message.Expired)
	require.Equal(t, 1, m.Attempts)
	require.Equal(t, 30023, m.ErrorCode)
}

// Twilio may send any number as a code: those that the table does not know are one series.
func TestAlertsAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Refuse, Code: 21617, To: string(person)})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Undelivered, Code: 30007, To: "+14155550101"})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Refuse, Code: 99998, To: "+14155550102"})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Undelivered, Code: 99999, To: "+14155550103"})
	d, _ := w.begin(w.config())
	series := testutil.CollectAndCount(d.metrics.alerted)
	require.Greater(t, series, 10, "each begins at 0, so that the first failure is an increase")
	for _, id := range w.queue(sms(person, "x"), sms("+14155550101", "x"), sms("+14155550102", "x"), sms("+14155550103", "x")) {
		w.becomes(id, message.Failed, message.Undelivered)
	}
	for code, want := range map[string]float64{"21617": 1, "30007": 1, "other": 2, "0": 0} {
		require.True(t, w.wait(func() bool { return testutil.ToFloat64(d.metrics.alerted.WithLabelValues(code)) == want }), code)
	}
	require.Equal(t, series, testutil.CollectAndCount(d.metrics.alerted))
	require.Equal(t, 2, testutil.CollectAndCount(d.metrics.errorCodes))
}

// Guarantee 4 for an opt-out that Twilio reports by an error code: it counts from its receipt.
func TestOptOutByErrorCodeThatStillWaitsStopsASend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	form := url.Values{
		"MessageSid": {"SM" + strings.Repeat("9", 32)}, "AccountSid": {twiliosimtest.AccountSID}, "MessageStatus": {"undelivered"},
		"ErrorCode": {"21610"}, "To": {string(person)}, "From": {string(smsFrom)},
	}
	require.NoError(t, w.publish(t.Context(), stream.KindOptOut, "", []byte(form.Encode())))
	id := w.queue(sms(person, "x"))[0]
	config := w.config()
	gate := make(chan struct{})
	config.Inbound = heldSource{config.Inbound, gate}
	w.run(config)
	w.exec(`select pg_sleep(0.4)`) // time in which a dispatcher without the barrier sends
	require.Zero(t, w.sim.Stats().Creates)
	close(gate)
	require.Equal(t, message.ReasonOptedOut, w.becomes(id, message.Suppressed).Reason)
	require.Zero(t, w.sim.Count(string(person)))
	require.Empty(t, w.letters())
}

func TestLostCallbacksArePolled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{Callbacks: twiliosim.Callbacks{Drop: true}})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Undelivered, Code: 30006, To: "+14155550101"})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.ServerError, Op: twiliosim.OpFetch}) // asked again later
	config := w.config()
	config.PollAfter, config.PollsPerMinute = 20*time.Millisecond, 6000
	w.run(config)
	ids := w.queue(sms(person, "x"), sms("+14155550101", "x"))
	due := func() bool {
		w.exec(`update poll set due_at = now()`)
		return w.message(ids[0]).State == message.Delivered && w.message(ids[1]).State == message.Undelivered
	}
	require.True(t, w.wait(due))
	require.Equal(t, 30006, w.message(ids[1]).ErrorCode)
	require.True(t, w.wait(func() bool {
		w.exec(`update poll set due_at = now()`)
		return w.number(`select count(*) from poll`) == 0
	}), "they are done")
}

// The webhooks of these were lost. What is known already does not come twice, and what others got is not ours.
func TestMissedRepliesAreFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	const known, other, number = address.Address("+14155550101"), address.Address("+14155550102"), "+15005550999"
	say := func(from address.Address, to, body string, lost bool) string {
		prefix := ""
		if to == string(whatsAppFrom) {
			prefix = "whatsapp:"
		}
		result, err := w.sim.Inbound(t.Context(), twiliosim.InboundMessage{From: prefix + string(from), To: prefix + to, Body: body, LoseWebhook: lost})
		require.NoError(t, err)
		return result.SID
	}
	say(person, string(smsFrom), "STOP", true)
	say(known, string(smsFrom), "hello", false)
	say(other, number, "STOP", true) // not our number
	found := say(other, string(whatsAppFrom), "hi", true)
	config := w.config()
	config.InboundCheck, config.MissedAfter = 50*time.Millisecond, time.Nanosecond
	w.run(config)
	require.True(t, w.wait(func() bool { return w.number(`select count(*) from inbound`) == 3 }))
	require.Equal(t, message.ReasonOptedOut, w.becomes(w.queue(sms(person, "x"))[0], message.Suppressed).Reason)
	require.Equal(t, 1, w.number(`select count(*) from inbound where sid = $1 and channel = 'whatsapp' and body = 'hi'`, found))
	w.becomes(w.queue(sms(other, "x"))[0], message.Delivered)

	late := say(other, string(smsFrom), "later", true) // found by a later round
	require.True(t, w.wait(func() bool { return w.number(`select count(*) from inbound where sid = $1`, late) == 1 }))
	js, err := jetstream.New(w.nc)
	require.NoError(t, err)
	callbacks, err := js.Stream(t.Context(), string(stream.Callbacks))
	require.NoError(t, err)
	info, err := callbacks.Info(t.Context(), jetstream.WithSubjectFilter("callbacks.inbound.>"))
	require.NoError(t, err)
	require.Equal(t, map[string]uint64{"callbacks.inbound.default": 4}, info.State.Subjects, "each came once")
}

// A word that comes late counts at its time: the START that came by its webhook is newer.
func TestMissedStopThatIsOlderThanAStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	in := twiliosim.InboundMessage{From: string(person), To: string(smsFrom), Body: "STOP", LoseWebhook: true}
	_, err := w.sim.Inbound(t.Context(), in)
	require.NoError(t, err)
	w.exec(`select pg_sleep(1.1)`) // Twilio tells seconds
	in.Body, in.LoseWebhook = "START", false
	_, err = w.sim.Inbound(t.Context(), in)
	require.NoError(t, err)
	config := w.config()
	config.MissedAfter = time.Nanosecond
	w.run(config)
	require.True(t, w.wait(func() bool { return w.number(`select count(*) from consent`) == 2 }))
	states, err := w.Consent(t.Context(), []address.Address{person})
	require.NoError(t, err)
	require.Equal(t, consent.ReOptIn, states[person].On(message.SMS))
}

func TestReceivedByAMessagingService(t *testing.T) {
	t.Parallel()
	const service, pool = "MG1", address.Address("+15005550001")
	s := Sender{MessagingServiceSID: service, WhatsAppFrom: whatsAppFrom}
	in := func(sid string, channel message.Channel, to address.Address, service string) twilio.Resource {
		return twilio.Resource{SID: sid, Direction: "inbound", Channel: channel, To: to, MessagingServiceSID: service}
	}
	found := received{sender: &s, pool: map[address.Address]bool{}}
	for _, r := range []twilio.Resource{
		in("by service", message.SMS, "+15005550002", service), in("by number", message.SMS, pool, ""),
		in("another number", message.SMS, "+15005550003", ""), in("another service", message.SMS, "+15005550004", "MG2"),
		in("by WhatsApp", message.WhatsApp, whatsAppFrom, ""), in("another WhatsApp", message.WhatsApp, "+15005550005", ""),
		{SID: "ours", Direction: "outbound-api", Channel: message.SMS, From: pool, MessagingServiceSID: service},
		{SID: "waiting", Direction: "outbound-api", Channel: message.SMS, MessagingServiceSID: service},
	} {
		found.see(&r)
	}
	var got []string
	for _, r := range found.ours() {
		got = append(got, r.SID)
	}
	require.Equal(t, []string{"by service", "by number", "by WhatsApp"}, got)
}

// Messages to one person go in the order of their age, whatever the order on the belt.
func TestMessagesToOnePersonGoInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	var all []message.Message
	for i := range 5 {
		all = append(all, sms(person, strconv.Itoa(i)))
	}
	ids := w.store(all...)
	for _, i := range []int{3, 4, 2, 0, 1} {
		w.carry(ids[i])
	}
	w.start()
	for _, id := range ids {
		require.True(t, w.wait(func() bool {
			w.exec(`update belt set due_at = now() where seq is null and due_at > now()`) // the sweeper need not wait
			return w.message(id).State == message.Delivered
		}))
	}
	var texts []string
	for _, m := range w.outbound() {
		texts = append(texts, m.Body)
	}
	require.Equal(t, []string{"0", "1", "2", "3", "4"}, texts)
}

// A message that would be late at its next try ends at once.
func TestClassifyEndsWhatWouldBeLate(t *testing.T) {
	t.Parallel()
	d := bare(everySender())
	c := store.Claimed{Message: sms(person, "x"), Expires: time.Now().Add(2 * time.Second)}
	o := d.classify(c, &twilio.Error{Kind: twilio.NotSent, Status: 429, Reaction: twilio.Retry, RetryAfter: time.Minute})
	require.Equal(t, message.Expired, o.MessageState)
	require.Equal(t, message.ReasonValidity, o.Reason)
	require.Equal(t, message.Refused, o.State)
	o = d.classify(c, &twilio.Error{Kind: twilio.Unclear})
	require.Equal(t, message.Unknown, o.MessageState, "not without a proof")
}

func TestDeferredTryComesAtItsTime(t *testing.T) {
	t.Parallel()
	d := bare(everySender())
	rule := twilio.DefaultReactions().For(twilio.PhaseSend, 63018, 400)
	o := d.classify(store.Claimed{Message: wa(person), Channel: message.WhatsApp},
		&twilio.Error{Kind: twilio.Refused, Status: 400, Code: 63018, Rule: rule, Reaction: rule.Reaction})
	require.Equal(t, message.Queued, o.MessageState)
	require.GreaterOrEqual(t, o.RetryAfter, time.Hour)
	require.Less(t, o.RetryAfter, 2*time.Hour)
}

// lateClaim claims, and then the message's time runs out before the call.
type lateClaim struct{ Ledger }

func (l lateClaim) Claim(ctx context.Context, r store.ClaimRequest) (*store.ClaimResult, error) {
	result, err := l.Ledger.Claim(ctx, r)
	if err == nil {
		for i := range result.Claimed {
			result.Claimed[i].Expires = time.Now()
		}
	}
	return result, err
}

func TestMessageWhoseTimeRunsOutAfterTheClaimIsNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	config := w.config()
	config.Ledger = lateClaim{w.Store}
	w.run(config)
	m := w.becomes(w.queue(sms(person, "x"))[0], message.Expired)
	require.Equal(t, message.ReasonValidity, m.Reason)
	require.Zero(t, w.sim.Stats().Creates)
}
