package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

// said is when a reply with a sequence was stored.
func said(seq uint64) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(seq) * time.Second)
}

func doubtful(sid string, seq uint64) store.Reply {
	return store.Reply{SID: sid, Body: "leave me alone", Keyword: "review", Seq: seq, Review: &store.NewReview{
		Address: person, Channel: message.SMS, SID: sid, Text: "leave me alone", Pattern: "leave me|us alone", Language: "en",
		SaidAt: said(seq), Seq: seq, After: time.Hour,
	}}
}

func plain(sid string, seq uint64, action consent.Action) store.Reply {
	return store.Reply{SID: sid, Seq: seq, Consent: &consent.Entry{
		Address: person, Channel: consent.AllChannels, Action: action, Source: consent.FromKeyword, Evidence: sid, OccurredAt: said(seq), Seq: seq,
	}}
}

func (l *ledger) state() consent.State {
	l.t.Helper()
	states, err := l.Consent(l.t.Context(), []addr{person})
	require.NoError(l.t, err)
	return states[person]
}

func (l *ledger) reviews(all bool) []store.Review {
	l.t.Helper()
	reviews, err := l.Reviews(l.t.Context(), all)
	require.NoError(l.t, err)
	return reviews
}

func TestReviewPausesUntilItIsDecided(t *testing.T) {
	t.Parallel()
	for _, as := range []store.Decision{store.DecideKeep, store.DecideOptOut} {
		l := open(t)
		l.reply(doubtful("IN1", 1))
		l.reply(doubtful("IN1", 1))
		l.reply(doubtful("IN2", 2))
		require.True(t, l.state().UnderReview())
		require.Empty(t, l.state().On(message.SMS))
		queue := l.reviews(false)
		require.Len(t, queue, 2, "a repeated reply is one review")
		require.WithinDuration(t, time.Now().Add(time.Hour), queue[0].DecideBy, time.Minute)

		ruling := store.Ruling{As: as, By: "ana", Note: "called back"}
		require.NoError(t, l.DecideReview(t.Context(), queue[0].ID, ruling))
		require.ErrorIs(t, l.DecideReview(t.Context(), queue[0].ID, ruling), store.ErrDecided)
		require.ErrorIs(t, l.DecideReview(t.Context(), 4711, ruling), store.ErrNotFound)
		require.Equal(t, 1, get[int](l, `select count(*) from audit where operator = 'ana' and action = 'review.decide'
			and subject = 'review/' || $1::bigint::text and detail->>'decision' = $2 and detail->>'note' = 'called back'`, queue[0].ID, string(as)))
		history, err := l.ConsentHistory(t.Context(), person)
		require.NoError(t, err)
		if as == store.DecideKeep {
			require.Empty(t, history)
			require.True(t, l.state().UnderReview(), "the other one is open still")
			require.NoError(t, l.DecideReview(t.Context(), queue[1].ID, ruling))
			require.False(t, l.state().UnderReview())
			continue
		}
		require.False(t, l.state().UnderReview(), "an opt-out decides all of the person's")
		require.Equal(t, consent.OptOut, l.state().On(message.WhatsApp))
		require.Len(t, history, 1)
		require.Equal(t, "IN1", history[0].Evidence)
		require.Equal(t, consent.FromReview, history[0].Source)
		require.Contains(t, history[0].Note, "leave me alone [en: leave me|us alone, decided by ana]")
		require.WithinDuration(t, said(1), history[0].OccurredAt, 0, "when the person said it")
		l.reply(doubtful("IN3", 3))
		require.Len(t, l.reviews(false), 1, "an opt-in that is older than this reply may still be found")
		require.Equal(t, consent.OptOut, l.state().On(message.WhatsApp))
	}
}

func TestReviewsThatNobodyDecides(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.reply(doubtful("IN1", 1))
	l.reply(doubtful("IN2", 2))
	other := doubtful("IN3", 3)
	other.From, other.Review.Address = "+14155550101", "+14155550101"
	l.reply(other)
	decided, waiting, err := l.DecideDueReviews(t.Context(), store.DecideOptOut, 10)
	require.NoError(t, err)
	require.Empty(t, decided)
	require.Equal(t, 3, waiting)
	l.exec(`update review set decide_by = now() where address = $1`, string(person))
	decided, waiting, err = l.DecideDueReviews(t.Context(), store.DecideOptOut, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"IN1"}, decided, "and with it all of the person's")
	require.Equal(t, 1, waiting)
	require.Equal(t, consent.OptOut, l.state().On(message.SMS))
	require.Equal(t, 1, get[int](l, `select count(*) from audit where operator = 'beckon'`))
}

