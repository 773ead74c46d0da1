package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

func TestRetention(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.accepted(person, message.SMS, "SM1")
	l.apply(event(c, "SM1", message.Delivered))
	d := l.accepted("+14155550101", message.SMS, "SM2")
	l.apply(event(d, "SM2", message.Delivered))
	l.queue(person)
	l.reply(store.Reply{SID: "IN1", Body: "hello", Received: time.Now().Add(-50 * time.Hour)})
	l.reply(store.Reply{SID: "IN2", Body: "hello"})
	l.exec(`insert into record (org, id, object, fields, updated_at) values ($1, 'old', 'C', '{"a": "b"}', now() - interval '50 hours'),
		($1, 'new', 'C', '{"a": "b"}', now())`, string(org))
	l.exec(`update decision set detail = '{"previous": {"a": "b"}, "previous_seen": true}'`)
	l.exec(`update decision set decided_at = now() - interval '50 hours' where notification_id = $1`, string(c.Message.NotificationID))
	l.exec(`update message set created_at = now() - interval '50 hours'`)
	l.exec(`update message set updated_at = now() - interval '50 hours' where recipient = $1`, string(person))
	l.exec(`insert into webhook (id, sid, url, body, state) select gen_random_uuid(), sid, 'https://hooks.example.com', 'hello', 'queued' from inbound`)
	l.exec(`update message set hours = '{"wish": "respect"}'`)
	l.exec(`insert into review (org, address, channel, inbound_sid, text, pattern, language, said_at, seq, decide_by, decided_at, decision)
		select org, address, channel, sid, 'hello', 'x', 'en', now(), 0, now(), now(), 'keep' from inbound`)
	for _, kind := range store.RetentionKinds() {
		n, err := l.Retain(t.Context(), kind, 48*time.Hour, 100)
		require.NoError(t, err, kind)
		require.Equal(t, 1, n, kind)
		n, err = l.Retain(t.Context(), kind, 48*time.Hour, 100)
		require.NoError(t, err, kind)
		require.Zero(t, n, "%s, again", kind)
	}
	require.Equal(t, 1, get[int](l, `select count(*) from message where content = '{}'`), "not the one that waits, nor the one that ended since")
	require.Equal(t, "IN1", get[string](l, `select sid from inbound where body = ''`))
	require.Equal(t, "IN1 failed", get[string](l, `select sid || ' ' || state from webhook where body = ''`))
	require.Equal(t, "IN1", get[string](l, `select inbound_sid from review where text = ''`))
	require.Equal(t, 1, get[int](l, `select count(*) from message where hours is null`))
	require.Equal(t, "old", get[string](l, `select id from record where fields is null and id in ('old', 'new')`))
	n, err := l.Retain(t.Context(), store.RetainContents, 0, 1)
	require.NoError(t, err)
	require.Equal(t, 1, n)

	l.exec(`insert into replayed (org, notification_id, replay_id, mode, result, stream_seq, detail, decided_at)
		select org, notification_id, 'x', 'replay', 'decided', 1, '{"previous": {"a": "b"}, "rest": 1}', now() - interval '50 hours' from decision`)
	n, err = l.Retain(t.Context(), store.RetainDecisions, 48*time.Hour, 2)
	require.NoError(t, err)
	require.Equal(t, 3, n, "in small batches")
	require.Equal(t, 3, get[int](l, `select count(*) from replayed where detail = '{"rest": 1}'`))
	_, err = l.db.Exec(t.Context(), `update replayed set mode = 'force'`)
	require.ErrorContains(t, err, "only ever added to")
}

// A pass begins where the last one found something left, and what is old and comes late has its turn too.
func TestRetentionGoesOnWhereItEnded(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.accepted(person, message.SMS, "SM1")
	l.apply(event(c, "SM1", message.Delivered))
	waits := l.queue(person)[0]
	for id, age := range map[string]string{c.Message.ID: "30 days", waits: "40 days"} {
		l.exec(`update message set created_at = now() - $2::text::interval, updated_at = now() - $2::text::interval where id = $1`, id, age)
	}
	retain := func(kind store.RetentionKind) int {
		n, err := l.Retain(t.Context(), kind, 24*time.Hour, 1)
		require.NoError(t, err)
		return n
	}
	passed := func(table, age string) bool {
		return get[bool](l, `select at > now() - $2::text::interval from mark where name = 'retained.' || $1`, table, age)
	}
	require.Equal(t, 1, retain(store.RetainContents))
	require.False(t, passed("message", "39 days"), "one that waits has its text still")
	l.exec(`delete from belt where message_id = $1`, waits)
	l.exec(`update message set state = 'suppressed' where id = $1`, waits)
	require.Equal(t, 1, retain(store.RetainContents))
	require.True(t, passed("message", "25 hours"))
	require.Zero(t, get[int](l, `select count(*) from message where content <> '{}'`))

	require.Zero(t, retain(store.RetainReplies))
	l.reply(store.Reply{SID: "IN1", Body: "hello", Received: time.Now().Add(-7 * 24 * time.Hour)})
	require.Equal(t, 1, retain(store.RetainReplies))
	require.True(t, passed("inbound", "25 hours"))

	l.exec(`insert into record (org, id, object, fields, updated_at) select $1, 'R' || n, 'C', '{"a": "b"}', now() - n * interval '10 hours' from generate_series(1, 5) n`, string(org))
	require.Equal(t, 3, retain(store.RetainSnapshots))
	require.Equal(t, 2, get[int](l, `select count(*) from record where id like 'R%' and fields is not null`))
}
