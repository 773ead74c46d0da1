package store_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

func TestClaim(t *testing.T) {
	t.Parallel()
	l := open(t)
	ids := l.queue(person, "+14155550101")
	result := l.claimWith(sendOn(message.SMS), ids[0], "01890000-0000-7000-8000-000000000000")
	require.Len(t, result.Claimed, 1)
	c := result.Claimed[0]
	require.Equal(t, ids[0], c.Message.ID)
	require.Equal(t, message.SMS, c.Channel)
	require.Equal(t, 1, c.Index)
	require.Equal(t, 1, c.Message.Attempts)
	require.Equal(t, person, c.Message.To)
	require.Equal(t, "Hi", c.Message.Content.SMS.Text)
	require.Equal(t, []message.Channel{message.WhatsApp, message.SMS}, c.Message.Channels)
	l.requireStates(c, message.Sending, message.Sending)
	require.InDelta(t, lease.Seconds(), get[float64](l, `select extract(epoch from lease_until - now())::float8 from live_attempt`), 10)
	require.Equal(t, &store.ClaimResult{}, l.claimWith(sendOn(message.SMS), ids[0]), "not queued any more")
	l.exec(`update message set not_before = now() + interval '1 hour' where id = $1`, ids[1])
	require.Equal(t, &store.ClaimResult{}, l.claimWith(sendOn(message.SMS), ids[1]), "not due")
	require.Equal(t, &store.ClaimResult{}, l.claimWith(sendOn(message.SMS)))
}

func TestClaimSuppresses(t *testing.T) {
	t.Parallel()
	l := open(t)
	ids := l.queue(person)
	result := l.claimWith(func(store.Candidate) store.Verdict {
		return store.Verdict{Suppress: message.ReasonOptedOut, Detail: "said so"}
	}, ids...)
	require.Equal(t, []message.Reason{message.ReasonOptedOut}, result.Suppressed)
	m := l.message(ids[0])
	require.Equal(t, message.Suppressed, m.State)
	require.Equal(t, message.ReasonOptedOut, m.Reason)
	require.Equal(t, "said so", m.Detail)
	require.Zero(t, get[int](l, `select count(*) from attempt`))
}

func TestClaimWaits(t *testing.T) {
	t.Parallel()
	l := open(t)
	ids := l.queue(person)
	result := l.claimWith(func(store.Candidate) store.Verdict { return store.Verdict{Wait: time.Hour} }, ids...)
	require.Equal(t, 1, result.Waiting)
	require.InDelta(t, 3600, get[float64](l, `select extract(epoch from due_at - now())::float8 from belt`), 60)
	l.makeDue()
	require.Equal(t, ids, l.sweep(0, "e"))
}

func TestClaimSeesConsent(t *testing.T) {
	t.Parallel()
	l := open(t)
	at := time.Now().Add(-time.Hour).Truncate(time.Microsecond)
	for i, step := range []struct {
		channel       message.Channel
		action        consent.Action
		at            time.Time
		sms, whatsapp consent.Action
	}{
		{message.SMS, consent.OptIn, at, consent.OptIn, ""},
		{consent.AllChannels, consent.OptOut, at.Add(1 * time.Minute), consent.OptOut, consent.OptOut},
		{message.WhatsApp, consent.OptIn, at.Add(2 * time.Minute), consent.OptOut, consent.OptIn},
		{message.SMS, consent.OptIn, at.Add(-time.Minute), consent.OptOut, consent.OptIn}, // came late
		{consent.AllChannels, consent.OptIn, at.Add(2 * time.Minute), consent.OptIn, consent.OptIn},
		{message.WhatsApp, consent.OptOut, at.Add(2 * time.Minute), consent.OptIn, consent.OptOut}, // same time, later entry
		{message.SMS, consent.OptIn, at.Add(5 * time.Minute), consent.OptIn, consent.OptOut},
		{message.SMS, consent.OptOut, at.Add(4 * time.Minute), consent.OptIn, consent.OptOut}, // came late
	} {
		require.NoError(t, l.AddConsent(t.Context(), consent.Entry{
			Org: org, Address: person, Channel: step.channel, Action: step.action, Source: consent.FromOperator, Evidence: "alice", OccurredAt: step.at,
		}))
		looked := false
		l.claimWith(func(c store.Candidate) store.Verdict {
			looked = true
			require.Equal(t, step.sms, c.Consent.On(message.SMS), "step %d", i)
			require.Equal(t, step.whatsapp, c.Consent.On(message.WhatsApp), "step %d", i)
			return store.Verdict{Suppress: message.ReasonNoConsent}
		}, l.queue(person)...)
		require.True(t, looked)
	}
	states, err := l.Consent(t.Context(), []addr{person, "+14155550109"})
	require.NoError(t, err)
	require.Equal(t, consent.OptIn, states[person].On(message.SMS))
	require.Empty(t, states["+14155550109"].On(message.SMS))
	require.Len(t, states, 2)
}

