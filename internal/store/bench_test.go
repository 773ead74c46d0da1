package store_test

import (
	"testing"

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
