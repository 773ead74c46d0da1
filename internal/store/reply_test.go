package store_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

func (l *ledger) reply(r store.Reply) store.Linked {
	l.t.Helper()
	r.Sender, r.Channel = sender, message.SMS
	if r.From == "" {
		r.From = person
	}
	if r.Received.IsZero() {
		r.Received = time.Now()
	}
	linked, err := l.ApplyReply(l.t.Context(), r)
	require.NoError(l.t, err)
	return linked
}

func TestReplyLinks(t *testing.T) {
	t.Parallel()
	l := open(t)
	older, newer := l.accepted(person, message.SMS, "SM1"), l.accepted(person, message.SMS, "SM2")
	l.accepted(person, message.WhatsApp, "SM3")
	l.accepted("+14155550101", message.SMS, "SM4")
	l.absent(person)

	linked := l.reply(store.Reply{SID: "IN1", Body: "thanks", Media: []store.Media{{URL: "https://example.com/a", ContentType: "image/png"}}})
	require.Equal(t, store.Linked{
		New: true, Org: org, MessageID: newer.Message.ID, RecordID: newer.Message.RecordID, Contact: "003", Rule: newer.Message.Rule, Language: "en",
	}, linked, "the newest one that went out on this channel")
	require.Equal(t, older.Message.ID, l.reply(store.Reply{SID: "IN2", RepliedSID: "SM1"}).MessageID, "the one that it quotes")
	require.Equal(t, newer.Message.ID, l.reply(store.Reply{SID: "IN3", RepliedSID: "SM4"}).MessageID, "not another person's")
	require.Equal(t, 1, get[int](l, `select count(*) from conversation`))
	require.Equal(t, 3, get[int](l, `select count(*) from inbound i join conversation c on c.id = i.conversation_id`))
}

// Nobody answers what did not arrive, or what went out after they wrote: a reply may be found days later, by a listing.
func TestReplyLinksToWhatThePersonHasSeen(t *testing.T) {
	t.Parallel()
	l := open(t)
	seen, failed := l.accepted(person, message.SMS, "SM1"), l.accepted(person, message.SMS, "SM2")
	l.apply(event(failed, "SM2", message.Undelivered))
	require.Equal(t, seen.Message.ID, l.reply(store.Reply{SID: "IN1"}).MessageID)
	require.Equal(t, failed.Message.ID, l.reply(store.Reply{SID: "IN2", RepliedSID: "SM2"}).MessageID, "unless it is quoted: it did arrive")
	l.apply(event(seen, "SM1", message.Undelivered))
	require.Equal(t, failed.Message.ID, l.reply(store.Reply{SID: "IN3"}).MessageID, "when none arrived, the newest")

	later := l.accepted(person, message.SMS, "SM3")
	l.exec(`update attempt set started_at = started_at - interval '3 days' where sid <> 'SM3'`)
	require.Equal(t, failed.Message.ID, l.reply(store.Reply{SID: "IN4", Received: time.Now().Add(-48 * time.Hour)}).MessageID)
	require.Equal(t, later.Message.ID, l.reply(store.Reply{SID: "IN5"}).MessageID)
	l.reply(store.Reply{SID: "IN6", Received: time.Now().Add(-47 * time.Hour)})
	require.Equal(t, later.Message.ID, get[string](l, `select last_message_id::text from conversation`), "the conversation is not set back")
}

func TestReplyRepeated(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.accepted(person, message.SMS, "SM1")
	stop := store.Reply{
		SID: "IN1", Body: "ST\x00OP\xff", Button: "b\x00", Keyword: "stop", Received: time.Now(),
		Consent: &consent.Entry{
			Address: person, Channel: consent.AllChannels, Action: consent.OptOut, Source: consent.FromKeyword, Evidence: "IN1",
			Note: "ST\x00OP\xff", OccurredAt: time.Now(),
		},
	}
	first := l.reply(stop)
	require.True(t, first.New)
	later := l.accepted(person, message.SMS, "SM2")
	l.reply(store.Reply{SID: "IN2"})
	again := l.reply(stop)
	require.False(t, again.New)
	again.New = true
	require.Equal(t, first, again)
	require.Equal(t, c.Message.ID, again.MessageID)
	require.Equal(t, later.Message.ID, get[string](l, `select last_message_id::text from conversation`), "the conversation is not set back")
	require.Equal(t, 2, get[int](l, `select count(*) from inbound`))
	entries, err := l.ConsentHistory(t.Context(), person)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, org, entries[0].Org)
	require.Equal(t, consent.OptOut, entries[0].Action)
	require.Equal(t, "STOP\ufffd", entries[0].Note, "what the database can't hold does not keep an opt-out from being stored")
}

