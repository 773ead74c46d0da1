package torture

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

const phone = "+12122200001"

func noon() time.Time { return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC) }

func at(seconds float64) time.Time { return noon().Add(time.Duration(seconds * float64(time.Second))) }

// ledgers are those of a run with three notifications: one that went out, one that no rule matched, one that was stopped by an
// opt-out. They are in order.
func ledgers() Ledgers {
	return Ledgers{
		Asked: map[notification.ID]Asked{
			nid(1): {To: phone, At: at(0), Acked: at(1)},
			nid(2): {At: at(0), Acked: at(1)},
			nid(3): {To: "+12122200003", At: at(0), Acked: at(1)},
		},
		Stops:     []Stop{{To: "+12122200003", Began: at(0), Acked: at(0.5)}},
		Stored:    map[notification.ID]int{nid(1): 1, nid(2): 1, nid(3): 2},
		Consumers: []stream.ConsumerState{{Name: stream.Router, Floor: 3}},
		Beckon: &store.Census{
			Notifications: []store.CountedNotification{
				{ID: nid(1), Outcome: notification.Matched, DecidedAt: at(2)},
				{ID: nid(2), Outcome: notification.NoMatch, DecidedAt: at(2)},
				{ID: nid(3), Outcome: notification.Matched, DecidedAt: at(2), Repeats: 1},
			},
			Messages: []store.CountedMessage{
				{ID: "m1", NotificationID: nid(1), State: message.Delivered, UpdatedAt: at(5)},
				{ID: "m3", NotificationID: nid(3), State: message.Suppressed, Reason: message.ReasonOptedOut, UpdatedAt: at(3)},
			},
			Attempts: []store.CountedAttempt{{ID: "a1", MessageID: "m1", State: message.Delivered, SID: "SM1", StartedAt: at(3)}},
		},
		Twilio: []twiliosim.Message{sms(1, "a1", "SM1", phone, at(4))},
	}
}

func nid(i int) notification.ID { return notification.ID(fmt.Sprintf("04lHs000000000%dAAA", i)) }

func sms(i int, attempt, sid, to string, created time.Time) twiliosim.Message {
	return twiliosim.Message{
		SID: sid, To: to, Body: "Beckon torture " + string(nid(i)), Direction: "outbound-api", Created: created,
		StatusCallback: "http://127.0.0.1/twilio/status?attempt=" + attempt + "&message=m#rc=5",
	}
}

func good(c Counts) bool { return (&Report{AtRest: true, Counts: c}).Good() }

func TestOracleAcceptsWhatIsInOrder(t *testing.T) {
	t.Parallel()
	counts, findings := reconcile(ledgers(), nil)
	require.Empty(t, findings)
	require.True(t, good(counts), "%+v", counts)
	require.Equal(t, Counts{
		Queued: 3, Accepted: 3, Repeated: 1, Stored: 3, Decided: 3, Matched: 2, Made: 2, AtTwilio: 1, Suppressed: 1, Attempts: 1,
		LostAt: map[string]int{}, Stops: 1, AfterStopKept: 1,
	}, counts)
}

// Each kind of harm, put into ledgers that are in order, has to be found, and only that.
func TestOracleFindsEveryHarm(t *testing.T) {
	t.Parallel()
	type counted = func(Counts) int
	lost := func(c Counts) int { return c.Lost }
	tests := map[string]struct {
		harm  func(*Ledgers)
		count counted
	}{
		"acknowledged, and in no ledger": {func(l *Ledgers) {
			delete(l.Stored, nid(2))
			l.Beckon.Notifications = append(l.Beckon.Notifications[:1], l.Beckon.Notifications[2:]...)
		}, lost},
		"stored, and never decided": {func(l *Ledgers) {
			l.Beckon.Notifications = append(l.Beckon.Notifications[:1], l.Beckon.Notifications[2:]...)
		}, lost},
		"decided wrongly":                     {func(l *Ledgers) { l.Beckon.Notifications[1].Outcome = notification.DeadLetter }, lost},
		"matched, and no message":             {func(l *Ledgers) { l.Beckon.Messages = l.Beckon.Messages[:1] }, lost},
		"accepted in Postgres, not at Twilio": {func(l *Ledgers) { l.Twilio = nil }, lost},
		"still queued": {func(l *Ledgers) {
			l.Twilio, l.Beckon.Messages[0].State = nil, message.Queued
		}, lost},
		"suppressed, and nobody opted out": {func(l *Ledgers) {
			l.Twilio, l.Beckon.Messages[0].State, l.Beckon.Messages[0].Reason = nil, message.Suppressed, message.ReasonOptedOut
		}, lost},
		"sent twice": {func(l *Ledgers) {
			l.Twilio = append(l.Twilio, sms(1, "a2", "SM2", phone, at(6)))
		}, func(c Counts) int { return c.Duplicated }},
		"made twice": {func(l *Ledgers) {
			l.Beckon.Messages = append(l.Beckon.Messages, store.CountedMessage{ID: "m4", NotificationID: nid(1), State: message.Delivered})
		}, func(c Counts) int { return c.Duplicated }},
		"never acknowledged": {func(l *Ledgers) { l.Asked[nid(4)] = Asked{At: at(0)} }, func(c Counts) int { return c.Refused }},
		"sent, and booked as failed": {func(l *Ledgers) {
			l.Beckon.Messages[0].State = message.Failed
		}, func(c Counts) int { return c.Misbooked }},
		"sent for a record that no rule matched": {func(l *Ledgers) {
			l.Twilio = append(l.Twilio, sms(2, "a2", "SM2", phone, at(6)))
		}, func(c Counts) int { return c.Strangers }},
		"claimed after the opt-out was confirmed": {func(l *Ledgers) {
			l.Stops = append(l.Stops, Stop{To: phone, Began: at(2), Acked: at(2.9)})
		}, func(c Counts) int { return c.Violations }},
		"claimed before the opt-out, called long after": {func(l *Ledgers) {
			l.Stops = append(l.Stops, Stop{To: phone, Began: at(2), Acked: at(3.1)})
			l.Twilio[0].Created = at(5)
		}, func(c Counts) int { return c.Violations }},
		"a stream with work left": {func(l *Ledgers) { l.Consumers[0].Unfinished = 1 }, func(c Counts) int { return c.Unsettled }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			books := ledgers()
			test.harm(&books)
			counts, _ := reconcile(books, nil)
			require.Equal(t, 1, test.count(counts), "%+v", counts)
			require.False(t, good(counts))
		})
	}
}

