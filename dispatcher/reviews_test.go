package dispatcher

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

// waitsForReview waits until a message is queued for that reason.
func (w *world) waitsForReview(id string) {
	w.t.Helper()
	require.True(w.t, w.wait(func() bool {
		m := w.message(id)
		return m.State == message.Queued && m.Reason == message.ReasonUnderReview
	}))
}

func (w *world) openReview() store.Review {
	w.t.Helper()
	reviews, err := w.Reviews(w.t.Context(), false)
	require.NoError(w.t, err)
	require.Len(w.t, reviews, 1)
	return reviews[0]
}

// Guarantee 4 for words that may be an opt-out: nothing is sent until somebody decides.
func TestReplyUnderReviewPausesSending(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	w.start()
	w.reply(url.Values{"Body": {"Leave me alone!"}})
	ids := w.queue(sms(person, "x"), wa(person))
	other := w.queue(sms("+14155550101", "x"))[0]
	w.becomes(other, message.Delivered)
	for _, id := range ids {
		w.waitsForReview(id)
	}
	require.Zero(t, w.sim.Count(string(person)))
	review := w.openReview()
	require.Equal(t, "Leave me alone!", review.Text)
	require.Equal(t, "leave me|us alone", review.Pattern)
	require.Equal(t, 1, w.number(`select count(*) from inbound where sid = $1 and keyword = 'review'`, review.SID))

	// It meant something else: what waited goes out at once.
	require.NoError(t, w.DecideReview(t.Context(), review.ID, store.Ruling{As: store.DecideKeep, By: "ana"}))
	w.becomes(ids[0], message.Delivered)
	w.becomes(ids[1], message.Delivered)

	// It was one.
	w.reply(url.Values{"Body": {"leave me alone I said"}})
	id := w.queue(sms(person, "y"))[0]
	w.waitsForReview(id)
	require.NoError(t, w.DecideReview(t.Context(), w.openReview().ID, store.Ruling{As: store.DecideOptOut, By: "ana"}))
	require.Equal(t, message.ReasonOptedOut, w.becomes(id, message.Suppressed).Reason)
}

func TestReviewThatNobodyDecidesIsAnOptOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	config := w.config()
	config.ReviewAfter = 50 * time.Millisecond
	w.run(config)
	w.reply(url.Values{"Body": {"wrong number"}})
	w.repliesWorked()
	require.Equal(t, message.ReasonOptedOut, w.becomes(w.queue(sms(person, "x"))[0], message.Suppressed).Reason)
	history, err := w.ConsentHistory(t.Context(), person)
	require.NoError(t, err)
	require.Len(t, history, 1)
	require.Equal(t, consent.FromReview, history[0].Source)
	require.Contains(t, history[0].Note, "decided by beckon")
}

func TestReviewThatNobodyDecidesMayBeKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	config := w.config()
	config.ReviewAfter, config.ReviewThen = 50*time.Millisecond, store.DecideKeep
	w.run(config)
	w.reply(url.Values{"Body": {"wrong number"}})
	w.becomes(w.queue(sms(person, "x"))[0], message.Delivered)
	require.Zero(t, w.number(`select count(*) from consent`))
}

// The words come in right after the claim: the look before the call sees them, and the message is not lost.
func TestReviewBetweenClaimAndCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	config := w.config()
	config.Ledger = &lateStop{Ledger: w.Store, say: func() { w.reply(url.Values{"Body": {"go away"}}) }}
	id := w.queue(sms(person, "x"))[0]
	w.run(config)
	w.waitsForReview(id)
	require.Equal(t, 1, w.number(`select count(*) from attempt where message_id = $1::uuid and state = 'canceled'`, id))
	require.Zero(t, w.sim.Count(string(person)))
	require.NoError(t, w.DecideReview(t.Context(), w.openReview().ID, store.Ruling{As: store.DecideKeep, By: "ana"}))
	w.becomes(id, message.Delivered)
}

// brokenReplies can't store a reply, for a reason that does not pass.
type brokenReplies struct{ Ledger }

func (brokenReplies) ApplyReply(context.Context, store.Reply) (store.Linked, error) {
	return store.Linked{}, errors.New("broken")
}

func TestReplyThatCanNotBeStoredIsUnderReviewAllTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	config := w.config()
	config.Ledger = brokenReplies{w.Store}
	w.run(config)
	w.reply(url.Values{"Body": {"go away"}})
	w.waitsForReview(w.queue(sms(person, "x"))[0])
	require.Len(t, w.letters(), 1)
	require.Empty(t, w.openReview().Text)
}

// What Twilio takes for a keyword needs no review, and the ledger has the words that decided.
func TestEvidenceOfAnOptOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.start()
	notes := map[string]url.Values{
		"Please stop texting me! [en: " + stopTexting + "]": {"Body": {"Please stop texting me!"}},
		"who is this? stop [OptOutType]":                    {"Body": {"who is this? stop"}, "OptOutType": {"STOP"}},
		"ARRÊT [fr: arret]":                                 {"Body": {"ARRÊT"}},
	}
	for _, form := range notes {
		w.reply(form)
	}
	w.repliesWorked()
	history, err := w.ConsentHistory(t.Context(), person)
	require.NoError(t, err)
	require.Len(t, history, len(notes))
	for _, entry := range history {
		require.Contains(t, notes, entry.Note)
		require.Equal(t, consent.OptOut, entry.Action)
		require.NotZero(t, entry.Seq)
	}
	require.Zero(t, w.number(`select count(*) from review`))
}

const stopTexting = "stop|quit|cease {send} me|us|this|my|these|those|to|any|messages|texts"

// Two replies, worked on in the wrong order after a redelivery: the one that was received last counts.
func TestRedeliveryDoesNotReorderAPersonsWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{OptOut: twiliosim.OptOutOff})
	w.reply(url.Values{"Body": {"STOP"}})
	w.reply(url.Values{"Body": {"START"}})
	inbound := w.belt.Consumer(stream.Inbound)
	got, err := inbound.Fetch(t.Context(), 2)
	require.NoError(t, err)
	require.Len(t, got, 2)
	d, err := New(w.config())
	require.NoError(t, err)
	for _, i := range []int{1, 0, 1, 0} {
		require.NoError(t, d.applyReply(t.Context(), got[i], got[i:i+1]))
	}
	require.Equal(t, 2, w.number(`select count(*) from consent`))
	states, err := w.Consent(t.Context(), addresses([]store.Claimed{{Message: sms(person, "")}}))
	require.NoError(t, err)
	require.Equal(t, consent.ReOptIn, states[person].On(message.SMS))
}
