package store_test

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

// capped queues a message to each address, all with the caps.
func (l *ledger) capped(caps []message.Cap, to ...address.Address) []string {
	l.t.Helper()
	ids := l.queue(to...)
	encoded, err := json.Marshal(caps)
	require.NoError(l.t, err)
	l.exec(`update message set caps = $1 where id = any ($2::text[]::uuid[])`, string(encoded), ids)
	return ids
}

// over claims messages one by one, lets Twilio accept those claimed, and returns how many that were.
func (l *ledger) over(ids ...string) (claimed int) {
	l.t.Helper()
	for _, id := range ids {
		for _, c := range l.claimWith(sendOn(message.SMS), id).Claimed {
			l.sent(c, "SM"+c.AttemptID)
			claimed++
		}
	}
	return claimed
}

func TestPersonCap(t *testing.T) {
	t.Parallel()
	l := open(t)
	const other = address.Address("+14155550177")
	caps := []message.Cap{{Name: "two-a-day", Scope: message.PerPerson, Messages: 2, Per: 24 * time.Hour}}
	ids := l.capped(caps, person, person, person, other)
	require.Equal(t, 3, l.over(ids...), "each person has a count of their own")
	m := l.message(ids[2])
	require.Equal(t, message.Queued, m.State)
	require.Equal(t, message.ReasonFrequencyCap, m.Reason)
	require.WithinRange(t, m.NotBefore, time.Now().Add(23*time.Hour), time.Now().Add(31*time.Hour))
	require.True(t, get[bool](l, `select permitted_at is null from message where id = $1`, ids[2]), "its time has not begun")
	require.Contains(t, get[string](l, `select answers::text from gate_answer where message_id = $1`, ids[2]), "cap two-a-day: 2 messages in 24h")

	l.exec(`update attempt set started_at = now() - interval '25 hours'`)
	l.exec(`update message set not_before = now()`)
	require.Equal(t, 1, l.over(ids[2]), "the window slides")

	// What reached nobody does not count, nor does what the cap is not about.
	more := l.capped(caps, person, person)
	c := l.claimWith(sendOn(message.SMS), more[0]).Claimed[0]
	require.Zero(t, l.over(more[1]))
	l.record(store.Outcome{
		MessageID: c.Message.ID, AttemptID: c.AttemptID, State: message.Refused, MessageState: message.Failed, Reason: message.ReasonRejected,
	})
	l.exec(`update message set not_before = now() where state = 'queued'`)
	require.Equal(t, 1, l.over(more[1]))
	narrow := l.capped([]message.Cap{{Name: "n", Scope: message.PerPerson, Rule: "another", Messages: 1, Per: time.Hour}}, person)
	require.Equal(t, 1, l.over(narrow...))
}

func TestPersonCapWithinOneClaim(t *testing.T) {
	t.Parallel()
	l := open(t)
	caps := []message.Cap{{Name: "one", Scope: message.PerPerson, Messages: 1, Per: time.Hour, Suppress: true}}
	ids := l.capped(caps, person, person)
	onTwo := func(c store.Candidate) store.Verdict {
		if c.Message.ID == ids[0] {
			return store.Verdict{Send: message.SMS}
		}
		return store.Verdict{Send: message.WhatsApp, Index: 1}
	}
	result := l.claimWith(onTwo, ids...)
	require.Len(t, result.Claimed, 1)
	require.Equal(t, []message.Reason{message.ReasonFrequencyCap}, result.Suppressed)
	require.Equal(t, "cap one: 1 message in 1h", l.message(ids[1]).Detail)
}

// A try again of a message that passed is not counted once more, and passes.
func TestCapCountsAMessageOnce(t *testing.T) {
	t.Parallel()
	l := open(t)
	ids := l.capped([]message.Cap{{Name: "c", Scope: message.PerAll, Messages: 1, Per: time.Hour}}, person)
	c := l.claimWith(sendOn(message.SMS), ids...).Claimed[0]
	l.record(store.Outcome{
		MessageID: c.Message.ID, AttemptID: c.AttemptID, State: message.Refused, MessageState: message.Queued, Reason: message.ReasonRetry,
	})
	l.ripen(ids[0])
	require.Len(t, l.claimWith(sendOn(message.SMS), ids...).Claimed, 1)
	require.Equal(t, 1, get[int](l, `select sum(messages)::integer from cap_count`))
}

