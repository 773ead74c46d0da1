package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/store"
)

func TestAWebhookThatWasGivenUpIsPostedAgainWithItsID(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.exec(`insert into webhook (id, sid, url, body) values (gen_random_uuid(), 'IN1', 'https://hooks.example.com/a', '{"text": "yes"}')`)
	first, err := l.TakeWebhook(t.Context(), time.Minute, []string{})
	require.NoError(t, err)
	require.NotNil(t, first)
	again, err := l.RetryWebhooks(t.Context(), []string{first.ID}, "ana")
	require.NoError(t, err)
	require.Empty(t, again, "one that is being posted is left alone")

	require.NoError(t, l.EndWebhook(t.Context(), first, "410 Gone", 0))
	failed, err := l.Webhooks(t.Context(), store.WebhookFilter{State: store.WebhookFailed})
	require.NoError(t, err)
	require.Len(t, failed, 1)
	require.Equal(t, 1, failed[0].Tries)
	require.Equal(t, "410 Gone", failed[0].Error)

	for _, want := range [][]string{{first.ID}, nil} { // a second order finds it waiting
		again, err = l.RetryWebhooks(t.Context(), []string{first.ID}, "ana")
		require.NoError(t, err)
		require.Equal(t, want, again)
	}
	second, err := l.TakeWebhook(t.Context(), time.Minute, []string{})
	require.NoError(t, err)
	require.Equal(t, first, second, "the same id and body, and its tries start anew")
	trail, err := l.Audit(t.Context(), store.AuditFilter{Action: "webhooks.retry"})
	require.NoError(t, err)
	require.Len(t, trail, 1)
	require.Equal(t, "ana", trail[0].Operator)
	require.Equal(t, first.ID, trail[0].Subject)
	require.JSONEq(t, `{"host": "hooks.example.com", "tries": 1}`, string(trail[0].Detail))
}

func TestAWebhookWithoutContentIsNotPostedAgain(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.exec(`insert into webhook (id, sid, url, body, state, error)
		values ('01a2b3c4-0000-7000-8000-000000000000', 'IN1', 'https://hooks.example.com/a', '', 'failed', 'erased')`)
	again, err := l.RetryWebhooks(t.Context(), []string{"01a2b3c4-0000-7000-8000-000000000000"}, "ana")
	require.NoError(t, err)
	require.Empty(t, again)
	require.Equal(t, "failed", get[string](l, `select state from webhook`))
}

func TestOldestWaiting(t *testing.T) {
	t.Parallel()
	l := open(t)
	reply, webhook, err := l.OldestWaiting(t.Context())
	require.NoError(t, err)
	require.Zero(t, reply)
	require.Zero(t, webhook)
	for _, sid := range []string{"IN1", "IN2"} {
		l.reply(store.Reply{SID: sid, Body: "yes", Seq: 1})
	}
	l.exec(`update reply_task set created_at = now() - interval '10 minutes' where sid = 'IN2'`)
	l.exec(`insert into webhook (id, sid, url, body, state, created_at) select gen_random_uuid(), 'IN' || n, 'https://hooks.example.com', '{}',
		case n when 1 then 'delivered' when 2 then 'failed' else 'queued' end, now() - (4 - n) * interval '1 hour' from generate_series(1, 3) n`)
	reply, webhook, err = l.OldestWaiting(t.Context())
	require.NoError(t, err)
	require.InDelta(t, 10*time.Minute, reply, float64(time.Minute))
	require.InDelta(t, time.Hour, webhook, float64(time.Minute), "what was delivered or given up waits no more")
	l.exec(`update reply_task set created_at = now() + interval '1 hour'`)
	reply, _, err = l.OldestWaiting(t.Context())
	require.NoError(t, err)
	require.Zero(t, reply, "a clock that was put back makes no negative age")
}

// A process that was stopped for longer than the lease comes back while another one posts the same webhook: that it failed then is no news,
// that the server took it is.
func TestALateEndOfAWebhookCountsOnlyWhenItWasDelivered(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.exec(`insert into webhook (id, sid, url, body) values (gen_random_uuid(), 'IN1', 'https://hooks.example.com/a', '{}')`)
	late, err := l.TakeWebhook(t.Context(), 0, nil)
	require.NoError(t, err)
	next, err := l.TakeWebhook(t.Context(), time.Minute, nil)
	require.NoError(t, err)
	require.Equal(t, late.ID, next.ID)
	const due = `select state || ' ' || error || ' ' || (due_at > now() + interval '30 seconds')::text from webhook`
	for _, wait := range []time.Duration{0, time.Second} {
		require.NoError(t, l.EndWebhook(t.Context(), late, "the server answered 500", wait))
		require.Equal(t, "queued  true", get[string](l, due))
	}
	require.NoError(t, l.EndWebhook(t.Context(), late, "", 0))
	require.NoError(t, l.EndWebhook(t.Context(), next, "the server answered 500", time.Hour))
	require.Equal(t, "delivered", get[string](l, `select state from webhook`))
}
