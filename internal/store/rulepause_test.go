package store_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

// fires lets a rule with a breaker make so many messages in one transaction, and returns the rules that were paused by it.
func (l *ledger) fires(n int) []string {
	l.t.Helper()
	breaker := &store.Breaker{Above: 3, Per: time.Hour, AtLeast: 5}
	first := int(l.next.Add(int64(n))) + 1_000_000
	var notes []int
	for i := range n {
		notes = append(notes, first-i)
	}
	e := envelope(l.seq.Add(1) + 1_000_000)
	for _, i := range notes {
		e.Notifications = append(e.Notifications, note(i, i))
	}
	result, err := l.Decide(context.Background(), []store.Envelope{e}, makes(func(p store.Pending) []store.NewMessage {
		m := draft(p, person)
		m.Breaker = breaker
		return []store.NewMessage{m}
	}))
	require.NoError(l.t, err)
	return result.Paused
}

func TestRuleBreaker(t *testing.T) {
	t.Parallel()
	l := open(t)
	require.Empty(t, l.fires(4), "fewer than at_least")
	l.exec(`update rule_count set span = span - interval '2 hours'`)
	require.Empty(t, l.fires(11), "a habit of 4, and 11 are not three times as many")
	rule := get[string](l, `select rule from rule_count limit 1`)
	require.Equal(t, []string{rule}, l.fires(1), "the twelfth is")
	require.Empty(t, l.fires(1), "it is paused once")
	require.Equal(t, 17, get[int](l, `select count(*)::integer from message where state = 'queued'`), "no message is lost")

	pauses, err := l.RulePauses(t.Context())
	require.NoError(t, err)
	require.Len(t, pauses, 1)
	require.Equal(t, store.PausedByBreaker, pauses[0].PausedBy)
	require.Contains(t, pauses[0].Note, "12 messages since")
	require.Contains(t, pauses[0].Note, "at most 4 before")

	// Its messages know, until somebody lets them go on; then what it made is its habit.
	id := get[string](l, `select id::text from message order by id limit 1`)
	paused := func(c store.Candidate) store.Verdict {
		require.True(t, c.Paused)
		require.Positive(t, c.PausedFor)
		return store.Verdict{Wait: time.Hour, On: message.SMS, Defer: true, Behind: message.ReasonRulePaused}
	}
	require.Equal(t, 1, l.claimWith(paused, id).Waiting)
	for name, want := range map[string]bool{rule: true, "another-rule": false} {
		waits, err := l.RuleWaits(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, want, waits, name)
	}
	changed, err := l.ResumeRule(t.Context(), store.RuleSwitch{Rule: rule, By: "ana", Note: "a real sale"})
	require.NoError(t, err)
	require.True(t, changed)
	require.True(t, get[bool](l, `select m.not_before <= now() and b.due_at <= now() from message m join belt b on b.message_id = m.id where m.id = $1`, id))
	l.claimWith(func(c store.Candidate) store.Verdict {
		require.False(t, c.Paused)
		require.Zero(t, c.PausedFor)
		return store.Verdict{Send: message.SMS, Index: 0}
	}, id)
	require.Empty(t, l.fires(20), "13 are its habit now")
	changed, err = l.ResumeRule(t.Context(), store.RuleSwitch{Rule: rule, By: "ana"})
	require.NoError(t, err)
	require.False(t, changed)
}

