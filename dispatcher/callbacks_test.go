package dispatcher

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

// heldSource fetches nothing before it is let go.
type heldSource struct {
	Source

	gate chan struct{}
}

func (h heldSource) Fetch(ctx context.Context, limit int) ([]*stream.Delivery, error) {
	select {
	case <-h.gate:
		return h.Source.Fetch(ctx, limit)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Guarantee 4. The simulator blocks nobody here, so that only we keep the message back.
func TestStopThatStillWaitsInTheStreamStopsASend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	w.reply(url.Values{"Body": {"STOP"}})
	id := w.queue(sms(person, "x"))[0]
	other := w.queue(sms("+14155550101", "x"))[0]
	config := w.config()
	gate := make(chan struct{})
	config.Inbound = heldSource{config.Inbound, gate}
	w.run(config)
	w.exec(`select pg_sleep(0.4)`) // time in which a dispatcher without the barrier sends
	require.Zero(t, w.sim.Stats().Creates)
	require.Equal(t, message.Queued, w.message(id).State)
	close(gate)
	require.Equal(t, message.ReasonOptedOut, w.becomes(id, message.Suppressed).Reason)
	w.becomes(other, message.Delivered)
	require.Zero(t, w.sim.Count(string(person)))
}

// lateStop lets a reply come in right after a claim is committed.
type lateStop struct {
	Ledger

	once sync.Once
	say  func()
}

func (l *lateStop) Claim(ctx context.Context, r store.ClaimRequest) (*store.ClaimResult, error) {
	result, err := l.Ledger.Claim(ctx, r)
	if err == nil && len(result.Claimed) > 0 {
		l.once.Do(l.say)
	}
	return result, err
}

func TestStopBetweenClaimAndCallStopsTheSend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	config := w.config()
	config.Ledger = &lateStop{Ledger: w.Store, say: func() { w.reply(url.Values{"Body": {"Stop."}}) }}
	ids := w.queue(sms(person, "x"), sms("+14155550101", "x"))
	w.run(config)
	m := w.becomes(ids[0], message.Suppressed)
	require.Equal(t, message.ReasonOptedOut, m.Reason)
	require.Equal(t, 1, w.number(`select count(*) from attempt where message_id = $1::uuid and state = 'canceled'`, ids[0]))
	w.becomes(ids[1], message.Delivered)
	require.Zero(t, w.sim.Count(string(person)))
}

// The same while nobody works on replies: the claim is given back.
func TestStopBetweenClaimAndCallThatNobodyWorksOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	config := w.config()
	gate := make(chan struct{})
	config.Inbound = heldSource{config.Inbound, gate}
	config.Ledger = &lateStop{Ledger: w.Store, say: func() { w.reply(url.Values{"Body": {"STOP"}}) }}
	id := w.queue(sms(person, "x"))[0]
	w.run(config)
	require.True(t, w.wait(func() bool {
		return w.number(`select count(*) from attempt where message_id = $1::uuid and state = 'canceled'`, id) == 1
	}))
	require.Equal(t, message.Queued, w.message(id).State)
	require.Zero(t, w.number(`select count(*) from live_attempt`))
	close(gate)
	require.Equal(t, message.ReasonOptedOut, w.becomes(id, message.Suppressed).Reason)
	require.Zero(t, w.sim.Stats().Creates)
}

// The stream of callbacks is deleted and made anew: its sequences start again, and so must the barrier.
func TestBarrierSurvivesANewStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	ctx := t.Context()
	b := barrier{belt: w.belt, inbound: w.belt.Consumer(stream.Inbound), worked: newNotifier()}
	answer := func() {
		got, err := w.belt.Consumer(stream.Inbound).Fetch(ctx, 10)
		require.NoError(t, err)
		for _, one := range got {
			require.NoError(t, one.Ack())
		}
		b.worked.wake()
	}
	stale, err := b.wait(ctx)
	require.NoError(t, err)
	require.False(t, stale)
	for range 3 {
		w.reply(url.Values{"Body": {"hi"}})
	}
	go answer()
	stale, err = b.wait(ctx)
	require.NoError(t, err)
	require.True(t, stale)
	stale, err = b.wait(ctx)
	require.NoError(t, err)
	require.False(t, stale, "nothing new")

	js, err := jetstream.New(w.nc)
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(ctx, string(stream.Callbacks)))
	again, err := stream.Open(ctx, w.nc, stream.Options{})
	require.NoError(t, err)
	t.Cleanup(again.Close)
	w.reply(url.Values{"Body": {"STOP"}})
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	stale, err = b.wait(short)
	require.True(t, stale)
	require.ErrorIs(t, err, context.DeadlineExceeded, "the reply in the new stream is not worked on")
}