func TestReplyOfAStranger(t *testing.T) {
	t.Parallel()
	l := open(t)
	linked := l.reply(store.Reply{SID: "IN1", Consent: &consent.Entry{
		Address: person, Channel: consent.AllChannels, Action: consent.OptOut, Source: consent.FromTwilio, Evidence: "IN1", OccurredAt: time.Now(),
	}})
	require.Equal(t, store.Linked{New: true, Org: consent.AnyOrg}, linked)
	entries, err := l.ConsentHistory(t.Context(), person)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, consent.AnyOrg, entries[0].Org)
	linked = l.reply(store.Reply{SID: "IN1"})
	require.False(t, linked.New)
	require.Equal(t, consent.AnyOrg, linked.Org)
}

func TestConversationWindow(t *testing.T) {
	t.Parallel()
	l := open(t)
	now := time.Now().Truncate(time.Microsecond)
	l.reply(store.Reply{SID: "IN1", Received: now})
	l.reply(store.Reply{SID: "IN2", Received: now.Add(-time.Hour)})
	require.WithinDuration(t, now, get[time.Time](l, `select last_inbound_at from conversation`), 0, "an older reply that comes late")
	l.reply(store.Reply{SID: "IN3", Received: now.Add(time.Minute)})
	require.WithinDuration(t, now.Add(time.Minute), get[time.Time](l, `select last_inbound_at from conversation`), 0)
}

func TestConsentLedgerIsAppendOnly(t *testing.T) {
	t.Parallel()
	l := open(t)
	entry := consent.Entry{
		Org: org, Address: person, Channel: message.SMS, Action: consent.OptOut, Source: consent.FromOperator, Evidence: "alice", Note: "by phone",
		OccurredAt: time.Now().Truncate(time.Microsecond),
	}
	require.NoError(t, l.AddConsent(t.Context(), entry))
	c := l.accepted(person, message.SMS, "SM1")
	l.apply(event(c, "SM1", message.Sent))
	for _, sql := range []string{
		`update consent set action = 'opt_in'`, `delete from consent`, `update delivery_event set state = 'read'`, `delete from delivery_event`,
		`truncate consent`, `truncate delivery_event`,
	} {
		_, err := l.db.Exec(t.Context(), sql)
		require.ErrorContains(t, err, "only ever added to", sql)
	}
	entries, err := l.ConsentHistory(t.Context(), person)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.False(t, entries[0].RecordedAt.IsZero())
	entries[0].RecordedAt = time.Time{}
	require.WithinDuration(t, entry.OccurredAt, entries[0].OccurredAt, 0)
	entries[0].OccurredAt = entry.OccurredAt
	require.Equal(t, entry, entries[0])
}

func TestOperatorsMayChangeTheirMind(t *testing.T) {
	t.Parallel()
	l := open(t)
	for _, action := range []consent.Action{consent.OptOut, consent.OptIn, consent.OptOut} {
		for _, to := range []addr{person, "+14155550101"} {
			require.NoError(t, l.AddConsent(t.Context(), consent.Entry{
				Org: consent.AnyOrg, Address: to, Channel: consent.AllChannels, Action: action, Source: consent.FromOperator, Evidence: "alice",
			}))
		}
		states, err := l.Consent(t.Context(), []addr{person, "+14155550101"})
		require.NoError(t, err)
		require.Equal(t, action, states[person].On(message.SMS))
		require.Equal(t, action, states["+14155550101"].On(message.SMS))
	}
}

// What is said now is newer than all that was said before, whatever the clocks of Postgres and NATS say.
func TestWordsDoNotGoBackWithAClock(t *testing.T) {
	t.Parallel()
	l := open(t)
	said := func(seq uint64, action consent.Action, source consent.Source, at time.Time) consent.State {
		require.NoError(t, l.AddConsent(t.Context(), consent.Entry{
			Org: org, Address: person, Channel: consent.AllChannels, Action: action, Source: source,
			Evidence: "IN" + strconv.FormatUint(seq, 10), OccurredAt: at, Seq: seq,
		}))
		states, err := l.Consent(t.Context(), []address.Address{person})
		require.NoError(t, err)
		return states[person]
	}
	ahead := time.Now().Add(time.Hour)
	require.Equal(t, consent.ReOptIn, said(7, consent.ReOptIn, consent.FromKeyword, ahead).On(message.SMS))
	require.Equal(t, consent.OptOut, said(0, consent.OptOut, consent.FromOperator, time.Time{}).On(message.SMS), "an operator's word")
	require.Equal(t, consent.ReOptIn, said(8, consent.ReOptIn, consent.FromKeyword, ahead.Add(time.Second)).On(message.SMS))
	require.Equal(t, consent.OptOut, said(9, consent.OptOut, consent.FromKeyword, ahead.Add(-time.Hour)).On(message.SMS), "the clock was set back")
}
