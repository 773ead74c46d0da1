package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

// told is one thing that reaches the ledger about a message whose call has begun: how the call ended, what Twilio reports, what
// the person says.
type told struct {
	ended  message.State // how the call ended, as we saw it: Accepted or Unknown
	status message.State
	code   int
	bare   bool // the callback's URL names no attempt
	says   consent.Action
	at     int // seconds: when the door took it in
}

func (w told) String() string {
	switch {
	case w.ended != "":
		return "call:" + string(w.ended)
	case w.status != "":
		return fmt.Sprintf("status:%s/%d bare=%t", w.status, w.code, w.bare)
	}
	return fmt.Sprintf("reply:%q at %d", w.says, w.at)
}

// anyStory draws what is told of one message, in the order in which it would come if nothing were late. Twilio ends a message
// once: one of delivered, undelivered and failed.
func anyStory(t *rapid.T) []told {
	story := []told{{ended: rapid.SampledFrom([]message.State{message.Accepted, message.Unknown}).Draw(t, "call")}}
	bare := rapid.Bool()
	if rapid.Bool().Draw(t, "sent") {
		story = append(story, told{status: message.Sent, bare: bare.Draw(t, "bare")})
	}
	end := rapid.SampledFrom([]message.State{"", message.Delivered, message.Undelivered, message.Failed}).Draw(t, "end")
	if end == message.Delivered {
		story = append(story, told{status: end, bare: bare.Draw(t, "bare")})
		if rapid.Bool().Draw(t, "read") {
			story = append(story, told{status: message.Read, bare: bare.Draw(t, "bare")})
		}
	} else if end != "" {
		story = append(story, told{status: end, code: rapid.SampledFrom([]int{30003, 63014, 63016}).Draw(t, "code"), bare: bare.Draw(t, "bare")})
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "replies") {
		says := rapid.SampledFrom([]consent.Action{"", consent.ReOptIn, consent.OptOut}).Draw(t, "says")
		story = append(story, told{says: says, at: i + 1})
	}
	return story
}

// anyOrder draws an order in which the parts of a story may arrive: each at least once, some more often, in any order.
func anyOrder(t *rapid.T, story []told) []told {
	order := slices.Clone(story)
	for range rapid.IntRange(0, 4).Draw(t, "repetitions") {
		order = append(order, rapid.SampledFrom(story).Draw(t, "again"))
	}
	return rapid.Permutation(order).Draw(t, "order")
}

// tell makes a message to a person of its own, begins its call, and lets the ledger hear of it in an order. Statuses that come
// one after the other may come in one transaction.
func (l *ledger) tell(t *rapid.T, order []told) (c store.Claimed) {
	ctx := context.Background()
	n := l.next.Add(1)
	person, sid := address.Address(fmt.Sprintf("+1415%07d", n)), fmt.Sprintf("SM%d", n)
	c = l.sending(person, message.WhatsApp)
	epoch := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	var waiting []store.StatusEvent
	flush := func() {
		_, err := l.ApplyStatus(ctx, waiting)
		require.NoError(t, err)
		waiting = nil
	}
	for _, one := range order {
		if one.status == "" || !rapid.Bool().Draw(t, "together") {
			flush()
		}
		switch {
		case one.ended != "":
			o := outcome(c, one.ended, "")
			if one.ended == message.Accepted {
				o.SID = sid
			}
			require.NoError(t, l.Record(ctx, []store.Outcome{o}))
		case one.status != "":
			e := event(c, sid, one.status)
			e.ErrorCode, e.Fallback, e.Received = one.code, one.code == 63016, epoch
			if one.code == 63014 {
				e.OptOut = consent.FromErrorCode
			}
			if one.bare {
				e.MessageID, e.AttemptID = "", ""
			}
			waiting = append(waiting, e)
		default:
			r := store.Reply{
				SID: fmt.Sprintf("IN%d-%d", n, one.at), Sender: sender, Channel: message.WhatsApp, From: person,
				Received: epoch.Add(time.Duration(one.at) * time.Second),
			}
			if one.says != "" {
				r.Consent = &consent.Entry{
					Address: person, Channel: consent.AllChannels, Action: one.says, Source: consent.FromKeyword, Evidence: r.SID, OccurredAt: r.Received,
				}
			}
			_, err := l.ApplyReply(ctx, r)
			require.NoError(t, err)
		}
	}
	flush()
	return c
}

