package router

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/webhook"
	"github.com/beckonhq/beckon/templates"
)

const replyRules = `
rules:
  - name: confirmed
    on: reply
    when: reply.word == "yes"
    answer: welcome
    vars: {name: '"Ana"'}
  - name: rated
    on: reply
    when: reply.question == "rating" && reply.answer != ""
    answer: thanks
    webhook: https://example.com/hook
  - name: ask-rating
    on: reply
    when: reply.word == "rate"
    ask: {name: rating, template: thanks, answers: ["1", "2"]}
  - name: rating-again
    on: reply
    when: reply.question == "rating" && reply.asked < 2
    ask: {name: rating, template: thanks, answers: ["1", "2"]}
  - name: nobody-rates
    on: timeout
    when: reply.question == "rating"
    answer: welcome
    vars: {name: '"again"'}
    webhook: https://example.com/hook
    mark: true
  - name: unanswerable
    on: reply
    when: reply.word == "broken"
    answer: welcome
  - name: anything-else
    on: reply
    when: 'true'
    mark: true
`

// newReplyWorld is a world whose routers ask these rules.
func newReplyWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, welcome)
	var err error
	w.templates, err = templates.Load(fstest.MapFS{
		"welcome.yaml": {Data: []byte(template)}, "thanks.yaml": {Data: []byte(`sms: {en: "Thanks!"}`)},
	})
	require.NoError(t, err)
	w.load(replyRules)
	return w
}

func (w *world) says(text string) string {
	w.t.Helper()
	n := w.next.Add(1)
	sid := fmt.Sprintf("SM%032d", n)
	_, err := w.ApplyReply(w.t.Context(), store.Reply{
		SID: sid, Sender: "default", Channel: message.SMS, From: "+14155550100", Body: text, Received: time.Now(), Seq: uint64(n),
	})
	require.NoError(w.t, err)
	return sid
}

func (w *world) count(sql string, args ...any) int {
	w.t.Helper()
	var n int
	require.NoError(w.t, w.db.QueryRow(context.Background(), sql, args...).Scan(&n))
	return n
}

// decidedAll waits until no reply waits.
func (w *world) decidedAll() {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return w.count(`select count(*) from reply_task`) == 0 }, patience, 10*time.Millisecond)
}

func (w *world) replyConfig() Config {
	config := w.config()
	config.ReplyTick, config.AnswersPerHour = 10*time.Millisecond, 100
	return config
}

func TestReplyRulesActOnce(t *testing.T) {
	t.Parallel()
	w := newReplyWorld(t)
	for range 3 { // side by side
		w.run(w.replyConfig())
	}
	yes := w.says("YES!")
	w.says("what?")
	w.says("broken")
	w.decidedAll()
	require.Equal(t, 3, w.count(`select count(*) from reply_decision`))
	require.Equal(t, 1, w.count(`select count(*) from message where origin = 'reply_rule' and origin_key = $1 and rule = 'confirmed'
		and state = 'queued' and channels = '{sms}' and content -> 'sms' ->> 'text' = 'Hi Ana!'`, yes))
	require.Equal(t, 1, w.count(`select count(*) from message`), "what can't be rendered is not sent")
	require.Equal(t, 1, w.count(`select count(*) from conversation where marked_by = 'unanswerable'`), "a human has to answer")
	require.Equal(t, 1, w.count(`select count(*) from reply_decision where detail ? 'template_error'`))
}

