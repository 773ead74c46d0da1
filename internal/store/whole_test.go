package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/store"
)

// The trace of a YES has what was made of it.
func TestTraceOfAYes(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.add(optIn("1", "news"))
	l.asks()
	question := l.asked("SM1").Message.ID
	require.True(t, l.yes("IN1", 0).Confirmed)
	trace, err := l.Trace(t.Context(), "IN1")
	require.NoError(t, err)
	ids := []string{}
	for _, m := range trace.Messages {
		ids = append(ids, m.ID)
	}
	require.Equal(t, []string{question, get[string](l, `select id::text from message where origin_key = 'yes/IN1'`)}, ids)
}

// yesAsStart is a YES where the vocabulary has it among the words for START.
func yesAsStart(sid string, answer string) store.Reply {
	r := plainNow(sid, consent.ReOptIn)
	r.Body, r.Keyword, r.Answer = "yes", string(consent.Start), confirmation(answer)
	return r
}

func confirmation(template string) *store.Confirmation {
	return &store.Confirmation{Template: template, Within: time.Minute, PerHour: 100, Render: func(string) (message.Content, error) {
		return freeText(template), nil
	}}
}

// Twilio takes YES for START. Who is out of one program says it to a message of another one, and is not back in the first.
func TestAYesThatTwilioTakesForAStart(t *testing.T) {
	t.Parallel()
	l := open(t)
	word := func(action consent.Action, scope consent.Scope) {
		l.add(consent.Entry{
			Org: org, Address: person, Channel: consent.AllChannels, Action: action, Scope: scope, Source: consent.FromOperator, Evidence: "ana",
		})
	}
	yes := func(sid string) {
		r := yesAsStart(sid, "opt-in-again")
		r.Answer, r.Consent.OccurredAt = nil, time.Now().Add(time.Minute)
		l.reply(r)
	}
	news := consent.ProgramScope("news")
	word(consent.OptIn, news)
	word(consent.OptOut, news)
	yes("IN1")
	require.True(t, l.state().Stopped(message.SMS, "news"))
	require.Equal(t, 1, get[int](l, `select count(*) from reply_task where sid = 'IN1'`), "the reply rules are asked about it")
	word(consent.OptOut, consent.Scope{})
	yes("IN2")
	require.False(t, l.state().Stopped(message.SMS, "default"), "who is out of everything was asked nothing")
}

// A YES that confirms an opt-in is answered as such, whatever else it is.
func TestAYesThatIsAlsoAStartConfirms(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.add(optIn("1", "news"))
	l.asks()
	l.asked("SM1")
	r := yesAsStart("IN1", "opt-in-again")
	entry := *r.Consent
	entry.Action = consent.Confirm
	r.Yes = &store.YesTo{Within: time.Hour, Entry: entry, Answer: confirmation("opt-in-confirmation")}
	linked := l.reply(r)
	require.True(t, linked.Confirmed)
	require.Equal(t, store.ConfirmationMade, linked.Confirmation)
	require.Equal(t, "opt-in-confirmation", get[string](l, `select template from message where origin_key like '%IN1'`))
}

// One reply gets one answer: where its START was answered, a reply rule asks no question that nobody would read.
func TestAStartThatWasAnsweredIsNotAnsweredByARule(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.accepted(person, message.SMS, "SM1")
	stop := plainNow("IN1", consent.OptOut)
	stop.Keyword = string(consent.Stop)
	l.reply(stop)
	require.Equal(t, store.ConfirmationMade, l.reply(yesAsStart("IN2", "opt-in-again")).Confirmation)
	result, err := l.DecideReply(t.Context(), everyReply(), func(p store.PendingReply) store.DecidedReply {
		content := freeText("why?")
		return store.DecidedReply{
			Outcome: notification.Matched, Rule: "survey", Content: &content, Template: "why", Mark: true,
			Ask: &store.NewQuestion{Name: "why", Answers: []string{"price"}, ExpiresAfter: time.Hour},
		}
	})
	require.NoError(t, err)
	require.Equal(t, "IN2", result.SID)
	require.Equal(t, store.HeldAnswered, result.Held)
	require.Empty(t, l.questions())
	require.Equal(t, "opt-in-again", get[string](l, `select string_agg(template, ',') from message where origin_key = 'IN2'`))
	require.Equal(t, 1, get[int](l, `select count(*) from conversation where marked_by = 'survey'`), "the rest of the rule counts")
}

