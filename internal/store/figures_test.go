package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

func TestFigures(t *testing.T) {
	t.Parallel()
	l := open(t)
	const other, german = address.Address("+14155550101"), address.Address("+4915112345678")
	first := l.accepted(person, message.SMS, "SM1") // fails, goes again, and is answered by STOP
	l.apply(again(first, "SM1", time.Minute, 2))
	second := l.claim(message.SMS, first.Message.ID)
	l.sent(second, "SM2")
	l.apply(event(second, "SM2", message.Delivered), event(second, "SM2", message.Delivered))
	l.reply(store.Reply{SID: "IN1", Body: "STOP", Consent: &consent.Entry{
		Address: person, Channel: consent.AllChannels, Action: consent.OptOut, Source: consent.FromKeyword, Evidence: "IN1", OccurredAt: time.Now(),
	}})
	thanked := l.accepted(other, message.SMS, "SM3")
	l.apply(event(thanked, "SM3", message.Delivered))
	l.reply(store.Reply{SID: "IN2", From: other, Body: "thanks"})
	l.reply(store.Reply{SID: "IN3", From: other, Body: "a lot"})
	failed := l.accepted(german, message.WhatsApp, "SM4")
	bad := event(failed, "SM4", message.Failed)
	bad.ErrorCode = 63024
	l.apply(bad)
	read := l.accepted(german, message.WhatsApp, "SM5")
	l.apply(event(read, "SM5", message.Read))
	l.sending(other, message.WhatsApp) // Twilio has not taken it

	segments := int64(first.Message.Segments())
	rule := first.Message.Rule
	found, err := l.Figures(t.Context(), store.FiguresQuery{By: []string{"rule", "channel"}})
	require.NoError(t, err)
	require.Equal(t, []store.Figure{
		{
			By: []string{rule, "sms"}, Sent: 3, Delivered: 2, Failed: 1, Replied: 2, OptedOut: 1, Segments: 3 * segments, Codes: map[int]int64{30003: 1},
			Charged: []store.Charge{
				{Channel: message.SMS, Country: "US", Category: "sms", Messages: 2, Segments: 2 * segments},
				{Channel: message.SMS, Country: "US", Category: "sms", Messages: 1, Segments: segments},
			},
		},
		{
			By: []string{rule, "whatsapp"}, Sent: 2, Delivered: 1, Read: 1, Failed: 1, Codes: map[int]int64{63024: 1},
			Charged: []store.Charge{{Channel: message.WhatsApp, Country: "DE", Category: "utility", Messages: 1}},
		},
	}, found)

	sum, err := l.Figures(t.Context(), store.FiguresQuery{Since: time.Now().Add(-time.Hour)})
	require.NoError(t, err)
	require.Len(t, sum, 1)
	require.Equal(t, int64(5), sum[0].Sent)
	for _, q := range []store.FiguresQuery{{Since: time.Now().Add(time.Hour)}, {Until: time.Now().Add(-time.Hour)}} {
		none, err := l.Figures(t.Context(), q)
		require.NoError(t, err)
		require.Empty(t, none)
	}
	all, err := l.Figures(t.Context(), store.FiguresQuery{By: store.Dimensions()})
	require.NoError(t, err)
	require.Len(t, all[0].By, len(store.Dimensions()))
	_, err = l.Figures(t.Context(), store.FiguresQuery{By: []string{"rule; drop table message"}})
	require.ErrorIs(t, err, store.ErrBadDimension)

	require.Equal(t, 5, get[int](l, `select sum(sent)::integer from delivery_figure`))
	require.Equal(t, 2, get[int](l, `select sum(failed)::integer from failure_figure where error_code in (30003, 63024)`))
}

// A message that WhatsApp was thought to have failed goes by SMS as well; then WhatsApp's word comes late. Nothing is sent again, and
// the figures tell of it.
func TestFiguresTellOfAMessageThatArrivedTwice(t *testing.T) {
	t.Parallel()
	l := open(t)
	first := l.accepted(person, message.WhatsApp, "SM1")
	failed := event(first, "SM1", message.Undelivered)
	failed.ErrorCode, failed.Fallback = 63024, true
	require.Equal(t, []message.State{message.Queued}, l.apply(failed, failed))
	second := l.claim(message.SMS, first.Message.ID)
	l.apply(failed)
	late := event(first, "SM1", message.Delivered)
	l.apply(late, late)
	require.Equal(t, message.Sending, l.message(first.Message.ID).State, "the call goes on")
	l.sent(second, "SM2")
	l.apply(failed, late, event(second, "SM2", message.Delivered), late)
	require.Equal(t, message.Delivered, l.message(first.Message.ID).State)
	require.Equal(t, 2, l.message(first.Message.ID).Attempts)

	found, err := l.Figures(t.Context(), store.FiguresQuery{})
	require.NoError(t, err)
	require.Equal(t, int64(1), found[0].Twice)
	require.Equal(t, int64(2), found[0].Delivered)
	require.Zero(t, found[0].Failed, "it had not failed")
}

