package dispatcher

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	hours "github.com/beckonhq/beckon/internal/quiet"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twilio"
)

// bare is a lane for its pure parts.
func bare(sender Sender) *lane {
	m, _ := newMetrics(prometheus.NewRegistry(), twilio.DefaultReactions().Known())
	config := Config{Tries: 3, ReconcileAfter: time.Minute, Log: slog.New(slog.DiscardHandler)}.withDefaults()
	config.Hours, _ = hours.Shipped()
	d := &Dispatcher{Config: config, metrics: m}
	d.lanes = []*lane{d.newLane(Lane{Sender: sender, Account: "AC1"})}
	return d.lanes[0]
}

func everySender() Sender {
	return Sender{Name: "default", SMSFrom: smsFrom, WhatsAppFrom: whatsAppFrom}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 18, 0, 0, 0, time.UTC)
	mark := func(action consent.Action, hours int) consent.Mark {
		return consent.Mark{Action: action, At: now.Add(time.Duration(hours) * time.Hour)}
	}
	on := func(channel message.Channel, m consent.Mark) consent.Mark {
		m.Channel = channel
		return m
	}
	all := func(action consent.Action) consent.State {
		return consent.State{on(consent.AllChannels, mark(action, -1))}
	}
	wrote := func(ago time.Duration) map[message.Channel]time.Time {
		return map[message.Channel]time.Time{message.WhatsApp: now.Add(-ago)}
	}
	live := func(channel message.Channel, state message.State) map[message.Channel]message.State {
		return map[message.Channel]message.State{channel: state}
	}
	free := wa(person)
	free.Content.WhatsApp.ContentSID = ""
	marketing := both(person, "x")
	marketing.Purpose = message.Marketing
	templateOnly := wa(person)
	templateOnly.Content.WhatsApp.Text = ""
	smsOnly := Sender{SMSFrom: smsFrom}
	send := func(channel message.Channel, index int) store.Verdict {
		return store.Verdict{Send: channel, Index: index}
	}
	freely := store.Verdict{Send: message.WhatsApp, FreeText: true}
	refused := func(reason message.Reason) store.Verdict { return store.Verdict{Suppress: reason} }

	for name, c := range map[string]struct {
		candidate store.Candidate
		sender    Sender
		want      store.Verdict
	}{
		"the first channel":            {store.Candidate{Message: both(person, "x")}, everySender(), send(message.WhatsApp, 0)},
		"no sender for the first":      {store.Candidate{Message: both(person, "x")}, smsOnly, send(message.SMS, 1)},
		"the first was tried in vain":  {store.Candidate{Message: both(person, "x"), NextChannel: 1}, everySender(), send(message.SMS, 1)},
		"no channel is left":           {store.Candidate{Message: sms(person, "x"), NextChannel: 1}, everySender(), refused(message.ReasonNoRoute)},
		"no sender at all":             {store.Candidate{Message: wa(person)}, smsOnly, refused(message.ReasonNoRoute)},
		"opted out of everything":      {store.Candidate{Message: both(person, "x"), Consent: all(consent.OptOut)}, everySender(), refused(message.ReasonOptedOut)},
		"opted out of one":             {store.Candidate{Message: both(person, "x"), Consent: consent.State{on(message.WhatsApp, mark(consent.OptOut, -1))}}, everySender(), send(message.SMS, 1)},
		"opted in again since":         {store.Candidate{Message: sms(person, "x"), Consent: consent.State{on(consent.AllChannels, mark(consent.OptIn, -1)), on(message.SMS, mark(consent.OptOut, -2))}}, everySender(), send(message.SMS, 0)},
		"opted out of all since":       {store.Candidate{Message: sms(person, "x"), Consent: consent.State{on(consent.AllChannels, mark(consent.OptOut, -1)), on(message.SMS, mark(consent.OptIn, -2))}}, everySender(), refused(message.ReasonOptedOut)},
		"marketing, nothing on record": {store.Candidate{Message: marketing}, everySender(), refused(message.ReasonNoConsent)},
		"marketing, opted in":          {store.Candidate{Message: marketing, Consent: all(consent.OptIn)}, everySender(), send(message.SMS, 1)}, // no template to the United States
		"marketing, START alone":       {store.Candidate{Message: marketing, Consent: all(consent.ReOptIn)}, everySender(), refused(message.ReasonNoConsent)},
		"marketing, in on one only":    {store.Candidate{Message: marketing, Consent: consent.State{on(message.SMS, mark(consent.OptIn, -1))}}, everySender(), send(message.SMS, 1)},
		"the graver reason is told":    {store.Candidate{Message: marketing, Consent: consent.State{on(message.SMS, mark(consent.OptOut, -1))}}, everySender(), refused(message.ReasonOptedOut)},
		"free text, window closed":     {store.Candidate{Message: free}, everySender(), refused(message.ReasonNoRoute)},
		"free text, window open":       {store.Candidate{Message: free, LastInbound: wrote(time.Hour)}, everySender(), freely},
		"free text, window closing":    {store.Candidate{Message: free, LastInbound: wrote(24*time.Hour - time.Second)}, everySender(), refused(message.ReasonNoRoute)},
		"template, window open":        {store.Candidate{Message: templateOnly, LastInbound: wrote(time.Hour)}, everySender(), send(message.WhatsApp, 0)},
		"both forms, window open":      {store.Candidate{Message: wa(person), LastInbound: wrote(time.Hour)}, everySender(), freely},
		"both forms, window closed":    {store.Candidate{Message: wa(person), LastInbound: wrote(25 * time.Hour)}, everySender(), send(message.WhatsApp, 0)},
		"another call is open":         {store.Candidate{Message: sms(person, "x"), Live: live(message.SMS, message.Sending)}, everySender(), store.Verdict{Wait: busyWait, On: message.SMS}},
		"another outcome is unknown":   {store.Candidate{Message: sms(person, "x"), Live: live(message.SMS, message.Unknown)}, everySender(), store.Verdict{Wait: unknownWait, Behind: message.ReasonBehindUnknown, On: message.SMS}},
		"its rule is paused for long":  {store.Candidate{Message: sms(person, "x"), Paused: true, PausedFor: 25 * time.Minute}, everySender(), store.Verdict{Wait: 25 * time.Minute, Behind: message.ReasonRulePaused, On: message.SMS, Defer: true}},
		"its rule is paused for days":  {store.Candidate{Message: sms(person, "x"), Paused: true, PausedFor: 50 * time.Hour}, everySender(), store.Verdict{Wait: time.Hour, Behind: message.ReasonRulePaused, On: message.SMS, Defer: true}},
		"its rule is paused":           {store.Candidate{Message: sms(person, "x"), Paused: true}, everySender(), store.Verdict{Wait: pauseWait, Behind: message.ReasonRulePaused, On: message.SMS, Defer: true}},
		"too late":                     {store.Candidate{Message: sms(person, "x"), ExpiresAt: now}, everySender(), store.Verdict{Expire: true}},
		"just in time":                 {store.Candidate{Message: sms(person, "x"), ExpiresAt: now.Add(time.Second)}, everySender(), send(message.SMS, 0)},
		"busy on the other channel":    {store.Candidate{Message: sms(person, "x"), Live: live(message.WhatsApp, message.Sending)}, everySender(), send(message.SMS, 0)},
		"an opt-out is not waited for": {store.Candidate{Message: sms(person, "x"), Consent: all(consent.OptOut), Live: live(message.SMS, message.Sending)}, everySender(), refused(message.ReasonOptedOut)},
	} {
		c.candidate.Now = now
		got := bare(c.sender).judge(c.candidate)
		got.Answers, got.Detail = nil, "" // TestRefusalsOfGatesAreKept and TestWhyThereIsNoRoute look at them
		require.Equal(t, c.want, got, name)
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	reactions := twilio.DefaultReactions()
	refusal := func(code, status int) error {
		rule := reactions.For(twilio.PhaseSend, code, status)
		kind := twilio.Refused
		if status == 429 {
			kind = twilio.NotSent
		}
		return &twilio.Error{Kind: kind, Code: code, Status: status, Rule: rule, Reaction: rule.Reaction, Op: "send"}
	}
	type want struct {
		attempt, message message.State
		reason           message.Reason
		index            int
		consent, held    bool // held: the messages after it wait
	}
	const last = 3 // of bare's tries
	for name, c := range map[string]struct {
		err   error
		tries int
		want  want
	}{
		"unclear":                {&twilio.Error{Kind: twilio.Unclear}, 1, want{message.Unknown, message.Unknown, message.ReasonUnclear, 0, false, false}},
		"unclear, last try":      {&twilio.Error{Kind: twilio.Unclear}, last, want{message.Unknown, message.Unknown, message.ReasonUnclear, 0, false, false}},
		"not from the adapter":   {errors.New("a panic, say"), 1, want{message.Unknown, message.Unknown, message.ReasonUnclear, 0, false, false}},
		"no connection":          {&twilio.Error{Kind: twilio.NotSent}, 1, want{message.Refused, message.Queued, message.ReasonRetry, 0, false, true}},
		"no connection for long": {&twilio.Error{Kind: twilio.NotSent}, 50, want{message.Refused, message.Queued, message.ReasonRetry, 0, false, true}},
		"429":                    {refusal(20429, 429), 1, want{message.Refused, message.Queued, message.ReasonRetry, 0, false, true}},
		"429 for long":           {refusal(20429, 429), 50, want{message.Refused, message.Queued, message.ReasonRetry, 0, false, true}},
		"wrong credentials":      {refusal(20003, 401), last, want{message.Refused, message.Queued, message.ReasonRetry, 0, false, true}},
		"a proxy's 403":          {refusal(0, 403), last, want{message.Refused, message.Queued, message.ReasonRetry, 0, false, true}},
		"opted out":              {refusal(21610, 400), 1, want{message.Refused, message.Suppressed, message.ReasonOptedOut, 0, true, false}},
		"permanent":              {refusal(21211, 400), 1, want{message.Refused, message.Failed, message.ReasonRejected, 0, false, false}},
		"permanent, fallback":    {refusal(21614, 400), 1, want{message.Refused, message.Queued, message.ReasonFallback, 1, false, false}},
		"content":                {refusal(21617, 400), 1, want{message.Refused, message.Failed, message.ReasonRejected, 0, false, false}},
		"alert":                  {refusal(21408, 400), 1, want{message.Refused, message.Failed, message.ReasonRejected, 0, false, false}},
		"the queue is full":      {refusal(21611, 400), 1, want{message.Refused, message.Queued, message.ReasonRetry, 0, false, false}},
		"full, last try":         {refusal(21611, 400), last, want{message.Refused, message.Failed, message.ReasonRetriesExhausted, 0, false, false}},
		"the sender is wrong":    {refusal(21703, 400), 1, want{message.Refused, message.Queued, message.ReasonRetry, 0, false, false}},
		"wrong for too long":     {refusal(21703, 400), last, want{message.Refused, message.Queued, message.ReasonRetry, 0, false, false}},
		"a code of tomorrow":     {refusal(99999, 400), 1, want{message.Refused, message.Failed, message.ReasonRejected, 0, false, false}},
	} {
		d := bare(everySender())
		claimed := store.Claimed{Message: both(person, "x"), AttemptID: "a", Channel: message.WhatsApp}
		claimed.Message.Attempts, claimed.Tries = c.tries+5, c.tries
		o := d.classify(claimed, c.err)
		d.learn(0, message.WhatsApp, failureOf(c.err))
		got := want{o.State, o.MessageState, o.Reason, o.NextChannel, o.Consent != nil, d.breaker.left() > 0}
		require.Equal(t, c.want, got, name)
		require.Equal(t, o.State == message.Unknown, o.LookupAfter > 0, name)
		require.Equal(t, got.reason == message.ReasonRetry && o.RetryAfter != accountPause && !got.held, o.Try, "only what Twilio says of the message counts: %s", name)
		require.Equal(t, o.Reason == message.ReasonRetry, o.RetryAfter > 0, name)
		if o.Consent != nil {
			require.Equal(t, message.WhatsApp, o.Consent.Channel, name)
			require.Equal(t, consent.OptOut, o.Consent.Action, name)
		}
	}
}

