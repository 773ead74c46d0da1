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