// What Twilio took is delivered, failed or open; what it refused is counted apart, with its code.
func TestFiguresAddUp(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.accepted(person, message.SMS, "SM1")
	delivered := l.accepted("+14155550101", message.SMS, "SM2")
	l.apply(event(delivered, "SM2", message.Delivered))
	failed := l.accepted("+14155550102", message.SMS, "SM3")
	l.apply(event(failed, "SM3", message.Failed))
	stopped := l.sending("+14155550103", message.SMS)
	refused := outcome(stopped, message.Refused, "")
	refused.ErrorCode, refused.MessageState, refused.Reason = 21610, message.Suppressed, message.ReasonOptedOut
	refused.Consent = &consent.Entry{
		Org: org, Address: stopped.Message.To, Channel: message.SMS, Action: consent.OptOut, Source: consent.FromErrorCode,
		Evidence: "attempt " + stopped.AttemptID,
	}
	l.record(refused)
	away := l.sending("+14155550104", message.SMS) // the call did not get there
	notSent := outcome(away, message.Refused, "")
	notSent.MessageState = message.Queued
	l.record(notSent)

	found, err := l.Figures(t.Context(), store.FiguresQuery{})
	require.NoError(t, err)
	f := found[0]
	require.Equal(t, []int64{3, 1, 1, 1, 1}, []int64{f.Sent, f.Delivered, f.Failed, f.Open, f.Refused})
	require.Equal(t, map[int]int64{0: 1, 21610: 1}, f.Codes)
	require.Equal(t, int64(1), f.OptedOut)
	require.Equal(t, 1, get[int](l, `select sum(failed)::integer from failure_figure where refused and error_code = 21610`))
}

// Retention and erasure take texts and names, and leave the figures.
func TestFiguresLast(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.accepted(person, message.SMS, "SM1")
	l.apply(event(c, "SM1", message.Delivered))
	l.reply(store.Reply{SID: "IN1", Body: "STOP", Consent: &consent.Entry{
		Address: person, Channel: consent.AllChannels, Action: consent.OptOut, Source: consent.FromKeyword, Evidence: "IN1", OccurredAt: time.Now(),
	}})
	before, err := l.Figures(t.Context(), store.FiguresQuery{By: store.Dimensions()})
	require.NoError(t, err)
	require.Equal(t, int64(1), before[0].OptedOut)
	require.Positive(t, before[0].Segments)
	l.exec(`update message set created_at = created_at - interval '30 days', updated_at = updated_at - interval '30 days'`)
	n, err := l.Retain(t.Context(), store.RetainContents, 24*time.Hour, 10)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	after, err := l.Figures(t.Context(), store.FiguresQuery{By: store.Dimensions()})
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func TestFiguresOfADayAreThoseOfItsZone(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.accepted(person, message.SMS, "SM1")
	l.exec(`update attempt set started_at = '2026-04-30 22:30Z'`)
	for zone, want := range map[string]string{"": "2026-04-30", "UTC": "2026-04-30", "Europe/Berlin": "2026-05-01", "America/New_York": "2026-04-30"} {
		found, err := l.Figures(t.Context(), store.FiguresQuery{By: []string{"day"}, Zone: zone})
		require.NoError(t, err)
		require.Equal(t, want, found[0].By[0], zone)
	}
}

// The window is a person's, by whatever address they wrote; so is what WhatsApp says against it.
func TestWindowFollowsThePerson(t *testing.T) {
	t.Parallel()
	l := open(t)
	const hidden, friend = address.Address("US.1A2B3C"), address.Address("+14155550101")
	at := time.Now().Add(-time.Hour).Truncate(time.Microsecond)
	reply := store.Reply{SID: "IN1", Sender: sender, Channel: message.WhatsApp, From: hidden, Alias: person, Body: "hi", Received: at}
	_, err := l.ApplyReply(t.Context(), reply)
	require.NoError(t, err)
	reply.SID, reply.Received = "IN2", at.Add(-time.Hour) // it comes late
	_, err = l.ApplyReply(t.Context(), reply)
	require.NoError(t, err)
	seen := func(ids ...string) (store.Candidate, store.Claimed) {
		var seen store.Candidate
		result := l.claimWith(func(c store.Candidate) store.Verdict {
			seen = c
			return store.Verdict{Send: message.WhatsApp, FreeText: true}
		}, ids...)
		require.Len(t, result.Claimed, 1)
		return seen, result.Claimed[0]
	}
	c, _ := seen(l.queue(friend)...)
	require.Empty(t, c.LastInbound)
	c, claimed := seen(l.queue(person)...)
	require.True(t, at.Equal(c.LastInbound[message.WhatsApp]))
	require.Zero(t, c.WindowDenied)
	l.sent(claimed, "SM1")
	failed := event(claimed, "SM1", message.Undelivered)
	failed.ErrorCode, failed.WindowClosed = 63016, true
	l.apply(failed)
	c, _ = seen(l.queue(hidden)...)
	require.True(t, at.Equal(c.WindowDenied))
	l.ripen(claimed.Message.ID)
	c, _ = seen(claimed.Message.ID) // it goes again
	require.True(t, at.Equal(c.WindowDenied))
}
