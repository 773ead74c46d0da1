package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/store"
)

func oneMessage(p store.Pending) []store.NewMessage {
	return []store.NewMessage{draft(p, address.Address("+1415"+string(p.Notification.RecordID[8:15])))}
}

// BenchmarkDecide decides notifications that make a message each.
func BenchmarkDecide(b *testing.B) {
	for name, shape := range map[string]struct{ envelopes, each int }{"1x100": {1, 100}, "64x1": {64, 1}, "1x1": {1, 1}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			l := open(b)
			n := 0
			for b.Loop() {
				group := make([]store.Envelope, shape.envelopes)
				for i := range group {
					notes := make([]notification.Notification, shape.each)
					for j := range notes {
						n++
						notes[j] = note(n, n, "StageName", "Closed Won", "Contact_First_Name__c", "Ada")
					}
					group[i] = envelope(uint64(n), notes...)
				}
				_, err := l.Decide(b.Context(), group, makes(oneMessage))
				require.NoError(b, err)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkClaimAndRecord brings 64 messages from queued to accepted.
func BenchmarkClaimAndRecord(b *testing.B) {
	const size = 64
	b.ReportAllocs()
	l := open(b)
	n := 0
	for b.Loop() {
		b.StopTimer()
		notes := make([]notification.Notification, size)
		for i := range notes {
			n++
			notes[i] = note(n, n)
		}
		made, err := l.Decide(b.Context(), []store.Envelope{envelope(uint64(n), notes...)}, makes(oneMessage))
		require.NoError(b, err)
		ids := make([]string, size)
		for i, ref := range made.Belt {
			ids[i] = ref.ID
		}
		b.StartTimer()
		result := l.claimWith(sendOn(message.SMS), ids...)
		require.Len(b, result.Claimed, size)
		outcomes := make([]store.Outcome, size)
		for i, c := range result.Claimed {
			outcomes[i] = outcome(c, message.Accepted, "SM"+c.AttemptID)
		}
		l.record(outcomes...)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkFigures sums up a hundred thousand messages of 30 days: all of them, and those of one day.
func BenchmarkFigures(b *testing.B) {
	const messages = 100_000
	l := open(b)
	first := l.accepted(person, message.SMS, "SM0")
	l.exec(`create table made as select gen_random_uuid() as id, gen_random_uuid() as attempt, n, '+1415' || lpad((n % 20000)::text, 7, '0') as who,
			'SM' || lpad(n::text, 32, '0') as sid, now() - interval '30 days' * (1 - n / $1::float8) as at
		from generate_series(1, $1) n`, messages)
	l.exec(`insert into message select (jsonb_populate_record(m, jsonb_build_object('id', d.id, 'recipient', d.who, 'state', case when d.n % 20 = 0 then 'undelivered' else 'delivered' end, 'attempt_id', d.attempt,
			'notification_id', 'n' || d.n, 'rule', 'rule-' || d.n % 20, 'created_at', d.at, 'updated_at', d.at))).*
		from message m, made d where m.id = $1::uuid`, first.Message.ID)
	l.exec(`insert into attempt (id, message_id, number, org, sender, channel, address, state, sid, country, started_at, segments, category, error_code)
		select attempt, id, 1, 'x', 'default', 'sms', who, case when n % 20 = 0 then 'undelivered' else 'delivered' end, sid, 'US', at, 1, 'sms',
			case when n % 20 = 0 then 30003 else 0 end from made`)
	l.exec(`insert into conversation (id, org, sender, channel, address) select gen_random_uuid(), 'x', 'default', 'sms', who from made
		where n <= 20000 and n % 10 = 3`)
	l.exec(`insert into inbound (sid, org, conversation_id, sender, channel, address, body, message_id, received_at, stream_seq)
		select 'IN' || n, 'x', c.id, 'default', 'sms', who, 'hi', d.id, at, n from made d join conversation c on c.address = d.who and c.sender = 'default'
		where n % 10 = 3`)
	l.exec(`insert into consent (org, address, channel, action, source, evidence, occurred_at, scope)
		select '*', who, 'all', case when n % 200 = 3 then 'opt_out' else 'opt_in' end, 'keyword', 'IN' || n, at, 'all' from made where n % 4 in (1, 3)`)
	l.exec(`analyze`)
	for name, q := range map[string]store.FiguresQuery{
		"all by rule and channel": {By: []string{"rule", "channel"}},
		"one day by rule":         {By: []string{"rule"}, Since: time.Now().Add(-24 * time.Hour)},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				found, err := l.Figures(b.Context(), q)
				require.NoError(b, err)
				require.NotEmpty(b, found)
			}
		})
	}
}
