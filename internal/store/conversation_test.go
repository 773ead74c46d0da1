package store_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

func (l *ledger) conversations(filter store.ConversationFilter) []store.Conversation {
	l.t.Helper()
	var list []store.Conversation
	require.NoError(l.t, l.Conversations(l.t.Context(), filter, func(c store.Conversation) error { list = append(list, c); return nil }))
	return list
}

// talk makes a conversation with a person, on a channel, whose last reply came at a time.
func (l *ledger) talk(channel message.Channel, sid string, at time.Time) store.Conversation {
	l.t.Helper()
	_, err := l.ApplyReply(l.t.Context(), store.Reply{SID: sid, Sender: sender, Channel: channel, From: person, Body: "hello " + sid, Received: at})
	require.NoError(l.t, err)
	for _, c := range l.conversations(store.ConversationFilter{With: person}) {
		if c.Channel == channel {
			return c
		}
	}
	l.t.Fatal("no conversation")
	return store.Conversation{}
}

func freeText(text string) message.Content {
	return message.Content{
		SMS:      &message.SMSContent{Text: text, Encoding: "GSM-7", Segments: 1},
		WhatsApp: &message.WhatsAppContent{Text: text},
	}
}

func TestHumanAnswers(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.accepted(person, message.SMS, "SM1")
	c := l.talk(message.SMS, "IN1", time.Now())
	answer := store.Answer{ConversationID: c.ID, Content: freeText("on our way"), By: "ana", Key: "k1", Pause: time.Hour}
	id, _, err := l.AnswerConversation(t.Context(), answer)
	require.NoError(t, err)
	again, _, err := l.AnswerConversation(t.Context(), answer)
	require.NoError(t, err)
	require.Equal(t, id, again, "the same answer is not sent twice")
	answer.Key = ""
	other, _, err := l.AnswerConversation(t.Context(), answer)
	require.NoError(t, err)
	require.NotEqual(t, id, other)

	got, err := l.Conversation(t.Context(), c.ID)
	require.NoError(t, err)
	require.Equal(t, "ana", got.AssignedTo, "who answers takes it on")
	require.WithinDuration(t, time.Now().Add(time.Hour), got.PausedUntil, time.Minute)
	turns, err := l.Turns(t.Context(), got, time.Time{}, 10)
	require.NoError(t, err)
	require.Len(t, turns, 4)
	require.Equal(t, []bool{false, true, false, false}, []bool{turns[0].Inbound, turns[1].Inbound, turns[2].Inbound, turns[3].Inbound})
	require.Equal(t, "hello IN1", turns[1].Text)
	require.Equal(t, "on our way", turns[2].Text)
	require.Equal(t, "ana", turns[2].By)
	require.Equal(t, message.OriginHuman, turns[2].Message.Origin)
	require.Equal(t, []message.Channel{message.SMS}, turns[2].Message.Channels, "on the channel of the conversation alone")

	for _, wrong := range []string{"", "x", uuid.NewString()} {
		_, _, err = l.AnswerConversation(t.Context(), store.Answer{ConversationID: wrong, Content: freeText("x"), By: "ana"})
		require.ErrorIs(t, err, store.ErrNotFound)
	}
	_, _, err = l.AnswerConversation(t.Context(), store.Answer{ConversationID: c.ID, Content: message.Content{WhatsApp: &message.WhatsAppContent{Text: "x"}}, By: "ana"})
	require.ErrorIs(t, err, store.ErrNoContent)
	optOut := consent.Entry{
		Org: org, Address: person, Channel: consent.AllChannels, Action: consent.OptOut, Source: consent.FromOperator, Evidence: "bo",
		Scope: consent.Scope{Kind: consent.ScopeProgram, Name: "newsletter"},
	}
	require.NoError(t, l.AddConsent(t.Context(), optOut))
	_, made, err := l.AnswerConversation(t.Context(), store.Answer{ConversationID: c.ID, Content: freeText("y"), By: "ana"})
	require.NoError(t, err, "who left the newsletter may be answered")
	require.True(t, made)
	optOut.Scope = consent.Scope{}
	require.NoError(t, l.AddConsent(t.Context(), optOut))
	_, _, err = l.AnswerConversation(t.Context(), store.Answer{ConversationID: c.ID, Content: freeText("x"), By: "ana"})
	require.ErrorIs(t, err, store.ErrOptedOut)
	require.Equal(t, 3, get[int](l, `select count(*) from message where origin = 'human'`))
}

// A message that has an approved template and free text is shown as what the person got.
func TestTurnsShowWhatWent(t *testing.T) {
	t.Parallel()
	l := open(t)
	queued := func(n int) string {
		result, err := l.Decide(t.Context(), []store.Envelope{envelope(l.seq.Add(1), note(n, n))}, makes(func(p store.Pending) []store.NewMessage {
			d := draft(p, person)
			d.Channels = []message.Channel{message.WhatsApp}
			d.Content = message.Content{WhatsApp: &message.WhatsAppContent{ContentSID: "HX1", Variables: map[string]string{"1": "Ana"}, Text: "Hi, Ana!"}}
			return []store.NewMessage{d}
		}))
		require.NoError(t, err)
		return result.Belt[0].ID
	}
	template := l.claimWith(sendOn(message.WhatsApp), queued(1)).Claimed[0]
	l.record(outcome(template, message.Accepted, "SM1"))
	c := l.talk(message.WhatsApp, "IN1", time.Now())
	free := l.claimWith(func(store.Candidate) store.Verdict { return store.Verdict{Send: message.WhatsApp, FreeText: true} }, queued(2)).Claimed[0]
	l.record(outcome(free, message.Accepted, "SM2"))
	turns, err := l.Turns(t.Context(), &c, time.Time{}, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"", "hello IN1", "Hi, Ana!"}, []string{turns[0].Text, turns[1].Text, turns[2].Text})
	require.Equal(t, map[string]string{"1": "Ana"}, turns[0].Variables)
	require.Empty(t, turns[2].Variables)
}