// What counts is when a person was written to last: a message of yesterday that was tried again an hour ago is one of today.
func TestPersonCapCountsTheNewestAttempt(t *testing.T) {
	t.Parallel()
	l := open(t)
	caps := []message.Cap{{Name: "one-a-day", Scope: message.PerPerson, Messages: 1, Per: 24 * time.Hour}}
	ids := l.capped(caps, person, person)
	c := l.claimWith(sendOn(message.SMS), ids[0]).Claimed[0]
	l.record(store.Outcome{
		MessageID: c.Message.ID, AttemptID: c.AttemptID, State: message.Refused, MessageState: message.Queued, Reason: message.ReasonRetry,
	})
	l.exec(`update attempt set started_at = now() - interval '25 hours'`)
	l.ripen(ids[0])
	require.Equal(t, 1, l.over(ids[0]))
	require.Zero(t, l.over(ids[1]))
	require.WithinRange(t, l.message(ids[1]).NotBefore, time.Now().Add(23*time.Hour), time.Now().Add(24*time.Hour+16*time.Minute))
}

// Claims at the same time for one person: the cap lets exactly as many through, one after the other.
func TestPersonCapIsSharedByAllClaims(t *testing.T) {
	t.Parallel()
	l := open(t)
	caps := []message.Cap{{Name: "three", Scope: message.PerPerson, Messages: 3, Per: time.Hour}}
	var to []address.Address
	for range 12 {
		to = append(to, person)
	}
	ids := l.capped(caps, to...)
	for range 12 { // of the four claims of a round one message at most is sent: the others wait behind it
		var wait sync.WaitGroup
		results := make([]*store.ClaimResult, 4)
		for part := range 4 {
			wait.Go(func() { results[part] = l.paced(0, ids[part*3:part*3+3]...) })
		}
		wait.Wait()
		for _, result := range results {
			for _, c := range result.Claimed {
				l.sent(c, "SM"+c.AttemptID)
			}
		}
	}
	require.Equal(t, 3, get[int](l, `select count(*)::integer from attempt`))
	require.Equal(t, 9, get[int](l, `select count(*)::integer from message where state = 'queued' and reason = 'frequency_cap' and not_before > now()`))
}

// What a full cap defers comes back one by one at the pace of the cap, whichever claim deferred it; nothing comes back in a crowd.
func TestLineOfACap(t *testing.T) {
	t.Parallel()
	l := open(t)
	caps := []message.Cap{{Name: "slow", Scope: message.PerAll, Messages: 6, Per: time.Minute}}
	ids := l.capped(caps, people(40)...)
	var wait sync.WaitGroup
	for part := range 4 {
		wait.Go(func() { l.paced(0, ids[part*10:part*10+10]...) })
	}
	wait.Wait()
	const step = 61 * time.Second / 6
	require.Equal(t, 6, get[int](l, `select count(*)::integer from attempt`))
	require.InDelta(t, step.Seconds(), get[float64](l, `select min(gap) from (select extract(epoch from
		not_before - lag(not_before) over (order by not_before))::float8 as gap from message where state = 'queued') g`), 1)
	require.InDelta(t, (33*step + time.Minute).Seconds(), get[float64](l, `select max(extract(epoch from not_before - now()))::float8 from message`), 10)

	// When the cap is free again, who comes goes, and takes no place.
	line := get[time.Time](l, `select next_at from cap_line`)
	l.exec(`update cap_count set ends_at = now() - interval '1 hour'`)
	l.ripen(ids[39])
	l.over(ids[39])
	require.Equal(t, line, get[time.Time](l, `select next_at from cap_line`))

	// A line that is days long is not made longer; whoever comes then looks again within a day.
	l.exec(`update cap_line set next_at = now() + interval '3 days'`)
	l.exec(`update cap_count set messages = 6, ends_at = now()`)
	more := l.capped(caps, people(3)...)
	require.Zero(t, l.over(more...))
	for _, id := range more {
		require.WithinRange(t, l.message(id).NotBefore, time.Now().Add(17*time.Hour), time.Now().Add(25*time.Hour))
	}
}

// What the law adds to a message's own caps: a bound for the person and the program.
func TestLimitsOfTheLaw(t *testing.T) {
	t.Parallel()
	l := open(t)
	ids := l.queue(person, person, person, person)
	l.exec(`update message set purpose = 'marketing'`)
	l.exec(`update message set program = 'acme/news' where id = any ($1::text[]::uuid[])`, ids[:3])
	claim := func(id string) *store.ClaimResult {
		result, err := l.Claim(t.Context(), store.ClaimRequest{
			IDs: []string{id}, Sender: sender, Lease: lease, Judge: sendOn(message.SMS), Limits: func(c store.Candidate) []message.Cap {
				return []message.Cap{{
					Name: "law on " + c.Message.Program, Scope: message.PerPerson, Purpose: message.Marketing, Program: c.Message.Program,
					Messages: 2, Per: 24 * time.Hour,
				}}
			},
		})
		require.NoError(t, err)
		for _, c := range result.Claimed {
			l.sent(c, "SM"+c.AttemptID)
		}
		return result
	}
	for i, sent := range []int{1, 1, 0, 1} { // the fourth is about something else
		require.Len(t, claim(ids[i]).Claimed, sent, "message %d", i)
	}
	require.Equal(t, message.ReasonFrequencyCap, l.message(ids[2]).Reason)
	require.Contains(t, get[string](l, `select answers::text from gate_answer where message_id = $1`, ids[2]), "cap law on acme/news: 2 messages")
}

