package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

// Any order of the same entries gives the same state.
func TestConsentHasNoOrder(t *testing.T) {
	t.Parallel()
	l, n := open(t), 0
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.SliceOfN(rapid.Custom(anyEntry), 1, 8).Draw(t, "entries")
		var seen [][]string
		for range 2 {
			n++
			who := address.Address(fmt.Sprintf("+1415557%04d", n))
			for _, e := range rapid.Permutation(entries).Draw(t, "order") {
				e.Address = who
				require.NoError(t, l.AddConsent(context.Background(), e))
			}
			states, err := l.Consent(context.Background(), []addr{who})
			require.NoError(t, err)
			seen = append(seen, verdicts(states[who]))
		}
		require.Equal(t, seen[0], seen[1])
	})
}

func anyEntry(t *rapid.T) consent.Entry {
	return consent.Entry{
		Org: org, Source: consent.FromOperator, Evidence: "ana",
		Channel: rapid.SampledFrom([]message.Channel{consent.AllChannels, message.SMS, message.WhatsApp}).Draw(t, "channel"),
		Action: rapid.SampledFrom([]consent.Action{
			consent.OptIn, consent.Confirm, consent.OptOut, consent.ReOptIn, consent.Erase,
		}).Draw(t, "action"),
		Scope: rapid.SampledFrom([]consent.Scope{
			{}, {Kind: consent.ScopeBrand, Name: "acme"}, consent.ProgramScope("acme/news"), consent.ProgramScope("news"),
		}).Draw(t, "scope"),
		OccurredAt: said(rapid.Uint64Range(0, 3).Draw(t, "minute")), Seq: rapid.Uint64Range(0, 1).Draw(t, "seq"),
	}
}

// verdicts is all that a state says.
func verdicts(s consent.State) []string {
	var all []string
	for _, channel := range []message.Channel{message.SMS, message.WhatsApp} {
		for _, program := range []string{"news", "acme/news", "default"} {
			all = append(all, fmt.Sprint(channel, program, s.In(channel, program), s.Granted(channel, program, false), s.Granted(channel, program, true)))
		}
	}
	return all
}

// START that was written before there was a word for it lifts an opt-out, and is no consent to marketing.
func TestOldStartIsNoConsentToMarketing(t *testing.T) {
	t.Parallel()
	l := open(t)
	for i, source := range []consent.Source{consent.FromKeyword, consent.FromTwilio} {
		l.exec(`insert into consent (org, address, channel, action, source, evidence, occurred_at) values ($1, $2, 'all', 'opt_in', $3, $4, now())`,
			string(org), string(person), string(source), fmt.Sprint("IN", i))
	}
	state := l.state()
	require.Equal(t, consent.ReOptIn, state.On(message.SMS))
	require.False(t, state.Granted(message.SMS, "default", false))
}

func TestStopOfTheProgramThatItAnswers(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.accepted(person, message.SMS, "SM1")
	l.exec(`update message set program = 'news' where id = $1`, c.Message.ID)
	stop := plain("IN1", 1, consent.OptOut)
	stop.Program = true
	l.reply(stop)
	require.True(t, l.state().Stopped(message.SMS, "news"))
	require.False(t, l.state().Stopped(message.SMS, "offers"))

	stranger := plain("IN2", 2, consent.OptOut)
	stranger.From, stranger.Consent.Address, stranger.Program = "+14155550109", "+14155550109", true
	l.reply(stranger)
	states, err := l.Consent(t.Context(), []addr{"+14155550109"})
	require.NoError(t, err)
	require.True(t, states["+14155550109"].Stopped(message.SMS, "offers"), "who answers no message is out of everything")
}

// A newsletter, a reply, an automatic answer to that, STOP: it must not miss the newsletter.
func TestStopThatAnswersAnAnswerIsOfEverything(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.accepted(person, message.SMS, "SM1")
	l.exec(`update message set program = 'news' where id = $1`, c.Message.ID)
	l.reply(store.Reply{SID: "IN1", Body: "how much?"})
	answer := spoken(message.OriginReplyRule, "IN1")
	answer.ID = uuid.Must(uuid.NewV7()).String()
	made, err := l.AddMessage(t.Context(), answer)
	require.NoError(t, err)
	require.True(t, made)
	l.sent(l.claim(message.SMS, answer.ID), "SM2")
	stop := plain("IN2", 1, consent.OptOut)
	stop.Program = true
	require.Equal(t, answer.ID, l.reply(stop).MessageID)
	require.True(t, l.state().Stopped(message.SMS, "news"))
}

