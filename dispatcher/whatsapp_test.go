package dispatcher

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

const (
	onWhatsApp = "whatsapp:" + string(person)
	german     = address.Address("+4915112345678")
)

// written lets the person write to us on WhatsApp, which opens the window.
func (w *world) written(sender address.Address) {
	w.t.Helper()
	_, err := w.sim.Inbound(w.t.Context(), twiliosim.InboundMessage{From: onWhatsApp, To: "whatsapp:" + string(sender), Body: "hi"})
	require.NoError(w.t, err)
	w.repliesWorked()
}

// waits waits until the message is queued again for the reason, and returns how long from now that is.
func (w *world) waits(id string, reason message.Reason) time.Duration {
	w.t.Helper()
	require.True(w.t, w.wait(func() bool {
		w.exec(`update belt b set due_at = now() from message m where b.message_id = $1::uuid and m.id = b.message_id
			and b.seq is not null and m.not_before <= now() and b.due_at > now()`, id)
		m := w.message(id)
		return m.State == message.Queued && m.Reason == reason
	}))
	return time.Until(w.message(id).NotBefore)
}

// arrives is becomes without the half minute that passes when a claim finds the row locked by the second of two callbacks.
func (w *world) arrives(id string, state message.State) message.Message {
	w.t.Helper()
	require.True(w.t, w.wait(func() bool {
		w.exec(`update belt b set due_at = now() from message m where b.message_id = $1::uuid and m.id = b.message_id
			and b.seq is not null and m.not_before <= now() and b.due_at > now()`, id)
		return w.message(id).State == state
	}), "the message is %s (%s)", w.message(id).State, w.message(id).Reason)
	return w.message(id)
}

// twice has every callback posted twice, as Twilio may.
func twice() twiliosim.Config {
	return twiliosim.Config{Callbacks: twiliosim.Callbacks{Duplicate: true}}
}

// faults are the two ways in which a code arrives: in the answer to the call, and in a callback.
func faults(t *testing.T, code int, test func(t *testing.T, w *world, calls int64)) {
	t.Helper()
	for name, kind := range map[string]twiliosim.FaultKind{"refused": twiliosim.Refuse, "undelivered": twiliosim.Undelivered} {
		t.Run(name+" "+strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, twice())
			for _, to := range []string{onWhatsApp, "whatsapp:" + string(german)} {
				w.sim.AddFault(twiliosim.Fault{Kind: kind, Code: code, To: to})
			}
			w.start()
			made := int64(1) // of the messages at Twilio: the one that failed exists unless it was refused
			if kind == twiliosim.Refuse {
				made = 0
			}
			test(t, w, made)
		})
	}
}

// 63016: the free text went out although the window was closed. The same message goes again as its template, once.
func TestClosedWindowSendsTheTemplate(t *testing.T) {
	t.Parallel()
	faults(t, 63016, func(t *testing.T, w *world, made int64) {
		t.Helper()
		w.written(whatsAppFrom)
		id := w.queue(both(person, "by SMS"))[0]
		m := w.arrives(id, message.Delivered)
		require.Equal(t, message.WhatsApp, m.Channel)
		require.Equal(t, 2, m.Attempts)
		sent, _ := w.sim.Message(m.SID)
		require.Equal(t, contentSID, sent.ContentSID)
		require.Equal(t, int64(2), w.sim.Stats().Creates)
		require.Equal(t, made+1, w.sim.Stats().Created)
		require.Zero(t, w.sim.Count(string(person)))

		next := w.arrives(w.queue(wa(person))[0], message.Delivered) // the cache has learned it
		require.Equal(t, 1, next.Attempts)
		sent, _ = w.sim.Message(next.SID)
		require.Equal(t, contentSID, sent.ContentSID)

		w.written(whatsAppFrom) // a window of its own
		again := w.arrives(w.queue(wa(person))[0], message.Delivered)
		sent, _ = w.sim.Message(again.SID)
		require.Equal(t, "free text", sent.Body)
		require.Equal(t, int64(4), w.sim.Stats().Creates)
	})
}