func TestRetryWaitsAsLongAsTwilioAsks(t *testing.T) {
	t.Parallel()
	d := bare(everySender())
	o := d.classify(store.Claimed{Message: sms(person, "x")}, &twilio.Error{Kind: twilio.NotSent, Status: 429, Reaction: twilio.Retry, RetryAfter: time.Hour})
	require.Equal(t, time.Hour, o.RetryAfter, "the message waits that long")
	d.learn(0, message.SMS, &twilio.Error{Kind: twilio.NotSent, Status: 429, RetryAfter: time.Hour})
	require.InDelta(t, longestHold, d.breaker.left(), float64(5*time.Second), "all others not as long")
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for attempt, want := range map[int]time.Duration{
		0: time.Second, 1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 9: 256 * time.Second, 10: 5 * time.Minute, 1000: 5 * time.Minute,
	} {
		for range 50 {
			require.InEpsilon(t, want, backoff(attempt), 0.1001, "attempt %d", attempt)
		}
	}
}

func TestNewReportsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := New(Config{PublicURL: "no url", Lanes: []Lane{{}}})
	for _, problem := range []string{"part of the configuration", "part of the configuration of a lane", "neither an SMS nor a WhatsApp", "public URL"} {
		require.ErrorContains(t, err, problem)
	}
}

func TestWhatAKeywordIsAbout(t *testing.T) {
	t.Parallel()
	from := time.Date(2027, time.January, 31, 0, 0, 0, 0, time.UTC)
	before, after := from.Add(-time.Second), from
	d := &Dispatcher{Config: Config{RevokeProgram: true, RevokeAllFrom: from}}
	for who, country := range map[address.Address]bool{
		"+14155550100": false, "+17875550100": false, "US.1A2B3C": false, "+88213000000": false, // the last is of no country
		"+4915112345678": true, "+14165550100": true, "DE.1A2B3C": true,
	} {
		require.True(t, d.revokesProgram(who, before), who)
		require.Equal(t, country, d.revokesProgram(who, after), who)
	}
	require.True(t, (&Dispatcher{Config: Config{RevokeProgram: true}}).revokesProgram("+14155550100", after), "never")
	require.False(t, (&Dispatcher{Config: Config{RevokeAllFrom: from}}).revokesProgram("+4915112345678", before), "everything, everywhere")
}
