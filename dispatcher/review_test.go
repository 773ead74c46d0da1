package dispatcher

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"sync/atomic"
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

func TestAlike(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		theirs, ours string
		want         bool
	}{
		"the same":             {"Hello Ana", "Hello Ana", true},
		"a trial account":      {"Sent from your Twilio trial account - Hello Ana", "Hello Ana", true},
		"trimmed":              {"Hello Ana", "  Hello Ana\n", true},
		"spaces and lines":     {"Hello Ana", "Hello\u00a0 \r\nAna", true},
		"smart quotes":         {`It's "here"`, "It\u2019s \u201chere\u201d", true},
		"dashes and dots":      {"a-b-c...", "a\u2013b\u2014c\u2026", true},
		"smart on their side":  {"It\u2018s", "It's", true},
		"other words":          {"Hello Bob", "Hello Ana", false},
		"words behind":         {"Hello Ana, bye", "Hello Ana", false},
		"cut short":            {"Hello A", "Hello Ana", false},
		"another case":         {"hello ana", "Hello Ana", false},
		"nothing":              {"", "Hello Ana", false},
		"letters outside GSM7": {"Gr\u00fc\u00dfe \u2713", "Gr\u00fc\u00dfe \u2713", true},
	} {
		require.Equal(t, c.want, alike(c.theirs, c.ours), name)
	}
}

// left leaves a message behind as a dispatcher does that dies after its call, with the sender and text that it used then.
func (w *world) left(m message.Message, from, text string) (id, sid string) {
	w.t.Helper()
	id = w.queue(m)[0]
	w.die(id, func(c store.Claimed) {
		request := twilio.Request{From: from, To: string(c.Message.To), Channel: c.Channel, Body: text}
		if text == "" {
			request.ContentSID, request.ContentVariables = contentSID, map[string]string{"1": "Ana"}
		}
		result, err := w.sim.Client(w.t).Send(w.t.Context(), request)
		require.NoError(w.t, err)
		sid = result.SID
	})
	return id, sid
}

// The senders that the configuration may have changed to since.
func changedSenders() map[string]Sender {
	return map[string]Sender{
		"another number":      {Name: "default", SMSFrom: "+15005550009", WhatsAppFrom: "+15005550009"},
		"a messaging service": {Name: "default", MessagingServiceSID: "MG00000000000000000000000000000001"},
	}
}

func TestOurTextFromAnotherSenderIsAdopted(t *testing.T) {
	t.Parallel()
	for name, sender := range changedSenders() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, twiliosim.Config{})
			id, sid := w.left(sms(person, "Hello \u201cAna\u201d"), string(smsFrom), `Hello "Ana"`)
			config := w.config()
			config.Lanes[0].Sender = sender
			w.run(config)
			m := w.becomes(id, message.Accepted, message.Sent, message.Delivered)
			require.Equal(t, sid, m.SID)
			require.Equal(t, 1, m.Attempts)
			require.EqualValues(t, 1, w.sim.Stats().Creates)
		})
	}
}

func TestOtherTextFromAnotherSenderIsADoubt(t *testing.T) {
	t.Parallel()
	for name, sender := range changedSenders() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, twiliosim.Config{})
			id, _ := w.left(sms(person, "Hello Ana"), string(smsFrom), "Hello Bob")
			w.staysUnknown(id, sender)
		})
	}
}

// A template can't be compared: from another sender it may be ours or not.
func TestATemplateFromAnotherSenderIsADoubt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	id, _ := w.left(wa(person), string(whatsAppFrom), "")
	w.staysUnknown(id, changedSenders()["another number"])
}

// staysUnknown runs a dispatcher through several look-ups.
func (w *world) staysUnknown(id string, sender Sender) {
	w.t.Helper()
	config := w.config()
	config.Lanes[0].Sender = sender
	lists := &countedLists{Twilio: config.Lanes[0].Twilio}
	config.Lanes[0].Twilio = lists
	w.run(config)
	require.True(w.t, w.wait(func() bool { return lists.n.Load() >= 6 }))
	require.Equal(w.t, message.Unknown, w.message(id).State)
	require.EqualValues(w.t, 1, w.sim.Stats().Creates, "it is never sent again")
	require.Equal(w.t, 1, w.number(`select count(*) from attempt where state = 'unknown' and detail like '%may be this one'`))
}