func TestSurvey(t *testing.T) {
	t.Parallel()
	w := newReplyWorld(t)
	w.run(w.replyConfig())
	for _, text := range []string{"2", "rate", "hm", "well", "2", "1"} { // one before it, two that are no answers, one too many
		w.says(text)
	}
	w.decidedAll()
	require.Equal(t, 1, w.count(`select count(*) from question where state = 'answered' and name = 'rating' and answer = '2' and asked = 2`))
	require.Equal(t, 1, w.count(`select count(*) from reply_decision where rule = 'rating-again'`), "it is asked again once")
	require.Equal(t, 1, w.count(`select count(*) from reply_decision where rule = 'rated'`))
	require.Equal(t, 1, w.count(`select count(*) from webhook where state = 'queued' and body::jsonb -> 'data' ->> 'answer' = '2'`))
	w.says("rate")
	w.decidedAll()
	_, err := w.db.Exec(t.Context(), `update question set expires_at = now() where state = 'open'`)
	require.NoError(t, err)
	w.says("1")
	w.decidedAll()
	require.Equal(t, 1, w.count(`select count(*) from reply_decision where rule = 'rated'`), "too late is no answer")
	require.Equal(t, 1, w.count(`select count(*) from question where state = 'timed_out'`), "it goes before the reply that came after it")
	require.Equal(t, 1, w.count(`select count(*) from reply_decision where rule = 'nobody-rates' and sid like 'timeout/%'`))
	require.Equal(t, 1, w.count(`select count(*) from message where rule = 'nobody-rates' and content -> 'sms' ->> 'text' = 'Hi again!'`))
	require.Equal(t, 1, w.count(`select count(*) from webhook where body::jsonb ->> 'type' = 'question.timed_out'
		and body::jsonb -> 'data' ->> 'question' = 'rating' and body::jsonb -> 'data' ->> 'sid' = ''`))
}

func TestAutomaticAnswersAreHeld(t *testing.T) {
	t.Parallel()
	w := newReplyWorld(t)
	config := w.replyConfig()
	config.AnswersPerHour = 2
	w.run(config)
	for _, text := range []string{"rate", "rate!", "rate.", "yes"} {
		w.says(text)
		w.decidedAll()
	}
	require.Equal(t, 2, w.count(`select count(*) from message`))
	require.Equal(t, 2, w.count(`select count(*) from reply_decision where detail ->> 'held' = 'loop'`))
	_, err := w.db.Exec(t.Context(), `update conversation set paused_until = now() + interval '1 minute'`)
	require.NoError(t, err)
	w.says("Yes")
	w.says("human!")
	w.decidedAll()
	require.Equal(t, 1, w.count(`select count(*) from reply_decision where detail ->> 'held' = 'paused'`))
	require.Equal(t, 1, w.count(`select count(*) from conversation where marked_by = 'anything-else'`), "a mark is no answer")
}

// failing makes DecideReply fail for one reply.
type failing struct {
	Ledger

	text string
}

func (f failing) DecideReply(ctx context.Context, b store.ReplyBounds, decide func(store.PendingReply) store.DecidedReply) (store.ReplyResult, error) {
	return f.Ledger.DecideReply(ctx, b, func(p store.PendingReply) store.DecidedReply {
		d := decide(p)
		if p.Text == f.text && !p.TimedOut {
			panic("a bug")
		}
		return d
	})
}

func (f failing) TimeOutQuestion(ctx context.Context, b store.ReplyBounds, decide func(store.PendingReply) store.DecidedReply) (store.ReplyResult, error) {
	return f.Ledger.TimeOutQuestion(ctx, b, func(p store.PendingReply) store.DecidedReply {
		_ = decide(p)
		panic("another bug")
	})
}

func TestATimeOutThatCannotBeDecidedIsGivenUp(t *testing.T) {
	t.Parallel()
	w := newReplyWorld(t)
	config := w.replyConfig()
	config.Ledger = failing{w.Store, "bad"}
	w.run(config)
	w.says("rate")
	w.decidedAll()
	_, err := w.db.Exec(t.Context(), `update question set expires_at = now()`)
	require.NoError(t, err)
	w.says("yes") // waits for it
	require.Eventually(t, func() bool {
		_, err := w.db.Exec(context.Background(), `update question set retry_at = now()`)
		return err == nil && w.count(`select count(*) from reply_decision`) == 3
	}, patience, 20*time.Millisecond)
	require.Equal(t, 1, w.count(`select count(*) from reply_decision where outcome = 'dead_letter' and sid like 'timeout/%'`))
	require.Equal(t, 1, w.count(`select count(*) from conversation where marked_at is not null`))
	found, err := config.Metrics.(*prometheus.Registry).Gather()
	require.NoError(t, err)
	require.Contains(t, fmt.Sprint(found), `value:"dead_letter"`, "it is counted")
}