// A lost acknowledgement only means that a reply comes again.
func TestBarrierHoldsUntilTheAcknowledgement(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.reply(url.Values{"Body": {"a"}})
	w.reply(url.Values{"Body": {"b"}})
	inbound := w.belt.Consumer(stream.Inbound)
	got, err := inbound.Fetch(t.Context(), 2)
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.NoError(t, got[1].Ack()) // the first one is still open
	b := barrier{belt: w.belt, inbound: inbound, worked: newNotifier()}
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = b.wait(short)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, got[0].Ack())
	_, err = b.wait(t.Context())
	require.NoError(t, err)
}

func TestKeywords(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		form    url.Values
		keyword string
		action  consent.Action
		source  consent.Source
	}{
		"stop":                       {url.Values{"Body": {" Stop. "}}, "stop", consent.OptOut, consent.FromKeyword},
		"start":                      {url.Values{"Body": {"START"}}, "start", consent.ReOptIn, consent.FromKeyword},
		"unstop":                     {url.Values{"Body": {"unstop"}}, "start", consent.ReOptIn, consent.FromKeyword},
		"yes is no consent":          {url.Values{"Body": {"yes"}}, "", "", ""},
		"help":                       {url.Values{"Body": {"HELP"}}, "help", "", ""},
		"talk":                       {url.Values{"Body": {"I stopped by"}}, "", "", ""},
		"Twilio says stop":           {url.Values{"Body": {"ARRET"}, "OptOutType": {"STOP"}}, "stop", consent.OptOut, consent.FromTwilio},
		"Twilio says start":          {url.Values{"Body": {"reprendre"}, "OptOutType": {"START"}}, "start", consent.ReOptIn, consent.FromTwilio},
		"Twilio takes a yes for it":  {url.Values{"Body": {"oui"}, "OptOutType": {"START"}}, "start", "", ""},
		"Twilio says help":           {url.Values{"Body": {"aide"}, "OptOutType": {"HELP"}}, "help", "", ""},
		"Twilio says something new":  {url.Values{"Body": {"hm"}, "OptOutType": {"PAUSE"}}, "", "", ""},
		"a NUL and broken UTF-8":     {url.Values{"Body": {"a\x00b\xff"}}, "", "", ""},
		"nothing but a picture":      {url.Values{"NumMedia": {"1"}, "MediaUrl0": {"https://api.twilio.com/x"}, "MediaContentType0": {"image/png"}}, "", "", ""},
		"whatsapp, a scoped id says": {url.Values{"Body": {"STOP"}, "From": {"whatsapp:US.1A2B"}, "To": {"whatsapp:" + string(whatsAppFrom)}}, "stop", consent.OptOut, consent.FromKeyword},
		"a button says stop":         {url.Values{"Body": {"No more offers"}, "ButtonPayload": {"opt_out"}}, "stop", consent.OptOut, consent.FromKeyword},
		"a stop without its text":    {url.Values{"ButtonText": {"Stop promotions"}, "ButtonPayload": {"3"}}, "stop", consent.OptOut, consent.FromKeyword},
		"a list entry says stop":     {url.Values{"Body": {"News"}, "ListId": {"unsubscribe"}, "ListTitle": {"News"}}, "stop", consent.OptOut, consent.FromKeyword},
		"a button, start beside it":  {url.Values{"Body": {"start"}, "OptOutType": {"START"}, "ButtonPayload": {"STOP"}}, "stop", consent.OptOut, consent.FromKeyword},
		"a button of doubt":          {url.Values{"Body": {"stop it"}, "ButtonPayload": {"STOP"}}, "stop", consent.OptOut, consent.FromKeyword},
		"a button says cancel":       {url.Values{"Body": {"Cancel my visit"}, "ButtonPayload": {"cancel"}}, "", "", ""},
		"a button says start":        {url.Values{"Body": {"Let's begin"}, "ButtonPayload": {"START"}}, "", "", ""},
	}
	w := newWorld(t, twiliosim.Config{})
	w.start()
	number := 0
	for name, c := range cases {
		number++
		from := fmt.Sprintf("+1415555%04d", number)
		if !c.form.Has("From") {
			c.form.Set("From", from)
		}
		from = strings.TrimPrefix(c.form.Get("From"), "whatsapp:")
		sid := fmt.Sprintf("SM%032x", number+0xabc000)
		c.form.Set("MessageSid", sid)
		w.reply(c.form)
		w.reply(c.form) // Twilio repeats itself
		w.repliesWorked()
		require.Equal(t, 1, w.number(`select count(*) from inbound where sid = $1 and address = $2 and keyword = $3`, sid, from, c.keyword), name)
		history, err := w.ConsentHistory(t.Context(), address.Address(from))
		require.NoError(t, err)
		if c.action == "" {
			require.Empty(t, history, name)
			continue
		}
		require.Len(t, history, 1, name)
		require.Equal(t, c.action, history[0].Action, name)
		require.Equal(t, c.source, history[0].Source, name)
		require.Equal(t, consent.AllChannels, history[0].Channel, name)
		require.Equal(t, sid, history[0].Evidence, name)
	}
	require.Empty(t, w.letters())
	require.Zero(t, w.number(`select count(*) from reply_task t join inbound i on i.sid = t.sid where i.keyword = 'stop'`))
	yes := url.Values{"From": {"+14155559999"}, "Body": {"Yes, I will come"}, "ButtonPayload": {"YES"}, "MessageSid": {"SM" + strings.Repeat("d", 32)}}
	w.reply(yes)
	w.repliesWorked()
	require.Equal(t, 1, w.number(`select count(*) from reply_task t join inbound i on i.sid = t.sid where i.button = 'YES' and i.keyword = ''`),
		"the reply rules are asked about a button that answers")
}

func TestOptedOutUntilStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	w.start()
	for _, step := range []struct {
		words string
		want  message.State
	}{
		{"STOP", message.Suppressed},
		{"yes", message.Suppressed},
		{"HELP", message.Suppressed},
		{"START", message.Delivered},
		{"stop", message.Suppressed},
		{"UNSTOP", message.Delivered},
	} {
		w.reply(url.Values{"Body": {step.words}})
		w.becomes(w.queue(sms(person, "after "+step.words))[0], step.want)
	}
	require.Equal(t, 2, w.sim.Count(string(person)))
}

func TestReplyIsLinkedToItsMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{NoWindow: true})
	w.start()
	first := w.becomes(w.queue(wa(person))[0], message.Delivered)
	second := w.becomes(w.queue(wa(person))[0], message.Delivered)
	say := func(in twiliosim.InboundMessage) twiliosim.InboundResult {
		in.From, in.To = "whatsapp:"+string(person), "whatsapp:"+string(whatsAppFrom)
		result, err := w.sim.Inbound(t.Context(), in)
		require.NoError(t, err)
		w.repliesWorked()
		return result
	}
	linked := func(sid string, m message.Message) {
		t.Helper()
		require.Equal(t, 1, w.number(`select count(*) from inbound where sid = $1 and message_id = $2::uuid and record_id = $3 and org = $4`,
			sid, m.ID, string(m.RecordID), string(testOrg)))
	}
	linked(say(twiliosim.InboundMessage{Body: "to the newest"}).SID, second)
	quoting := say(twiliosim.InboundMessage{
		Body: "to the first", RepliedTo: first.SID, MediaURLs: []string{"https://api.twilio.com/media"}, ButtonPayload: "yes-please",
	})
	linked(quoting.SID, first)
	require.Equal(t, 1, w.number(`select count(*) from inbound where sid = $1 and button = 'yes-please'
		and media->0->>'url' = 'https://api.twilio.com/media' and media->0->>'content_type' = 'image/jpeg'`, quoting.SID))
	require.Equal(t, 1, w.number(`select count(*) from conversation where contact_id = 'the contact' and last_inbound_at is not null`))
}

func TestCallbackBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{Callbacks: twiliosim.Callbacks{Early: true, Duplicate: true}})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.HangCreated}) // the callback is all that we ever get
	config := w.config()
	config.SendTimeout = time.Second
	w.run(config)
	hung := w.becomes(w.queue(sms(person, "x"))[0], message.Delivered)
	early := w.becomes(w.queue(sms("+14155550101", "x"))[0], message.Delivered)
	for _, m := range []message.Message{hung, early} {
		require.Equal(t, 1, m.Attempts)
		require.NotEmpty(t, m.SID)
	}
	require.Len(t, w.outbound(), 2)
}