type countedLists struct {
	Twilio

	n atomic.Int64
}

func (c *countedLists) List(ctx context.Context, q twilio.ListQuery) ([]twilio.Resource, error) {
	defer c.n.Add(1)
	return c.Twilio.List(ctx, q)
}

// ends waits until Twilio shows the end of a message, so that it is what the look-up finds.
func (w *world) ends(sid, status string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	require.NoError(w.t, w.sim.WaitFor(ctx, func(all []twiliosim.Message) bool {
		return slices.ContainsFunc(all, func(m twiliosim.Message) bool { return m.SID == sid && m.Status == status })
	}))
}

// No callback of the adopted message ever comes: what the look-up shows is treated like one.
func TestAdoptedFailureFallsBackToSMS(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Failed, Code: 63003})
	id, sid := w.left(both(person, "by SMS"), string(whatsAppFrom), "")
	w.ends(sid, "failed")
	w.start()
	m := w.becomes(id, message.Delivered)
	require.Equal(t, message.SMS, m.Channel)
	require.Equal(t, 2, m.Attempts)
	require.Equal(t, 1, w.sim.Count("whatsapp:"+string(person)))
	require.Equal(t, 1, w.sim.Count(string(person)))
	require.Equal(t, 1, w.number(`select count(*) from attempt where message_id = $1::uuid and sid = $2 and state = 'failed' and error_code = 63003`, id, sid))
}

func TestAdoptedFailureWithoutAnotherChannelIsTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Failed, Code: 63003})
	id, sid := w.left(wa(person), string(whatsAppFrom), "")
	w.ends(sid, "failed")
	w.start()
	m := w.becomes(id, message.Failed)
	require.Equal(t, 63003, m.ErrorCode)
	require.EqualValues(t, 1, w.sim.Stats().Creates)
}

func TestAdoptedRefusalOfThePersonIsAnOptOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Undelivered, Code: 63014})
	id, sid := w.left(wa(person), string(whatsAppFrom), "")
	w.ends(sid, "undelivered")
	w.start()
	require.True(t, w.wait(func() bool { return w.number(`select count(*) from consent where address = $1`, string(person)) == 1 }))
	history, err := w.ConsentHistory(t.Context(), person)
	require.NoError(t, err)
	require.Equal(t, consent.OptOut, history[0].Action)
	require.Equal(t, consent.FromErrorCode, history[0].Source)
	require.Equal(t, message.WhatsApp, history[0].Channel)
	require.True(t, w.message(id).State.Final())
	next := w.becomes(w.queue(wa(person))[0], message.Suppressed)
	require.Equal(t, message.ReasonOptedOut, next.Reason)
	require.EqualValues(t, 1, w.sim.Stats().Creates)
}

// refusesReplies takes no reply, for a reason that waiting does not cure, and no consent before it has been asked a few times.
type refusesReplies struct {
	Ledger

	away atomic.Int64
}

func (r *refusesReplies) ApplyReply(context.Context, store.Reply) (store.Linked, error) {
	return store.Linked{}, errors.New("this row can't be stored")
}

func (r *refusesReplies) AddConsent(ctx context.Context, entry consent.Entry) error {
	if r.away.Add(-1) >= 0 {
		return context.DeadlineExceeded // the ledger is away as well
	}
	return r.Ledger.AddConsent(ctx, entry)
}