func TestAReplyThatCannotBeDecidedHoldsUpNobodyForEver(t *testing.T) {
	t.Parallel()
	w := newReplyWorld(t)
	config := w.replyConfig()
	config.Ledger = failing{w.Store, "bad"}
	w.run(config)
	w.says("bad")
	w.says("yes")
	require.Eventually(t, func() bool {
		_, err := w.db.Exec(context.Background(), `update reply_task set due_at = now()`)
		return err == nil && w.count(`select count(*) from reply_decision`) == 2
	}, patience, 20*time.Millisecond)
	require.Equal(t, 1, w.count(`select count(*) from reply_decision where outcome = 'dead_letter'`))
	require.Equal(t, 1, w.count(`select count(*) from conversation where marked_at is not null`))
	require.Equal(t, 1, w.count(`select count(*) from message`))
}

// poster takes webhooks, the first ones in vain.
type poster struct {
	calls   atomic.Int64
	refuse  int64
	private bool
}

func (p *poster) Post(context.Context, string, string, string) error {
	switch n := p.calls.Add(1); {
	case p.private:
		return webhook.ErrPrivate
	case n <= p.refuse:
		return errors.New("the server answered 500")
	}
	return nil
}

func TestWebhooksAreTriedAgain(t *testing.T) {
	t.Parallel()
	for state, server := range map[string]*poster{"delivered": {refuse: 3}, "failed": {private: true}} {
		w := newReplyWorld(t)
		config := w.replyConfig()
		config.Webhooks = server
		w.run(config)
		w.says("rate")
		w.says("1")
		require.Eventually(t, func() bool {
			// Not one that is being posted now: that is due again after the lease.
			_, err := w.db.Exec(context.Background(), `update webhook set due_at = now() where error <> '' and due_at - updated_at < $1`, webhookLease)
			return err == nil && w.count(`select count(*) from webhook where state = $1`, state) == 1
		}, patience, 20*time.Millisecond)
		require.Equal(t, server.refuse+1, server.calls.Load())
	}
}

func TestAnswersCarryTheCapsOfBudgets(t *testing.T) {
	t.Parallel()
	w := newReplyWorld(t)
	w.load(replyRules + `
caps:
  - {name: all, scope: all, messages: 100, per: 1h}
  - {name: confirmed-only, scope: rule, rule: confirmed, messages: 5, per: 1h}
  - {name: person, scope: person, messages: 1, per: 1h}
  - {name: offers, scope: purpose, purpose: marketing, messages: 1, per: 1h}
`)
	w.run(w.replyConfig())
	for text, want := range map[string]string{"yes": `["all", "confirmed-only"]`, "rate": `["all"]`} {
		sid := w.says(text)
		w.decidedAll()
		require.Equal(t, 1, w.count(`select count(*) from message where origin_key = $1 and jsonb_path_query_array(caps, '$[*].name') = $2::jsonb`, sid, want), text)
	}
}

func TestSettled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var replies inbound
		var s settled
		look := func(last, floor uint64) uint64 {
			replies.last.Store(last)
			replies.floor.Store(floor)
			b, err := s.bounds(t.Context(), &replies)
			require.NoError(t, err)
			return b.Settled
		}
		require.EqualValues(t, 5, look(7, 5))
		require.Zero(t, s.before, "two are being worked on")
		start := time.Now()
		<-time.After(time.Second)
		require.EqualValues(t, 6, look(9, 6))
		require.Zero(t, s.before)
		look(9, 7)
		require.Equal(t, start, s.before, "those of the first look; newer ones hold nobody up for ever")
		<-time.After(time.Second)
		look(9, 9)
		require.Equal(t, start.Add(2*time.Second), s.before)
		look(12, 10)
		<-time.After(time.Second)
		look(2, 1)
		look(2, 2)
		require.Equal(t, start.Add(3*time.Second), s.before, "a stream that was made anew counts from the beginning")
	})
}