func TestCallbacksShuffledRepeatedAndOfStrangers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{Callbacks: twiliosim.Callbacks{Reorder: true, Duplicate: true}, ReadReceipts: true})
	w.start()
	m := w.becomes(w.queue(wa(person))[0], message.Read)
	post := func(form url.Values) {
		require.NoError(t, w.publish(t.Context(), stream.KindStatus, "message=x", []byte(form.Encode())))
	}
	for _, status := range []string{"sent", "queued", "delivered", "undelivered"} {
		post(url.Values{"MessageSid": {m.SID}, "MessageStatus": {status}})
	}
	stranger := "SM" + strings.Repeat("f", 32)
	post(url.Values{"MessageSid": {stranger}, "MessageStatus": {"delivered"}})
	require.True(t, w.wait(func() bool { return w.number(`select count(*) from delivery_event where sid = $1`, stranger) == 1 }))
	require.Equal(t, message.Read, w.message(m.ID).State)
	require.Empty(t, w.letters())
}

func TestUnreadableCallbacksGoToTheDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	bodies := []string{"%zz", "MessageSid=SM1", "MessageSid=SM" + strings.Repeat("1", 32) + "&MessageStatus=teleported"}
	for _, body := range bodies {
		require.NoError(t, w.publish(t.Context(), stream.KindStatus, "", []byte(body)))
	}
	require.NoError(t, w.publish(t.Context(), stream.KindInbound, "", []byte("Body=STOP")))
	w.reply(url.Values{"Body": {"STOP"}})
	w.start()
	m := w.becomes(w.queue(sms("+14155550101", "x"))[0], message.Delivered)
	require.NotEmpty(t, m.SID)
	require.True(t, w.wait(func() bool { return len(w.letters()) == len(bodies)+1 }))
	require.Equal(t, 1, w.number(`select count(*) from consent where address = $1`, string(person)))
	for _, letter := range w.letters() {
		require.Equal(t, stream.Callbacks, letter.Stream)
		require.NotContains(t, letter.Reason, "teleported")
	}
}

// A STOP that arrived counts, whatever else is wrong with what Twilio sent.
func TestStopInABrokenCallbackCounts(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		form   url.Values
		letter bool
		review bool
	}{
		"number of media":     {form: url.Values{"NumMedia": {"x"}}},
		"no account":          {form: url.Values{"AccountSid": {""}}},
		"quoted message":      {form: url.Values{"OriginalRepliedMessageSid": {"../" + strings.Repeat("x", 5000)}}},
		"another address":     {form: url.Values{"ExternalUserId": {strings.Repeat("x", 5000)}}},
		"another SID is good": {form: url.Values{"MessageSid": {"../x"}, "SmsSid": {"SM" + strings.Repeat("e", 32)}}},
		"long texts":          {form: url.Values{"ProfileName": {strings.Repeat("x", 9000)}, "ButtonPayload": {strings.Repeat("x", 9000)}}},
		"no SID":              {form: url.Values{"MessageSid": {"../x"}}, letter: true},
		"no sender":           {form: url.Values{"To": {""}}, letter: true},
		"no sender, doubtful": {form: url.Values{"To": {"fax:1"}, "Body": {"please leave me alone"}}, letter: true, review: true},
	}
	w := newWorld(t, twiliosim.Config{})
	letters, number := 0, 0
	from := map[string]string{}
	for name, c := range cases {
		number++
		from[name] = fmt.Sprintf("+1415555%04d", number)
		c.form.Set("From", from[name])
		if !c.form.Has("Body") {
			c.form.Set("Body", "STOP")
		}
		if c.letter {
			letters++
		}
		w.reply(c.form)
	}
	w.start()
	w.repliesWorked()
	for name, c := range cases {
		states, err := w.Consent(t.Context(), []address.Address{address.Address(from[name])})
		require.NoError(t, err)
		state := states[address.Address(from[name])]
		require.Equal(t, !c.review, state.Stopped(message.SMS, message.DefaultProgram), name)
		require.Equal(t, c.review, state.UnderReview(), name)
		require.Equal(t, c.letter, w.number(`select count(*) from inbound where address = $1`, from[name]) == 0, name)
	}
	require.Len(t, w.letters(), letters)
}

// The same for an error code that says so.
func TestOptOutInABrokenStatusCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	form := url.Values{"MessageSid": {"../x"}, "MessageStatus": {"failed"}, "ErrorCode": {"21610"}, "To": {string(person)}}
	require.NoError(t, w.publish(t.Context(), stream.KindOptOut, "", []byte(form.Encode())))
	w.start()
	w.repliesWorked()
	states, err := w.Consent(t.Context(), []address.Address{person})
	require.NoError(t, err)
	require.True(t, states[person].Stopped(message.SMS, message.DefaultProgram))
	require.Len(t, w.letters(), 1)
}