func TestHumanAnswersInTheWindow(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.talk(message.WhatsApp, "IN1", time.Now().Add(-24*time.Hour))
	_, _, err := l.AnswerConversation(t.Context(), store.Answer{ConversationID: c.ID, Content: freeText("x"), By: "ana"})
	require.ErrorIs(t, err, store.ErrWindow)
	require.ErrorContains(t, err, "template")
	_, _, err = l.AnswerConversation(t.Context(), store.Answer{
		ConversationID: c.ID, Content: message.Content{WhatsApp: &message.WhatsAppContent{ContentSID: "HX1"}}, Template: "t", By: "ana",
	})
	require.NoError(t, err)
	l.talk(message.WhatsApp, "IN2", time.Now())
	_, _, err = l.AnswerConversation(t.Context(), store.Answer{ConversationID: c.ID, Content: freeText("x"), By: "ana"})
	require.NoError(t, err)
}

// What the gate would refuse, whoever writes is told at once: also when WhatsApp has said that the window is closed, which it is until
// the person writes again, under whatever address.
func TestHumanAnswersInAWindowThatWasDenied(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.talk(message.WhatsApp, "IN1", time.Now().Add(-time.Hour))
	l.exec(`update conversation set window_denied_at = last_inbound_at`)
	answer := store.Answer{ConversationID: c.ID, Content: freeText("x"), By: "ana"}
	_, _, err := l.AnswerConversation(t.Context(), answer)
	require.ErrorIs(t, err, store.ErrWindow)
	_, err = l.ApplyReply(t.Context(), store.Reply{SID: "IN2", Sender: sender, Channel: message.WhatsApp, From: "US.1A2B", Alias: person, Received: time.Now()})
	require.NoError(t, err)
	_, made, err := l.AnswerConversation(t.Context(), answer)
	require.NoError(t, err)
	require.True(t, made)
}

func TestConversationsAreAssignedAndClosed(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.talk(message.SMS, "IN1", time.Now())
	l.talk(message.WhatsApp, "IN2", time.Now().Add(-time.Hour))
	require.Equal(t, []string{"hello IN1", "hello IN2"}, []string{
		l.conversations(store.ConversationFilter{})[0].LastText, l.conversations(store.ConversationFilter{})[1].LastText,
	}, "the newest first")
	require.NoError(t, l.AssignConversation(t.Context(), c.ID, "bo", "ana"))
	require.Len(t, l.conversations(store.ConversationFilter{AssignedTo: "bo"}), 1)
	require.NoError(t, l.CloseConversation(t.Context(), c.ID, "bo"))
	require.Equal(t, c.ID, l.conversations(store.ConversationFilter{State: store.ConversationClosed})[0].ID)
	require.Len(t, l.conversations(store.ConversationFilter{State: store.ConversationOpen}), 1)
	require.Equal(t, 2, get[int](l, `select count(*) from audit where subject = $1`, "conversation/"+c.ID))
	l.talk(message.SMS, "IN3", time.Now())
	require.Empty(t, l.conversations(store.ConversationFilter{State: store.ConversationClosed}), "a reply opens it again")
	require.ErrorIs(t, l.AssignConversation(t.Context(), uuid.NewString(), "bo", "ana"), store.ErrNotFound)
	require.ErrorIs(t, l.CloseConversation(t.Context(), "x", "ana"), store.ErrNotFound)
}

// Two who look at the same reply and answer at once: with what they have seen, one answer goes out.
func TestOneOfTwoHumansAnswers(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.talk(message.SMS, "IN1", time.Now())
	seen, err := l.Newest(t.Context(), c.ID)
	require.NoError(t, err)
	require.Equal(t, "IN1", seen)
	var quicker, slower atomic.Int64
	var wait sync.WaitGroup
	for _, by := range []string{"ana", "bo", "cy", "di"} {
		wait.Go(func() {
			_, made, err := l.AnswerConversation(t.Context(), store.Answer{ConversationID: c.ID, Content: freeText("hi from " + by), By: by, Seen: seen})
			switch {
			case err == nil && made:
				quicker.Add(1)
			case errors.Is(err, store.ErrNotSeen):
				slower.Add(1)
			}
		})
	}
	wait.Wait()
	require.EqualValues(t, 1, quicker.Load())
	require.EqualValues(t, 3, slower.Load())
	answer := store.Answer{ConversationID: c.ID, Content: freeText("a"), By: "ana", Key: "k"}
	_, made, err := l.AnswerConversation(t.Context(), answer)
	require.NoError(t, err)
	require.True(t, made)
	answer.Content = freeText("b")
	_, _, err = l.AnswerConversation(t.Context(), answer)
	require.ErrorIs(t, err, store.ErrKeyUsed)
}
