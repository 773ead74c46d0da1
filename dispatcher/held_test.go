package dispatcher

import (
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

// A rule that somebody pauses and forgets holds its messages for ever; somebody is told.
func TestMessagesThatAreHeldForLongAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	_, err := w.PauseRule(t.Context(), store.RuleSwitch{Rule: "a-rule", By: "ana"})
	require.NoError(t, err)
	config, registry := w.config(), prometheus.NewRegistry()
	config.Metrics = registry
	d, _ := w.begin(config)
	id := w.queue(sms(person, "x"))[0]
	require.True(t, w.wait(func() bool { return w.message(id).Reason == message.ReasonRulePaused }))
	require.NoError(t, d.lookForHeld(t.Context()))
	require.Equal(t, -1, gauge(t, registry, "beckon_messages_held_long", "rule_paused"), "not for long")
	old, err := uuid.NewV7()
	require.NoError(t, err)
	at := time.Now().Add(-heldLong - time.Minute).UnixMilli()
	for i := range 6 {
		old[i] = byte(at >> (8 * (5 - i)))
	}
	w.exec(`with made as (insert into message select (m).* from (select jsonb_populate_record(message, jsonb_build_object('id', $2::text, 'salt', 'x')) as m
		from message where id = $1) c) insert into belt select (b).* from (select jsonb_populate_record(belt, jsonb_build_object('message_id', $2::text)) as b
		from belt where message_id = $1) c`, id, old.String())
	require.NoError(t, d.lookForHeld(t.Context()))
	require.Equal(t, 1, gauge(t, registry, "beckon_messages_held_long", "rule_paused"))
	_, err = w.ResumeRule(t.Context(), store.RuleSwitch{Rule: "a-rule", By: "ana"})
	require.NoError(t, err)
	w.becomes(id, message.Delivered)
	w.becomes(old.String(), message.Delivered)
	require.NoError(t, d.lookForHeld(t.Context()))
	require.Equal(t, -1, gauge(t, registry, "beckon_messages_held_long", "rule_paused"))
}

// A router that is stuck leaves replies without an answer, and servers without their notices; somebody is told.
func TestRepliesAndWebhooksThatWaitAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	config, registry := w.config(), prometheus.NewRegistry()
	config.Metrics = registry
	d, _ := w.begin(config)
	require.NoError(t, d.lookForWaiting(t.Context()))
	require.Zero(t, gauge(t, registry, "beckon_oldest_reply_age_seconds"))
	require.Zero(t, gauge(t, registry, "beckon_oldest_webhook_age_seconds"))
	w.reply(url.Values{"Body": {"yes"}})
	w.repliesWorked()
	w.exec(`update reply_task set created_at = now() - interval '10 minutes'`)
	w.exec(`insert into webhook (id, sid, url, body, created_at) values (gen_random_uuid(), 'IN1', 'https://hooks.example.com', '{}', now() - interval '2 hours')`)
	require.NoError(t, d.lookForWaiting(t.Context()))
	require.InDelta(t, 600, gauge(t, registry, "beckon_oldest_reply_age_seconds"), 60)
	require.InDelta(t, 7200, gauge(t, registry, "beckon_oldest_webhook_age_seconds"), 60)
}