// Whoever is out of one program and says STOP to another one is told so: it is news. So is what START ends.
func TestStopToAnotherProgramIsConfirmed(t *testing.T) {
	t.Parallel()
	l := open(t)
	stop := func(sid string, minute uint64, action consent.Action, answered string) store.Linked {
		r := plain(sid, minute, action)
		r.Body, r.Program, r.RepliedSID, r.Answer = sid, true, answered, confirmation("opt-out-confirmation")
		r.Keyword = map[consent.Action]string{consent.OptOut: "stop", consent.ReOptIn: "start"}[action]
		return l.reply(r)
	}
	for i, program := range []string{"news", "offers"} {
		c := l.accepted(person, message.SMS, fmt.Sprint("SM", i))
		l.exec(`update message set program = $2 where id = $1`, c.Message.ID, program)
	}
	require.Equal(t, store.ConfirmationNothing, stop("IN0", 0, consent.ReOptIn, "").Confirmation)
	require.Equal(t, store.ConfirmationMade, stop("IN1", 1, consent.OptOut, "SM0").Confirmation)
	require.Equal(t, store.ConfirmationMade, stop("IN2", 2, consent.OptOut, "SM1").Confirmation)
	require.Equal(t, store.ConfirmationRepeated, stop("IN3", 3, consent.OptOut, "SM0").Confirmation)
	joined := optIn("form", "offers")
	joined.OccurredAt = said(4)
	l.add(joined)
	require.Equal(t, store.ConfirmationMade, stop("IN5", 5, consent.ReOptIn, "").Confirmation, "it ends that of the other program")
	require.Equal(t, store.ConfirmationNothing, stop("IN6", 6, consent.ReOptIn, "").Confirmation)
}

// A word under one of a person's addresses counts for the other one.
func TestAliases(t *testing.T) {
	t.Parallel()
	l := open(t)
	const scoped = "US.1A2B3C"
	r := plain("IN1", 1, consent.OptOut)
	r.Consent, r.Alias = nil, scoped
	l.reply(r)
	l.reply(r)
	require.Equal(t, 2, get[int](l, `select count(*) from alias`))
	stop := plain("IN2", 2, consent.OptOut)
	stop.From, stop.Consent.Address = scoped, scoped
	l.reply(stop)
	require.True(t, l.state().Stopped(message.SMS, "default"))
	looked := false
	l.claimWith(func(c store.Candidate) store.Verdict {
		looked = c.Consent.Stopped(message.SMS, "default")
		return store.Verdict{Suppress: message.ReasonOptedOut}
	}, l.queue(person)...)
	require.True(t, looked)
	history, err := l.ConsentHistory(t.Context(), person)
	require.NoError(t, err)
	require.Len(t, history, 1)
	require.NoError(t, l.AddAlias(t.Context(), scoped, "US.NEWER", consent.FromOperator, "ana"))
	states, err := l.Consent(t.Context(), []addr{"US.NEWER"})
	require.NoError(t, err)
	require.True(t, states["US.NEWER"].Stopped(message.SMS, "default"), "by way of the first one")
}

// The state is read by the addresses that are asked for, whatever the size of the ledger.
func TestConsentIsReadByKey(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.exec(`set enable_seqscan = off`)
	rows, err := l.db.Query(t.Context(), `explain select * from consent_state where address = any (array(select known from same_person(array['+14155550100'])))`)
	require.NoError(t, err)
	var plan strings.Builder
	var line string
	for rows.Next() {
		require.NoError(t, rows.Scan(&line))
		plan.WriteString(line + "\n")
	}
	require.NoError(t, rows.Err())
	require.Regexp(t, `Index Cond: \(address = ANY`, plan.String())
}