// story is all that the ledger holds of a message and its person, without ids and times of its own.
func (l *ledger) story(t *rapid.T, c store.Claimed) string {
	var out string
	err := l.db.QueryRow(context.Background(), `select concat_ws(e'\n',
		(select format('message %s %s %s channel %s', m.state, m.reason, m.error_code, m.next_channel) from message m where m.id = $1::uuid),
		(select format('attempt %s %s sid %s', a.state, a.error_code, a.sid is not null) from attempt a where a.id = $2::uuid),
		(select 'live: ' || count(*) from live_attempt where attempt_id = $2::uuid),
		(select 'belt: ' || count(*) from belt where message_id = $1::uuid),
		(select string_agg(format('event %s %s', e.status, e.error_code), e'\n' order by e.status, e.error_code)
			from delivery_event e where e.sid = 'SM' || right($3, 7)::int),
		(select string_agg(format('consent %s %s %s %s', channel, action, source, occurred_at), e'\n' order by occurred_at, channel, action)
			from consent where address = $3),
		(select string_agg(format('reply %s %s', received_at, message_id = $1::uuid), e'\n' order by received_at) from inbound where address = $3),
		(select 'window ' || last_inbound_at from conversation where address = $3))`,
		c.Message.ID, c.AttemptID, string(c.Message.To)).Scan(&out)
	require.NoError(t, err)
	states, err := l.Consent(context.Background(), []address.Address{c.Message.To})
	require.NoError(t, err)
	return fmt.Sprintf("%s\nmay be written to: %q\n", out, states[c.Message.To].On(message.WhatsApp))
}

// Whatever order the end of the call, delivery statuses and replies come in, however often and however grouped: the states,
// the events, the consent and the conversation are the same in the end.
func TestOrderOfCallbacksDoesNotMatter(t *testing.T) {
	t.Parallel()
	l := open(t)
	rapid.Check(t, func(t *rapid.T) {
		whole := anyStory(t)
		inOrder := l.story(t, l.tell(t, whole))
		order := anyOrder(t, whole)
		require.Equal(t, inOrder, l.story(t, l.tell(t, order)), "in the order %v", order)
	})
}

// What is lost only leaves out what it said: a message never goes further than what was told of it, and what was told counts.
func TestLostCallbacksTakeNothingElseAlong(t *testing.T) {
	t.Parallel()
	l := open(t)
	rapid.Check(t, func(t *rapid.T) {
		whole := anyStory(t)
		heard := slices.DeleteFunc(anyOrder(t, whole), func(told) bool { return rapid.IntRange(0, 3).Draw(t, "lost") == 0 })
		seen := l.story(t, l.tell(t, heard))
		want := message.Sending
		attributed := slices.ContainsFunc(heard, func(o told) bool { return o.ended == message.Accepted || o.status != "" && !o.bare })
		for _, one := range heard {
			state := one.ended
			if one.status != "" && attributed {
				state = one.status
			}
			if state != "" && want.Before(state) {
				want = state
			}
		}
		require.Contains(t, seen, "attempt "+string(want)+" ", "heard %v", heard)
		for _, one := range heard {
			if one.status != "" {
				require.Contains(t, seen, fmt.Sprintf("event %s %d", one.status, one.code))
			}
		}
		newest := slices.MaxFunc(append(heard, told{}), func(a, b told) int { return heardAt(a) - heardAt(b) })
		if !strings.Contains(seen, "twilio_error") {
			require.Contains(t, seen, fmt.Sprintf("may be written to: %q", newest.says))
		}
	})
}

// said orders what people say about consent by its time; anything else is before that.
func heardAt(w told) int {
	if w.says == "" {
		return 0
	}
	return w.at
}