func TestClaimSeesConversationAndLiveAttempts(t *testing.T) {
	t.Parallel()
	l := open(t)
	at := time.Now().Add(-time.Hour).Truncate(time.Microsecond)
	_, err := l.ApplyReply(t.Context(), store.Reply{SID: "SM1", Sender: sender, Channel: message.WhatsApp, From: person, Received: at})
	require.NoError(t, err)
	_, err = l.ApplyReply(t.Context(), store.Reply{SID: "SM2", Sender: "other", Channel: message.SMS, From: person, Received: at})
	require.NoError(t, err)
	c := l.sending(person, message.SMS)
	look := func(live message.State) {
		looked := false
		l.claimWith(func(c store.Candidate) store.Verdict {
			looked = true
			require.Len(t, c.LastInbound, 1)
			require.WithinDuration(t, at, c.LastInbound[message.WhatsApp], 0)
			require.Equal(t, map[message.Channel]message.State{message.SMS: live}, c.Live)
			require.WithinDuration(t, time.Now(), c.Now, time.Minute)
			return store.Verdict{Suppress: message.ReasonNoRoute}
		}, l.queue(person)...)
		require.True(t, looked)
	}
	look(message.Sending)
	l.record(outcome(c, message.Unknown, ""))
	look(message.Unknown)
}

func TestOneLiveAttemptPerAddress(t *testing.T) {
	t.Parallel()
	l := open(t)
	ids := l.queue(person, person, "+14155550101")
	result := l.claimWith(sendOn(message.SMS), ids...)
	require.Len(t, result.Claimed, 2, "within one claim")
	require.Equal(t, 1, result.Waiting)
	result = l.claimWith(sendOn(message.SMS), ids...)
	require.Empty(t, result.Claimed, "also when the judge does not care")
	require.Equal(t, 1, result.Waiting)
	require.Len(t, l.claimWith(sendOn(message.WhatsApp), ids...).Claimed, 1, "another channel is another conversation")
}

func TestConcurrentClaims(t *testing.T) {
	t.Parallel()
	l := open(t)
	var ids []string
	for range 6 {
		ids = append(ids, l.queue("+14155550101", "+14155550102", "+14155550103", "+14155550104")...)
	}
	var wait sync.WaitGroup
	var mu sync.Mutex
	claimed := map[string]int{}
	for range 8 {
		wait.Go(func() {
			mine := slices.Clone(ids)
			shuffle(mine)
			for {
				result, err := l.Claim(t.Context(), store.ClaimRequest{IDs: mine, Sender: sender, Lease: lease, Judge: sendOn(message.SMS)})
				if err != nil {
					t.Error(err)
					return
				}
				outcomes := make([]store.Outcome, 0, len(result.Claimed))
				mu.Lock()
				for _, c := range result.Claimed {
					claimed[c.Message.ID]++
					outcomes = append(outcomes, outcome(c, message.Accepted, "SM"+c.AttemptID))
				}
				done := len(claimed) == len(ids)
				mu.Unlock()
				if err := l.Record(t.Context(), outcomes); err != nil {
					t.Error(err)
				}
				if done || t.Failed() {
					return
				}
			}
		})
	}
	wait.Wait()
	require.Len(t, claimed, len(ids))
	for id, n := range claimed {
		require.Equal(t, 1, n, id)
	}
	require.Zero(t, get[int](l, `select deadlocks from pg_stat_database where datname = current_database()`))
}

func TestNoPersonalValueInErrors(t *testing.T) {
	t.Parallel()
	l := open(t)
	_, err := l.Claim(t.Context(), store.ClaimRequest{IDs: []string{"no-uuid"}, Sender: sender, Lease: lease, Judge: sendOn(message.SMS)})
	require.Error(t, err)
	c := l.sending(person, message.SMS)
	bad := outcome(c, "nonsense", "")
	err = l.Record(t.Context(), []store.Outcome{bad})
	require.Error(t, err)
	require.NotContains(t, strings.ReplaceAll(err.Error(), " ", ""), string(person))
	l.requireStates(c, message.Sending, message.Sending)
}

// TestStopWaitsForTheClaim: an opt-out and a claim for its address are one after the other, never side by side.
func TestStopWaitsForTheClaim(t *testing.T) {
	t.Parallel()
	l := open(t)
	ids := l.queue(person)
	stopped := make(chan error, 1)
	result := l.claimWith(func(c store.Candidate) store.Verdict {
		go func() {
			_, err := l.ApplyReply(t.Context(), store.Reply{
				SID: "IN1", Sender: sender, Channel: message.SMS, From: person, Received: time.Now(), Keyword: "stop", Consent: &consent.Entry{
					Address: person, Channel: consent.AllChannels, Action: consent.OptOut, Source: consent.FromKeyword, Evidence: "IN1",
				},
			})
			stopped <- err
		}()
		require.Eventually(t, func() bool {
			return get[int](l, `select count(*) from pg_locks where locktype = 'advisory' and not granted
				and database = (select oid from pg_database where datname = current_database())`) == 1
		}, 10*time.Second, time.Millisecond, "the opt-out waits")
		require.Empty(t, stopped)
		return sendOn(message.SMS)(c)
	}, ids...)
	require.Len(t, result.Claimed, 1)
	require.NoError(t, <-stopped)
	l.claimWith(func(c store.Candidate) store.Verdict {
		require.Equal(t, consent.OptOut, c.Consent.On(message.SMS))
		return store.Verdict{Suppress: message.ReasonOptedOut}
	}, l.queue(person)...)
}

// TestClaimSkipsWhatAnotherOneHolds looks at one message from two dispatchers at the same time.
func TestClaimSkipsWhatAnotherOneHolds(t *testing.T) {
	t.Parallel()
	l := open(t)
	ids := l.queue(person)
	result := l.claimWith(func(c store.Candidate) store.Verdict {
		require.Equal(t, &store.ClaimResult{}, l.claimWith(sendOn(message.SMS), ids...))
		return sendOn(message.SMS)(c)
	}, ids...)
	require.Len(t, result.Claimed, 1)
}
