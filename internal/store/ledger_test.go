package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/pgtest"
	"github.com/beckonhq/beckon/internal/store"
)

const (
	org    = notification.OrgID("00D000000000001")
	action = notification.ID("04k000000000001AAA")
	sender = message.DefaultSender
	person = address.Address("+14155550100")
	lease  = time.Minute
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ledger is a store on a database of its own, with a second pool to look behind the scenes.
type ledger struct {
	*store.Store

	t    testing.TB
	db   *pgxpool.Pool
	dsn  string
	seq  atomic.Uint64
	next atomic.Int64
}

// open makes a migrated ledger; when the test ends, its invariants are checked.
func open(tb testing.TB) *ledger {
	tb.Helper()
	l := &ledger{t: tb, dsn: pgtest.DSN(tb)}
	var err error
	l.Store, err = store.Open(tb.Context(), l.dsn)
	require.NoError(tb, err)
	tb.Cleanup(l.Close)
	_, err = l.Migrate(tb.Context(), slog.New(slog.DiscardHandler))
	require.NoError(tb, err)
	l.db, err = pgxpool.New(tb.Context(), l.dsn)
	require.NoError(tb, err)
	tb.Cleanup(l.db.Close)
	tb.Cleanup(func() { l.checkInvariants() })
	return l
}

// invariants are queries that find what must not be.
func invariants() map[string]string {
	return map[string]string{
		"a queued message without a row on the belt": `select id::text from message m
			where state = 'queued' and not exists (select from belt where message_id = m.id)`,
		"a row on the belt without a queued message": `select message_id::text from belt b
			where not exists (select from message m where m.id = b.message_id and m.state = 'queued' and m.org = b.org
				and m.recipient = b.recipient and m.sender = b.sender)`,
		"an open attempt that is not live": `select id::text from attempt a where state in ('sending', 'unknown')
			and not exists (select from live_attempt l where l.attempt_id = a.id and l.phase = a.state and l.sender = a.sender
				and l.channel = a.channel and l.address = a.address)`,
		"a live attempt that is not open": `select attempt_id::text from live_attempt l
			where not exists (select from attempt a where a.id = l.attempt_id and a.state = l.phase)`,
		"a live unknown attempt without a look-up": `select attempt_id::text from live_attempt
			where phase = 'unknown' and lookup_at is null`,
		"a message whose newest attempt is not the newest": `select m.id::text from message m
			where attempt_id is distinct from (select a.id from attempt a where a.message_id = m.id order by number desc limit 1)
				or attempts <> (select count(*) from attempt a where a.message_id = m.id)`,
		"a message whose state is not its newest attempt's": `select m.id::text || ' ' || m.state || '/' || coalesce(a.state, 'none')
			from message m left join attempt a on a.id = m.attempt_id
			where not case m.state
				when 'queued' then a.state is null or a.state in ('refused', 'canceled', 'absent', 'failed', 'undelivered')
				when 'suppressed' then a.state is null or a.state in ('refused', 'canceled', 'absent', 'failed', 'undelivered')
				when 'expired' then a.state is null or a.state in ('refused', 'canceled', 'absent', 'failed', 'undelivered')
				when 'failed' then a.state is null or a.state in ('refused', 'failed')
				when 'delivered' then exists (select from attempt o where o.message_id = m.id and o.state = m.state)
				when 'read' then exists (select from attempt o where o.message_id = m.id and o.state = m.state)
				else coalesce(a.state, '') = m.state end`,
		"a notification without a decision": `select n.id from notification n
			where not exists (select from decision d where d.org = n.org and d.notification_id = n.id)`,
		"a decision without a notification": `select d.notification_id from decision d
			where not exists (select from notification n where d.org = n.org and d.notification_id = n.id)`,
	}
}

func (l *ledger) checkInvariants() {
	for what, query := range invariants() {
		rows, err := l.db.Query(context.Background(), query)
		require.NoError(l.t, err, what)
		for rows.Next() {
			var id string
			require.NoError(l.t, rows.Scan(&id))
			l.t.Errorf("%s: %s", what, id)
		}
		require.NoError(l.t, rows.Err())
	}
}

// exec runs SQL behind the store's back, mostly to move time.
func (l *ledger) exec(sql string, args ...any) {
	l.t.Helper()
	_, err := l.db.Exec(context.Background(), sql, args...)
	require.NoError(l.t, err)
}

// get reads one value.
func get[T any](l *ledger, sql string, args ...any) T {
	l.t.Helper()
	var value T
	require.NoError(l.t, l.db.QueryRow(context.Background(), sql, args...).Scan(&value))
	return value
}

func noteID(n int) notification.ID   { return notification.ID(fmt.Sprintf("04l%012dAAA", n)) }
func recordID(n int) notification.ID { return notification.ID(fmt.Sprintf("006%012dAAA", n)) }

// note makes a notification about a record; fields are name, value, name, value.
func note(n, record int, fields ...string) notification.Notification {
	out := notification.Notification{ID: noteID(n), RecordID: recordID(record)}
	for i := 0; i+1 < len(fields); i += 2 {
		out.Fields = append(out.Fields, notification.Field{Name: fields[i], Value: fields[i+1]})
	}
	return out
}

func envelope(seq uint64, notes ...notification.Notification) store.Envelope {
	return store.Envelope{Seq: seq, Envelope: &notification.Envelope{
		Org: org, Action: action, Object: "Opportunity", Notifications: notes, Received: time.Now(),
	}}
}

// ignore decides that no rule matched and takes the fields over.
func ignore(p store.Pending) store.Decided {
	next := maps.Clone(p.Previous.Fields)
	if next == nil {
		next = map[string]string{}
	}
	for _, f := range p.Notification.Fields {
		next[f.Name] = f.Value
	}
	return store.Decided{Outcome: notification.NoMatch, RuleSet: "v1", Detail: []byte(`{}`), Moved: true, Next: next}
}

// makes decides that a rule matched and made the messages.
func makes(messages func(store.Pending) []store.NewMessage) func(store.Pending) store.Decided {
	return func(p store.Pending) store.Decided {
		d := ignore(p)
		d.Outcome, d.Messages = notification.Matched, messages(p)
		return d
	}
}

// draft is a queued message with content for both channels.
func draft(p store.Pending, to address.Address) store.NewMessage {
	now := time.Now()
	return store.NewMessage{Message: message.Message{
		ID: uuid.Must(uuid.NewV7()).String(), Org: p.Envelope.Org, NotificationID: p.Notification.ID, RecordID: p.Notification.RecordID,
		Object: p.Envelope.Object, ContactID: "003", Rule: "welcome", Template: "welcome", Language: "en",
		Purpose: message.Transactional, Channels: []message.Channel{message.WhatsApp, message.SMS}, To: to,
		Content: message.Content{
			SMS:      &message.SMSContent{Text: "Hi", Language: "en", Encoding: "GSM-7", Segments: 1},
			WhatsApp: &message.WhatsAppContent{ContentSID: "HX1", Language: "en"},
		},
		State: message.Queued, CreatedAt: now, NotBefore: now,
	}}
}

// queue makes a queued message for each address, each of a notification and record of its own.
func (l *ledger) queue(to ...address.Address) []string {
	l.t.Helper()
	ids := make([]string, 0, len(to))
	for _, a := range to {
		n := int(l.next.Add(1)) + 1_000_000
		result, err := l.Decide(context.Background(), []store.Envelope{envelope(l.seq.Add(1)+1_000_000, note(n, n))},
			makes(func(p store.Pending) []store.NewMessage { return []store.NewMessage{draft(p, a)} }))
		require.NoError(l.t, err)
		require.Len(l.t, result.Belt, 1)
		ids = append(ids, result.Belt[0].ID)
	}
	return ids
}

// sendOn is a judge that lets everything go on the channel.
func sendOn(channel message.Channel) func(store.Candidate) store.Verdict {
	return func(c store.Candidate) store.Verdict {
		for i, have := range c.Message.Channels {
			if have == channel {
				return store.Verdict{Send: channel, Index: i}
			}
		}
		return store.Verdict{Suppress: message.ReasonNoRoute}
	}
}

func (l *ledger) claimWith(judge func(store.Candidate) store.Verdict, ids ...string) *store.ClaimResult {
	l.t.Helper()
	result, err := l.Claim(context.Background(), store.ClaimRequest{IDs: ids, Sender: sender, Lease: lease, Judge: judge})
	require.NoError(l.t, err)
	return result
}

// sending makes a message and claims it on a channel.
func (l *ledger) sending(to address.Address, channel message.Channel) store.Claimed {
	l.t.Helper()
	result := l.claimWith(sendOn(channel), l.queue(to)...)
	require.Len(l.t, result.Claimed, 1)
	return result.Claimed[0]
}

// accepted makes a message that Twilio has taken.
func (l *ledger) accepted(to address.Address, channel message.Channel, sid string) store.Claimed {
	l.t.Helper()
	c := l.sending(to, channel)
	l.record(outcome(c, message.Accepted, sid))
	return c
}

func outcome(c store.Claimed, state message.State, sid string) store.Outcome {
	return store.Outcome{MessageID: c.Message.ID, AttemptID: c.AttemptID, State: state, SID: sid, MessageState: state}
}

func (l *ledger) record(outcomes ...store.Outcome) {
	l.t.Helper()
	require.NoError(l.t, l.Record(context.Background(), outcomes))
}

func (l *ledger) apply(events ...store.StatusEvent) []message.State {
	l.t.Helper()
	moved, err := l.ApplyStatus(context.Background(), events)
	require.NoError(l.t, err)
	return moved
}

// event is a callback whose URL names the attempt.
func event(c store.Claimed, sid string, state message.State) store.StatusEvent {
	return store.StatusEvent{
		SID: sid, Status: string(state), State: state, MessageID: c.Message.ID, AttemptID: c.AttemptID, Received: time.Now(),
	}
}

func (l *ledger) message(id string) message.Message {
	l.t.Helper()
	var found []message.Message
	require.NoError(l.t, l.Messages(context.Background(), store.MessageFilter{ID: id}, func(m message.Message) error {
		found = append(found, m)
		return nil
	}))
	require.Len(l.t, found, 1)
	return found[0]
}

// requireStates checks the states of a message and of its attempt.
func (l *ledger) requireStates(c store.Claimed, messageState, attemptState message.State) {
	l.t.Helper()
	require.Equal(l.t, messageState, l.message(c.Message.ID).State, "message")
	require.Equal(l.t, string(attemptState), get[string](l, `select state from attempt where id = $1`, c.AttemptID), "attempt")
}

type addr = address.Address

func shuffle[T any](values []T) {
	rand.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
}