// of is somebody else's reply with the same words, stored at its own time or all at once.
func of(r store.Reply, who addr, sameTime bool) store.Reply {
	r.From, r.SID = who, r.SID+string(who)
	if r.Consent != nil {
		entry := *r.Consent
		entry.Address, entry.Evidence = who, r.SID
		if sameTime {
			entry.OccurredAt = said(0)
		}
		r.Consent = &entry
	}
	if r.Review != nil {
		review := *r.Review
		review.Address, review.SID = who, r.SID
		if sameTime {
			review.SaidAt = said(0)
		}
		r.Review = &review
	}
	return r
}

// The order is that of receipt, in whatever order the replies are worked on, and also when the stream stored them in the same
// microsecond.
func TestOrderOfAPersonsWords(t *testing.T) {
	t.Parallel()
	stop, start := plain("IN1", 1, consent.OptOut), plain("IN2", 2, consent.ReOptIn)
	startFirst, stopLater := plain("IN1", 1, consent.ReOptIn), plain("IN2", 2, consent.OptOut)
	l, number := open(t), 0
	for name, c := range map[string]struct {
		worked []store.Reply
		want   consent.Action
	}{
		"stop, start":                     {[]store.Reply{stop, start}, consent.ReOptIn},
		"stop, start, stop again":         {[]store.Reply{stop, start, stop}, consent.ReOptIn},
		"start worked on first":           {[]store.Reply{start, stop}, consent.ReOptIn},
		"start, stop":                     {[]store.Reply{startFirst, stopLater}, consent.OptOut},
		"stop worked on first":            {[]store.Reply{stopLater, startFirst}, consent.OptOut},
		"start, stop, start again":        {[]store.Reply{startFirst, stopLater, startFirst}, consent.OptOut},
		"review, then start":              {[]store.Reply{doubtful("IN1", 1), start}, consent.ReOptIn},
		"review worked on after start":    {[]store.Reply{start, doubtful("IN1", 1)}, consent.ReOptIn},
		"review, then stop":               {[]store.Reply{doubtful("IN1", 1), stopLater}, consent.OptOut},
		"review worked on after the stop": {[]store.Reply{stopLater, doubtful("IN1", 1)}, consent.OptOut},
	} {
		for _, sameTime := range []bool{false, true} {
			number++
			who := addr(fmt.Sprintf("+1415556%04d", number))
			for _, r := range c.worked {
				l.reply(of(r, who, sameTime))
			}
			states, err := l.Consent(t.Context(), []addr{who})
			require.NoError(t, err)
			require.Equal(t, c.want, states[who].On(message.SMS), "%s, at the same time: %v", name, sameTime)
			require.False(t, states[who].UnderReview(), "%s, at the same time: %v", name, sameTime)
		}
	}
	l.reply(start)
	l.reply(doubtful("IN3", 3))
	require.True(t, l.state().UnderReview(), "an older opt-in settles nothing")
	require.NoError(t, l.AddConsent(t.Context(), consent.Entry{
		Org: org, Address: person, Channel: consent.AllChannels, Action: consent.OptIn, Source: consent.FromOperator, Evidence: "ana",
	}))
	reviews := l.reviews(true)
	require.Equal(t, store.DecideKeep, reviews[len(reviews)-1].Decision, "an operator's newer word does")
	require.Equal(t, store.DecidedByPerson, reviews[len(reviews)-1].DecidedBy)
}

// A word under one of a person's addresses settles the reviews under the others, and lets their messages go.
func TestReviewsOfAPersonWithTwoAddresses(t *testing.T) {
	t.Parallel()
	for name, decide := range map[string]func(*ledger){
		"START under the number": func(l *ledger) { l.reply(plain("IN2", 9, consent.ReOptIn)) },
		"an operator": func(l *ledger) {
			require.NoError(l.t, l.DecideReview(l.t.Context(), l.reviews(false)[0].ID, store.Ruling{As: store.DecideKeep, By: "ana"}))
		},
	} {
		l := open(t)
		require.NoError(t, l.AddAlias(t.Context(), person, "US.1A2B", consent.FromOperator, "ana"))
		doubt := doubtful("IN1", 3)
		doubt.From, doubt.Review.Address = "US.1A2B", "US.1A2B"
		l.reply(doubt)
		require.True(t, l.state().UnderReview(), name)
		id := l.queue(person)[0]
		l.claimWith(func(store.Candidate) store.Verdict {
			return store.Verdict{Wait: time.Hour, Behind: message.ReasonUnderReview, On: message.SMS}
		}, id)
		require.Equal(t, 1, get[int](l, `select count(*) from belt where due_at > now()`), name)
		decide(l)
		require.False(t, l.state().UnderReview(), name)
		require.Zero(t, get[int](l, `select count(*) from belt where due_at > now()`), name)
	}
}