func TestClosedWindowWithoutATemplate(t *testing.T) {
	t.Parallel()
	faults(t, 63016, func(t *testing.T, w *world, made int64) {
		t.Helper()
		w.written(whatsAppFrom)
		free := both(person, "by SMS")
		free.Content.WhatsApp.ContentSID = ""
		m := w.arrives(w.queue(free)[0], message.Delivered)
		require.Equal(t, message.SMS, m.Channel)
		require.Equal(t, 2, m.Attempts)
		require.Equal(t, made+1, w.sim.Stats().Created)
		require.Equal(t, 1, w.sim.Count(string(person)))

		w.written(whatsAppFrom)
		w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Undelivered, Code: 63016, To: onWhatsApp})
		alone := free
		alone.Channels = []message.Channel{message.WhatsApp}
		m = w.arrives(w.queue(alone)[0], message.Undelivered) // it is parked
		require.Equal(t, 63016, m.ErrorCode)
		require.Equal(t, 1, m.Attempts)
		require.Equal(t, int64(3), w.sim.Stats().Creates)
	})
}

// 63018: a limit of WhatsApp. It waits, and goes on the same channel.
func TestWhatsAppLimitDefers(t *testing.T) {
	t.Parallel()
	faults(t, 63018, func(t *testing.T, w *world, made int64) {
		t.Helper()
		id := w.queue(both(person, "by SMS"))[0]
		wait := w.waits(id, message.ReasonRetry)
		require.Greater(t, wait, 50*time.Minute)
		require.LessOrEqual(t, wait, 24*time.Hour)
		require.Equal(t, int64(1), w.sim.Stats().Creates)
		w.exec(`update message set not_before = now() where id = $1::uuid`, id)
		m := w.arrives(id, message.Delivered)
		require.Equal(t, message.WhatsApp, m.Channel)
		require.Equal(t, int64(2), w.sim.Stats().Creates)
		require.Equal(t, made+1, w.sim.Stats().Created)
		require.Zero(t, w.sim.Count(string(person)))
	})
}

// 63003, 63024, and 63049 in the United States: never on WhatsApp again, and once by SMS.
func TestFallsBackToSMSOnce(t *testing.T) {
	t.Parallel()
	for _, code := range []int{63003, 63024, 63049} {
		faults(t, code, func(t *testing.T, w *world, made int64) {
			t.Helper()
			m := w.arrives(w.queue(both(person, "by SMS"))[0], message.Delivered)
			require.Equal(t, message.SMS, m.Channel)
			require.Equal(t, 2, m.Attempts)
			require.Equal(t, int64(2), w.sim.Stats().Creates)
			require.Equal(t, int(made), w.sim.Count(onWhatsApp))
			require.Equal(t, 1, w.sim.Count(string(person)))
		})
	}
}

// 63049 elsewhere: again with growing waits, never at once; then by SMS.
func TestMetaDeclinesElsewhere(t *testing.T) {
	t.Parallel()
	faults(t, 63049, func(t *testing.T, w *world, made int64) {
		t.Helper()
		w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Undelivered, Code: 63049, To: "whatsapp:" + string(german), Count: 3})
		id := w.queue(lasting(both(german, "by SMS"), 24*time.Hour))[0]
		var before time.Duration
		for range 3 {
			wait := w.waits(id, message.ReasonRetry)
			require.Greater(t, wait, max(50*time.Minute, before))
			before = wait
			w.exec(`update message set not_before = now(), reason = '' where id = $1::uuid`, id)
			w.exec(`update belt set due_at = now() where message_id = $1::uuid`, id)
		}
		m := w.arrives(id, message.Delivered)
		require.Equal(t, message.SMS, m.Channel)
		require.Equal(t, 5, m.Attempts)
		require.Equal(t, int64(5), w.sim.Stats().Creates)
		require.Equal(t, int(made)+3, w.sim.Count("whatsapp:"+string(german)))
		require.Equal(t, 1, w.sim.Count(string(german)))
	})
}

// 63049 elsewhere, of a message whose time ends before the next try: by SMS, while there is time.
func TestMetaDeclinesElsewhereAndTimeIsShort(t *testing.T) {
	t.Parallel()
	faults(t, 63049, func(t *testing.T, w *world, made int64) {
		t.Helper()
		w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Undelivered, Code: 63049, To: "whatsapp:" + string(german), Count: 2})
		id := w.queue(lasting(both(german, "by SMS"), 90*time.Minute))[0]
		w.waits(id, message.ReasonRetry)
		w.exec(`update message set not_before = now(), reason = '' where id = $1::uuid`, id)
		w.exec(`update belt set due_at = now() where message_id = $1::uuid`, id)
		m := w.arrives(id, message.Delivered)
		require.Equal(t, message.SMS, m.Channel)
		require.Equal(t, 3, m.Attempts)
		require.Equal(t, int(made)+1, w.sim.Count("whatsapp:"+string(german)))
		require.Equal(t, 1, w.sim.Count(string(german)))
	})
}