func TestOracleCountsTheUnknownApart(t *testing.T) {
	t.Parallel()
	books := ledgers()
	books.Twilio, books.Beckon.Messages[0].State = nil, message.Unknown
	counts, _ := reconcile(books, nil)
	require.Equal(t, 1, counts.Unknown)
	require.True(t, good(counts))
}

// The remaining window is proven only by a late arrival across a freeze of a dispatcher; then it has a line of its own.
func TestOracleNamesTheRemainingWindow(t *testing.T) {
	t.Parallel()
	books := ledgers()
	late := at(3).Add(lease + time.Second)
	books.Twilio = []twiliosim.Message{sms(1, "a2", "SM2", phone, late.Add(time.Second)), sms(1, "a1", "SM1", phone, late)}
	frozen := Suffered{Fault: Fault{Kind: Freeze, Target: "dispatcher-2"}, Began: at(3.5), Healed: late}
	counts, findings := reconcile(books, []Suffered{frozen})
	require.Equal(t, []int{1, 1, 0}, []int{counts.LateArrivals, counts.WindowDouble, counts.Duplicated})
	require.Len(t, findings, 1)
	require.True(t, good(counts))

	for _, other := range []Suffered{
		{Fault: Fault{Kind: Freeze, Target: "router-1"}, Began: at(3.5), Healed: late},
		{Fault: Fault{Kind: Freeze, Target: "dispatcher-2"}, Began: at(3.5), Healed: at(4)},
		{Fault: Fault{Kind: Blackhole, Target: "*>twilio"}, Began: at(3.5), Healed: late},
	} {
		counts, _ = reconcile(books, []Suffered{other})
		require.Equal(t, []int{1, 0, 1}, []int{counts.LateArrivals, counts.WindowDouble, counts.Duplicated}, other.String())
	}
}

// A message in the air while somebody opts out is no violation when something did hold it up.
func TestOracleKnowsWhatCrossedInTheAir(t *testing.T) {
	t.Parallel()
	books := ledgers()
	books.Stops = append(books.Stops, Stop{To: phone, Began: at(2), Acked: at(3.9)})
	counts, _ := reconcile(books, nil)
	require.Equal(t, []int{1, 0}, []int{counts.CrossedInAir, counts.Violations})
	books.Twilio[0].Created = at(8)
	counts, _ = reconcile(books, nil)
	require.Equal(t, []int{0, 1}, []int{counts.CrossedInAir, counts.Violations})
	counts, _ = reconcile(books, []Suffered{{Fault: Fault{Kind: Freeze, Target: twilioName}, Began: at(3.5), Healed: at(8)}})
	require.Equal(t, []int{1, 0}, []int{counts.CrossedInAir, counts.Violations})
}

func TestRecoveryIsMeasuredFromTheHealing(t *testing.T) {
	t.Parallel()
	suffered := []Suffered{{Healed: at(1.5)}, {Healed: at(0.5)}, {Healed: at(100)}}
	books := ledgers()
	recoveries(books, suffered)
	require.Equal(t, Recovery{NextAck: never, NextSend: 2500 * time.Millisecond, Most: 2500 * time.Millisecond, Clear: 2500 * time.Millisecond},
		suffered[0].Recovery)
	require.Equal(t, Recovery{NextAck: 500 * time.Millisecond, NextSend: 3500 * time.Millisecond}, suffered[1].Recovery)
	require.Equal(t, Recovery{NextAck: never, NextSend: never}, suffered[2].Recovery)

	books.Twilio, books.Beckon.Messages[0].State = nil, message.Queued
	recoveries(books, suffered)
	require.Equal(t, never, suffered[0].Recovery.Clear)
}
