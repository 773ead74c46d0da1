package store_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/store"
)

// whileLocked runs do while another transaction has changed a row, and commits that once do waits for it.
func (l *ledger) whileLocked(do func(), sql string, args ...any) {
	l.t.Helper()
	tx, err := l.db.Begin(context.Background())
	require.NoError(l.t, err)
	_, err = tx.Exec(context.Background(), sql, args...)
	require.NoError(l.t, err)
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	require.Eventually(l.t, func() bool {
		return get[int](l, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) > 0
	}, 20*time.Second, 5*time.Millisecond)
	require.NoError(l.t, tx.Commit(context.Background()))
	<-done
}

// A row that changes while its lock is waited for is no less ours: a status is not lost, an outcome finds its attempt.
func TestStatusThatHadToWaitForItsAttempt(t *testing.T) {
	t.Parallel()
	l := open(t)
	var all []store.Claimed
	var ids []string
	var events []store.StatusEvent
	for i, to := range people(5) {
		c := l.sending(to, message.SMS)
		all, ids = append(all, c), append(ids, c.AttemptID)
		events = append(events, event(c, "SM"+strconv.Itoa(i), message.Delivered))
	}
	l.whileLocked(func() {
		if _, err := l.ApplyStatus(context.Background(), events); err != nil {
			t.Error(err)
		}
	}, `update attempt a set sid = 'SM' || (u.n - 1), updated_at = now() from unnest($1::text[]) with ordinality u (id, n)
		where a.id = u.id::uuid`, ids)
	for _, c := range all {
		l.requireStates(c, message.Delivered, message.Delivered)
	}
}

func TestOutcomeThatHadToWaitForItsAttempt(t *testing.T) {
	t.Parallel()
	l := open(t)
	c, other := l.sending(person, message.SMS), l.sending("+14155550101", message.SMS)
	l.record(outcome(other, message.Accepted, "SM1"))
	l.whileLocked(func() {
		if err := l.Record(context.Background(), []store.Outcome{outcome(c, message.Accepted, "SM1")}); err == nil {
			t.Error("a SID that another attempt has is taken")
		}
	}, `update attempt set updated_at = now() where id = any ($1::text[]::uuid[])`, []string{c.AttemptID, other.AttemptID})
	l.requireStates(other, message.Accepted, message.Accepted)
	require.Equal(t, message.Sending, l.message(c.Message.ID).State)
}

// The last-seen copy of a record that another router is just changing is read as that one leaves it.
func TestDecisionThatHadToWaitForItsRecord(t *testing.T) {
	t.Parallel()
	l := open(t)
	decide := func(round int, see func(store.Pending)) {
		var notes []notification.Notification
		for record := range 5 {
			notes = append(notes, note(10*round+record, record, "S", "a"))
		}
		_, err := l.Decide(context.Background(), []store.Envelope{envelope(uint64(round), notes...)}, makes(func(p store.Pending) []store.NewMessage {
			see(p)
			return nil
		}))
		if err != nil {
			t.Error(err)
		}
	}
	decide(1, func(store.Pending) {})
	l.whileLocked(func() {
		decide(2, func(p store.Pending) {
			if !p.Previous.Seen || p.Previous.Fields["S"] != "b" {
				t.Errorf("previous is %v", p.Previous)
			}
		})
	}, `update record set fields = '{"S": "b"}'`)
}