// Dispatchers that claim at the same time share the counter: exactly as many pass as it allows.
func TestCapIsSharedByAllClaims(t *testing.T) {
	t.Parallel()
	l := open(t)
	caps := []message.Cap{
		{Name: "budget", Scope: message.PerAll, Messages: 13, Per: time.Hour},
		{Name: "rule", Scope: message.PerRule, Segments: 1000, Per: time.Minute},
	}
	ids := l.capped(caps, people(40)...)
	var claimed atomic.Int64
	var wait sync.WaitGroup
	for part := range 4 {
		wait.Go(func() {
			claimed.Add(int64(len(l.paced(0, ids[part*10:part*10+10]...).Claimed)))
		})
	}
	wait.Wait()
	require.EqualValues(t, 13, claimed.Load())
	require.Equal(t, 13, get[int](l, `select sum(messages)::integer from cap_count where name = 'budget'`))
	require.Equal(t, 27, get[int](l, `select count(*)::integer from message where state = 'queued' and reason = 'frequency_cap' and not_before > now()`))

	l.exec(`update cap_count set ends_at = now() - interval '2 hours' where name = 'budget'`)
	l.exec(`update message set not_before = now() where state = 'queued'`)
	require.Len(t, l.paced(0, ids...).Claimed, 13)
	require.Equal(t, 13, get[int](l, `select sum(messages)::integer from cap_count where name = 'budget'`), "what no window holds is forgotten")
}

func TestCapCountsSegments(t *testing.T) {
	t.Parallel()
	l := open(t)
	caps := []message.Cap{{Name: "s", Scope: message.PerSender, Segments: 5, Per: time.Hour}}
	ids := l.capped(caps, people(4)...)
	l.exec(`update message set content = jsonb_set(content, '{sms,segments}', '2')`)
	require.Equal(t, 2, l.over(ids...), "a third would be the sixth segment")
	long := l.capped([]message.Cap{{Name: "l", Scope: message.PerAll, Segments: 1, Per: time.Hour}}, "+14155550178", "+14155550179")
	l.exec(`update message set content = jsonb_set(content, '{sms,segments}', '3') where id = any ($1::text[]::uuid[])`, long)
	require.Equal(t, 1, l.over(long...), "one that is longer than the cap goes when nothing else has gone")
}

// Answers of reply rules share a budget with all others. One that can't go within its hour is too late, and is not sent later.
func TestAnswersAreUnderABudget(t *testing.T) {
	t.Parallel()
	l := open(t)
	const other, third = address.Address("+14155550177"), address.Address("+14155550178")
	answer := func(to address.Address, caps ...message.Cap) string {
		id := uuid.Must(uuid.NewV7()).String()
		made, err := l.AddMessage(t.Context(), message.Message{
			ID: id, Origin: message.OriginReplyRule, OriginKey: "IN" + id, Rule: "rated", Template: "thanks", Language: "en", To: to,
			Channels: []message.Channel{message.SMS}, Content: message.Content{SMS: &message.SMSContent{Text: "Thanks!", Segments: 1}},
			Caps: caps, ExpiresAfter: time.Hour,
		})
		require.NoError(t, err)
		require.True(t, made)
		return id
	}
	day := message.Cap{Name: "budget", Scope: message.PerAll, Messages: 2, Per: 24 * time.Hour}
	require.Equal(t, 1, l.over(l.capped([]message.Cap{day}, person)...))
	require.Equal(t, 1, l.over(answer(other, day)), "the last one that the budget has room for")
	late := answer(third, day)
	require.Zero(t, l.over(late))
	m := l.message(late)
	require.Equal(t, message.Expired, m.State)
	require.Equal(t, message.ReasonFrequencyCap, m.Reason)
	require.Equal(t, "cap budget: 2 messages in 24h", m.Detail)
	require.Zero(t, get[int](l, `select count(*) from belt where message_id = $1`, late))
	require.Zero(t, l.over(l.capped([]message.Cap{day}, person)...), "answers count for rules, too")

	soon := message.Cap{Name: "soon", Scope: message.PerRule, Messages: 1, Per: 10 * time.Minute}
	require.Equal(t, 1, l.over(answer("+14155550179", soon)))
	waits := answer("+14155550180", soon)
	require.Zero(t, l.over(waits))
	require.Equal(t, message.Queued, l.message(waits).State, "there is room within its hour")
	require.Equal(t, message.ReasonFrequencyCap, l.message(waits).Reason)
	require.True(t, get[bool](l, `select permitted_at + expires_after < now() + interval '61 minutes' from message where id = $1`, waits),
		"its hour counts from the reply, not from when there is room")
}