// Whatever is wrong with the rest of a reply, its STOP counts.
func TestStopWhoseReplyCannotBeStored(t *testing.T) {
	t.Parallel()
	const talker, returns = address.Address("+14155550101"), address.Address("+14155550102")
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	w.reply(url.Values{"Body": {"STOP"}, "MessageSid": {"SM0000000000000000000000000000abcd"}})
	w.reply(url.Values{"Body": {"hello"}, "From": {string(talker)}})
	w.reply(url.Values{"Body": {"START"}, "From": {string(returns)}})
	ids := w.queue(sms(person, "x"), sms(talker, "x"), sms(returns, "x"))
	ledger := &refusesReplies{Ledger: w.Store}
	ledger.away.Store(2)
	config := w.config()
	config.Ledger = ledger
	w.run(config)
	require.Equal(t, message.ReasonOptedOut, w.becomes(ids[0], message.Suppressed).Reason)
	w.becomes(ids[1], message.Delivered)
	w.becomes(ids[2], message.Delivered)
	history, err := w.ConsentHistory(t.Context(), person)
	require.NoError(t, err)
	require.Len(t, history, 1)
	require.Equal(t, consent.OptOut, history[0].Action)
	require.Equal(t, consent.AllChannels, history[0].Channel)
	require.Equal(t, "SM0000000000000000000000000000abcd", history[0].Evidence)
	require.Equal(t, consent.AnyOrg, history[0].Org)
	require.Len(t, w.letters(), 3, "the replies themselves are kept")
	require.Zero(t, w.number(`select count(*) from inbound`))
	require.Equal(t, 1, w.number(`select count(*) from consent where address = $1 and action = 're_opt_in'`, string(returns)))
	require.Zero(t, w.sim.Count(string(person)))
}

// Twilio's 429 says nothing of the message. What it says of the message counts, and ends at the limit.
func TestOnlyRefusalsOfTheMessageCountAsTries(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	d := bare(everySender()) // with three tries
	reactions := twilio.DefaultReactions()
	busy := &twilio.Error{Kind: twilio.NotSent, Status: 429, Code: 20429, Rule: reactions.For(twilio.PhaseSend, 20429, 429), Op: "send"}
	full := &twilio.Error{Kind: twilio.Refused, Status: 400, Code: 21611, Rule: reactions.For(twilio.PhaseSend, 21611, 400), Op: "send"}
	full.Reaction = full.Rule.Reaction
	id := w.store(sms(person, "x"))[0]
	claim := func() store.Claimed {
		w.exec(`update message set not_before = created_at where id = $1::uuid`, id)
		result, err := w.Claim(t.Context(), store.ClaimRequest{
			IDs: []string{id}, Sender: "default", Lease: time.Minute,
			Judge: func(c store.Candidate) store.Verdict { return store.Verdict{Send: c.Message.Channels[0]} },
		})
		require.NoError(t, err)
		require.Len(t, result.Claimed, 1)
		return result.Claimed[0]
	}
	fail := func(failure error, tries int, want message.State, reason message.Reason) {
		t.Helper()
		c := claim()
		require.Equal(t, tries, c.Tries)
		require.NoError(t, w.Record(t.Context(), []store.Outcome{d.classify(c, failure)}))
		m := w.message(id)
		require.Equal(t, want, m.State)
		require.Equal(t, reason, m.Reason)
	}
	for range 20 {
		fail(busy, 0, message.Queued, message.ReasonRetry)
	}
	for tries := range d.Tries {
		fail(full, tries, message.Queued, message.ReasonRetry)
		fail(busy, tries+1, message.Queued, message.ReasonRetry)
	}
	accepted := claim()
	require.Equal(t, 27, accepted.Message.Attempts, "20 + 3 * 2, and this one")
	require.NoError(t, w.Record(t.Context(), []store.Outcome{d.classify(accepted, busy)}))
	fail(full, d.Tries, message.Failed, message.ReasonRetriesExhausted)
}

// A message that Twilio had no time for twenty times is accepted in the end, with a limit of one try.
func TestRateLimitsDoNotUseUpTries(t *testing.T) {
	t.Parallel()
	const times = 20
	w := newWorld(t, twiliosim.Config{})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.RateLimit, Count: times})
	config := w.config()
	config.Tries = 1
	w.run(config)
	id := w.queue(sms(person, "x"))[0]
	require.True(t, w.wait(func() bool {
		w.exec(`update message set not_before = created_at where id = $1::uuid and state = 'queued'`, id)
		w.exec(`update belt set due_at = now() where message_id = $1::uuid and seq = 0`, id)
		return w.message(id).State == message.Delivered
	}))
	require.EqualValues(t, times+1, w.sim.Stats().Creates)
	require.Equal(t, times+1, w.message(id).Attempts)
}