// What a second table has of a kind goes in the same round, however much the first has, and in small batches too.
func TestRetentionOfTheSecondTable(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.accepted(person, message.SMS, "SM1")
	l.exec(`update decision set detail = '{"previous": {"a": "b"}}', decided_at = now() - interval '50 hours'`)
	l.exec(`insert into replayed (org, notification_id, replay_id, mode, result, stream_seq, detail, decided_at)
		select org, notification_id, 'x', 'replay', 'decided', 1, '{"previous": {"a": "b"}}', now() - interval '50 hours' from decision`)
	l.reply(store.Reply{SID: "IN1", Body: "hello", Received: time.Now().Add(-50 * time.Hour)})
	l.exec(`insert into webhook (id, sid, url, body, created_at)
		select gen_random_uuid(), 'timeout/' || n, 'https://hooks.example.com', 'hello', now() - interval '50 hours' from generate_series(1, 3) n`)
	for kind, want := range map[store.RetentionKind]int{store.RetainDecisions: 2, store.RetainReplies: 4} {
		n, err := l.Retain(t.Context(), kind, 48*time.Hour, 2)
		require.NoError(t, err)
		require.Equal(t, want, n, kind)
	}
	require.Zero(t, get[int](l, `select count(*) from replayed where detail ? 'previous'`))
	require.Equal(t, 3, get[int](l, `select count(*) from webhook where body = '' and state = 'failed'`))
}

// Who lets a rule go on takes its locks in the order in which the router takes them.
func TestResumeWaitsForACountOfItsRule(t *testing.T) {
	t.Parallel()
	l := open(t)
	require.Len(t, l.fires(5), 1)
	rule := get[string](l, `select rule from rule_pause`)
	l.whileLockedThen(func() {
		if _, err := l.ResumeRule(context.Background(), store.RuleSwitch{Rule: rule, By: "ana"}); err != nil {
			t.Error(err)
		}
	}, `insert into rule_pause (rule, paused_by, note) values ($1, 'beckon', '') on conflict do nothing`,
		`update rule_count set messages = messages + 1 where rule = $1`, rule)
	require.Zero(t, get[int](l, `select count(*) from rule_pause`))
}

// whileLockedThen is whileLocked with a statement that is carried out before the end, and must not wait.
func (l *ledger) whileLockedThen(do func(), then, sql string, args ...any) {
	l.t.Helper()
	tx, err := l.db.Begin(context.Background())
	require.NoError(l.t, err)
	_, err = tx.Exec(context.Background(), `set local lock_timeout = '500ms'`)
	require.NoError(l.t, err)
	_, err = tx.Exec(context.Background(), sql, args...)
	require.NoError(l.t, err)
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	require.Eventually(l.t, func() bool {
		return get[int](l, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) > 0
	}, 20*time.Second, 5*time.Millisecond)
	_, err = tx.Exec(context.Background(), then, args...)
	if err == nil {
		err = tx.Commit(context.Background())
	} else if rollback := tx.Rollback(context.Background()); rollback != nil {
		l.t.Error(rollback)
	}
	<-done
	require.NoError(l.t, err)
}

// An index by age that does not know the newest rows has each look at them read all that came since the last vacuum.
func TestIndexesByAgeKnowTheNewestRows(t *testing.T) {
	t.Parallel()
	l := open(t)
	require.Empty(t, get[string](l, `select coalesce(string_agg(c.relname, ' ' order by c.relname), '') from pg_class c join pg_am a on a.oid = c.relam
		where a.amname = 'brin' and not 'autosummarize=on' = any (coalesce(c.reloptions, '{}'))`))
}