// The window belongs to the sender that the person wrote to.
func TestWindowIsPerSender(t *testing.T) {
	t.Parallel()
	const other = address.Address("+14155238899")
	w := newWorld(t, twiliosim.Config{})
	config := w.config()
	marketing := w.lane(Sender{Name: "marketing", WhatsAppFrom: other}, w.sim)
	config.Lanes = append(config.Lanes, marketing)
	w.run(config)
	w.written(whatsAppFrom)
	m := wa(person)
	m.Sender = "marketing"
	sent, _ := w.sim.Message(w.becomes(w.queue(m)[0], message.Delivered).SID)
	require.Equal(t, contentSID, sent.ContentSID)
	sent, _ = w.sim.Message(w.becomes(w.queue(wa(person))[0], message.Delivered).SID)
	require.Equal(t, "free text", sent.Body)
}

func TestNoMarketingTemplatesToTheUnitedStates(t *testing.T) {
	t.Parallel()
	now := time.Now()
	in := consent.State{{Channel: consent.AllChannels, Action: consent.OptIn, At: now.Add(-time.Hour)}}
	wrote := map[message.Channel]time.Time{message.WhatsApp: now.Add(-time.Hour)}
	marketing := func(to address.Address, channels ...message.Channel) message.Message {
		m := both(to, "x")
		m.Purpose, m.Channels = message.Marketing, channels
		return m
	}
	l := bare(everySender())
	l.gates = slices.DeleteFunc(l.gates, func(g gate) bool { return g.name == "hours" }) // they have their own tests
	const wa, text = message.WhatsApp, message.SMS
	templateOnly := marketing(person, wa, text)
	templateOnly.Content.WhatsApp.Text = ""
	transactional := both(person, "x")
	for name, c := range map[string]struct {
		message message.Message
		inbound map[message.Channel]time.Time
		want    store.Verdict
	}{
		"by SMS instead":               {marketing(person, wa, text), nil, store.Verdict{Send: text, Index: 1}},
		"never":                        {marketing(person, wa), nil, store.Verdict{Suppress: message.ReasonUSMarketing}},
		"free text inside the window":  {marketing(person, wa, text), wrote, store.Verdict{Send: wa, FreeText: true}},
		"a template inside the window": {templateOnly, wrote, store.Verdict{Send: text, Index: 1}},
		"somebody in Germany":          {marketing(german, wa, text), nil, store.Verdict{Send: wa}},
		"somebody in Canada":           {marketing("+14165550100", wa, text), nil, store.Verdict{Send: wa}},
		"of an unknown country":        {marketing("+19995550100", wa, text), nil, store.Verdict{Send: text, Index: 1}},
		"a business-scoped id":         {marketing("US.1A2B", wa), nil, store.Verdict{Suppress: message.ReasonUSMarketing}},
		"transactional":                {transactional, nil, store.Verdict{Send: wa}},
	} {
		got := l.judge(store.Candidate{Message: c.message, Consent: in, LastInbound: c.inbound, Now: now})
		got.Answers = nil
		require.Equal(t, c.want, got, name)
	}
}

func TestWhyThereIsNoRoute(t *testing.T) {
	t.Parallel()
	l := bare(Sender{Name: "default", WhatsAppFrom: whatsAppFrom})
	free := both(person, "x")
	free.Content.WhatsApp.ContentSID = ""
	text := sms(person, "x")
	text.Channels = []message.Channel{message.WhatsApp}
	for want, m := range map[string]message.Message{
		"the WhatsApp window for free text is closed, and there is no approved template": free,
		"the sender has nothing to send from on sms":                                     sms(person, "x"),
		"there is no text for whatsapp":                                                  text,
	} {
		got := l.judge(store.Candidate{Message: m, Now: time.Now()})
		require.Equal(t, message.ReasonNoRoute, got.Suppress)
		require.Equal(t, want, got.Detail)
	}
}

// A template whose variables WhatsApp would refuse is left out by the router. The trace tells why the message went another way, or none.
func TestWhyATemplateWasLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.start()
	const why = "variable 2 has a line break or a tab, which WhatsApp refuses"
	m := both(person, "by SMS")
	m.Content.WhatsApp, m.Detail = nil, why
	id := w.queue(m)[0]
	require.Equal(t, message.SMS, w.becomes(id, message.Delivered).Channel)
	trace, err := w.Trace(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, trace.Messages[0].Gates, 1)
	require.Equal(t, why, trace.Messages[0].Gates[0].Answers[0].Words)

	free := wa(german)
	free.Content.WhatsApp.ContentSID, free.Detail = "", why
	ended := w.becomes(w.queue(free)[0], message.Suppressed)
	require.Equal(t, message.ReasonNoRoute, ended.Reason)
	require.Equal(t, "the WhatsApp window for free text is closed, and there is no approved template: "+why, ended.Detail)
}

func TestFilesGoOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.start()
	w.written(whatsAppFrom)
	links := []string{"https://example.com/a.jpg", "https://example.com/b.pdf"}
	m := both(person, "see the plan")
	m.Content.SMS.Media, m.Content.WhatsApp.Media = links, links[:1]
	sent, _ := w.sim.Message(w.becomes(w.queue(m)[0], message.Delivered).SID)
	require.Equal(t, "free text", sent.Body)
	require.Equal(t, links[:1], sent.MediaURLs)

	m.Channels = []message.Channel{message.SMS}
	sent, _ = w.sim.Message(w.becomes(w.queue(m)[0], message.Delivered).SID)
	require.Equal(t, links, sent.MediaURLs)
	listed, err := w.sim.Client(t).Fetch(t.Context(), sent.SID)
	require.NoError(t, err)
	require.Equal(t, 2, listed.Media)

	m.To, m.Channels = german, []message.Channel{message.WhatsApp} // outside the window: the template has its own
	sent, _ = w.sim.Message(w.becomes(w.queue(m)[0], message.Delivered).SID)
	require.Equal(t, contentSID, sent.ContentSID)
	require.Empty(t, sent.MediaURLs)
}

// What an older program stored is looked at once more before it goes out.
func TestBadVariablesAreNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.start()
	bad := wa(person)
	bad.Content.WhatsApp.Variables = map[string]string{"1": "Ana", "2": "line\nbreak"}
	m := w.becomes(w.queue(bad)[0], message.Failed)
	require.Equal(t, message.ReasonTemplateError, m.Reason)
	require.Contains(t, m.Detail, "variable 2 has a line break")
	require.Zero(t, w.sim.Stats().Creates)

	bad = both(person, "by SMS")
	bad.Content.WhatsApp.Variables = map[string]string{"2": "Ana"}
	m = w.becomes(w.queue(bad)[0], message.Delivered)
	require.Equal(t, message.SMS, m.Channel)
	require.Equal(t, int64(1), w.sim.Stats().Creates)
}

func TestOptOutsAreCountedByRule(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	config := w.config()
	registry := prometheus.NewRegistry()
	config.Metrics = registry
	d, _ := w.begin(config)
	require.NoError(t, d.countOptOuts(t.Context(), 0)) // from now on
	delivered := w.becomes(w.queue(sms(person, "x"))[0], message.Delivered)
	for range 2 { // a repeated webhook
		w.reply(url.Values{"Body": {"STOP"}, "MessageSid": {"SM" + strings.Repeat("7", 32)}})
	}
	w.repliesWorked()
	w.becomes(w.queue(sms("+15005550004", "x"))[0], message.Suppressed) // 21610
	for range 2 {                                                       // 63014 in a callback
		require.NoError(t, w.belt.PublishCallback(t.Context(), stream.KindOptOut, "", map[string]string{
			stream.HeaderReceived: time.Now().UTC().Format(time.RFC3339Nano),
		}, []byte(url.Values{"MessageSid": {delivered.SID}, "MessageStatus": {"undelivered"}, "ErrorCode": {"63014"}, "To": {string(person)}}.Encode())))
	}
	const doubtful = "+14155550109"
	w.becomes(w.queue(sms(doubtful, "x"))[0], message.Delivered)
	w.reply(url.Values{"Body": {"leave me alone"}, "From": {doubtful}})
	w.repliesWorked()
	reviews, err := w.Reviews(t.Context(), false)
	require.NoError(t, err)
	require.Len(t, reviews, 1)
	require.NoError(t, w.DecideReview(t.Context(), reviews[0].ID, store.Ruling{As: store.DecideOptOut, By: "ana"}))
	require.NoError(t, d.countOptOuts(t.Context(), 0))
	require.NoError(t, d.countOptOuts(t.Context(), 0), "each is counted once")
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`# HELP beckon_optouts_total Opt-outs that answer a message, by its rule.
# TYPE beckon_optouts_total counter
beckon_optouts_total{rule="a-rule"} 4
# HELP beckon_rule_messages_total Messages that Twilio took, by rule.
# TYPE beckon_rule_messages_total counter
beckon_rule_messages_total{rule="a-rule"} 2
`), "beckon_optouts_total", "beckon_rule_messages_total"))
}