// Very many messages may wait when a rule is let go on. One that a claim has in hand, which has found the rule paused, is let go on too.
func TestResumeOfVeryManyMessages(t *testing.T) {
	t.Parallel()
	l := open(t)
	const many, id = 12_345, `('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid`
	for _, one := range []struct{ rule, reason string }{{"paused", "rule_paused"}, {"other", "rule_paused"}, {"paused", "quiet_hours"}} {
		first := get[int](l, `select count(*) from message`) + 1
		n := many
		if one.rule+one.reason != "pausedrule_paused" {
			n = 1
		}
		l.exec(`insert into message (id, org, notification_id, record_id, object, contact_id, rule, template, language, purpose, channels, recipient,
				content, state, reason, not_before)
			select `+id+`, 'o', n::text, '', '', '', $1, 't', '', 'transactional', '{sms}', '+1415' || n, '{}', 'queued', $2, now() + interval '10 minutes'
			from generate_series($3::integer, $4::integer) n`, one.rule, one.reason, first, first+n-1)
	}
	l.exec(`insert into belt (message_id, org, recipient, due_at, seq) select id, org, recipient, not_before, 0 from message`)
	l.exec(`insert into rule_pause (rule, paused_by, note) values ('paused', 'beckon', '')`)
	claim, err := l.db.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = claim.Rollback(context.WithoutCancel(t.Context())) }() // the pool waits for it
	_, err = claim.Exec(t.Context(), `select from message where rule = 'paused' order by id limit 1 for update`)
	require.NoError(t, err)
	resumed := make(chan error, 1)
	go func() {
		_, err := l.ResumeRule(context.WithoutCancel(t.Context()), store.RuleSwitch{Rule: "paused", By: "ana"})
		resumed <- err
	}()
	require.Eventually(t, func() bool {
		return get[bool](l, `select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`)
	}, 20*time.Second, 10*time.Millisecond, "it waits for the claim")
	_, err = claim.Exec(t.Context(), `update message set not_before = now() + interval '1 hour' where id = (select id from message where rule = 'paused' order by id limit 1)`)
	require.NoError(t, err)
	require.NoError(t, claim.Commit(t.Context()))
	require.NoError(t, <-resumed)
	require.Equal(t, many, get[int](l, `select count(*) from message m join belt b on b.message_id = m.id where m.not_before <= now() and b.due_at <= now()`))
	require.Equal(t, many, get[int](l, `select count(*) from message where rule = 'paused' and reason = 'rule_paused' and not_before <= now()`))
}

// A rule that runs away twice within one span can be resumed twice, and both bursts are its habit then.
func TestResumeTwiceInASpan(t *testing.T) {
	t.Parallel()
	l := open(t)
	require.Len(t, l.fires(5), 1, "a new rule has no habit: exactly at_least is too much")
	rule := get[string](l, `select rule from rule_pause`)
	resume := func() {
		changed, err := l.ResumeRule(t.Context(), store.RuleSwitch{Rule: rule, By: "ana"})
		require.NoError(t, err)
		require.True(t, changed)
	}
	resume()
	require.Empty(t, l.fires(14), "one less than three times as many")
	require.Len(t, l.fires(1), 1)
	resume()
	require.Empty(t, l.fires(59), "20 are its habit now")
	require.Len(t, l.fires(1), 1)
	resume()
}

// Routers that decide at the same time share the counter: the rule is paused once, by whichever came over the edge.
func TestBreakerIsSharedByAllRouters(t *testing.T) {
	t.Parallel()
	l := open(t)
	var paused atomic.Int64
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 3 {
				paused.Add(int64(len(l.fires(1))))
			}
		})
	}
	wait.Wait()
	require.EqualValues(t, 1, paused.Load())
	require.Equal(t, 12, get[int](l, `select sum(messages)::integer from rule_count`))
	require.Contains(t, get[string](l, `select note from rule_pause`), "5 messages since")
}

func TestPauseByHand(t *testing.T) {
	t.Parallel()
	l := open(t)
	for _, want := range []bool{true, false} {
		changed, err := l.PauseRule(t.Context(), store.RuleSwitch{Rule: "a-rule", By: "ana", Note: "wrong text"})
		require.NoError(t, err)
		require.Equal(t, want, changed)
	}
	_, err := l.ResumeRule(t.Context(), store.RuleSwitch{Rule: "a-rule", By: "ben"})
	require.NoError(t, err)
	trail, err := l.Audit(t.Context(), store.AuditFilter{Subject: "a-rule"})
	require.NoError(t, err)
	require.Len(t, trail, 2)
	require.Equal(t, []string{"ana", "rules.pause", "ben", "rules.resume"}, []string{trail[0].Operator, trail[0].Action, trail[1].Operator, trail[1].Action})
	require.JSONEq(t, `{"note": "wrong text"}`, string(trail[0].Detail))
}
