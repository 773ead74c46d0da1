package router

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/pgtest"
	"github.com/beckonhq/beckon/internal/salesforce"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/stream/streamtest"
	"github.com/beckonhq/beckon/router/rule"
	"github.com/beckonhq/beckon/templates"
)

const (
	testOrg  = notification.OrgID("00D000000000001")
	actionA  = notification.ID("04k000000000001AAA")
	actionB  = notification.ID("04k000000000002AAA")
	patience = 60 * time.Second // the machine may be busy with other tests
)

func TestMain(m *testing.M) {
	// nats-server leaves these behind when it stops while a batch is open.
	const server = "github.com/nats-io/nats-server/v2/server"
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(server+".(*msgBlock).flushLoop"),
		goleak.IgnoreAnyFunction(server+".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(server+"/ats.Register.func1"))
}

// welcome is the rule that most tests use; %s takes more keys.
const welcome = `
rules:
  - name: welcome
    object: Contact
    when: record.Stage__c == "Won" && changed("Stage__c")
    to: '[record.Phone, record.Mobile]'
    contact: record.AccountId
    channels: [sms]
    template: welcome
    vars: {name: record.Name}
%s`

const template = `sms: {en: "Hi {{.name}}!", es: "Hola {{.name}}!"}`

type world struct {
	*store.Store

	t         *testing.T
	db        *pgxpool.Pool
	nc        *nats.Conn
	belt      *stream.Client
	rules     atomic.Pointer[rule.Set]
	templates *templates.Set
	next      atomic.Int64
	inbound   inbound
	taken     uint64 // from the belt
}

// inbound says how far dispatchers have worked on replies.
type inbound struct{ last, floor atomic.Uint64 }

func (i *inbound) LastInbound(context.Context) (uint64, error) { return i.last.Load(), nil }
func (i *inbound) AckFloor(context.Context) (uint64, error)    { return i.floor.Load(), nil }

func newWorld(t *testing.T, rules string) *world {
	t.Helper()
	w := &world{t: t, nc: streamtest.Start(t)}
	w.inbound.floor.Store(math.MaxUint64)
	ctx := t.Context()
	var err error
	w.belt, err = stream.Open(ctx, w.nc, stream.Options{AckWait: 3 * time.Second})
	require.NoError(t, err)
	t.Cleanup(w.belt.Close)
	dsn := pgtest.DSN(t)
	w.Store, err = store.Open(ctx, dsn)
	require.NoError(t, err)
	t.Cleanup(w.Close)
	_, err = w.Migrate(ctx, quiet())
	require.NoError(t, err)
	w.db, err = pgxpool.New(ctx, dsn)
	require.NoError(t, err)
	t.Cleanup(w.db.Close)
	w.templates, err = templates.Load(fstest.MapFS{"welcome.yaml": {Data: []byte(template)}})
	require.NoError(t, err)
	w.load(rules)
	return w
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// load makes a rule set the running one.
func (w *world) load(rules string) {
	w.t.Helper()
	if strings.Contains(rules, "%s") {
		rules = fmt.Sprintf(rules, "")
	}
	set, err := rule.Load(fstest.MapFS{"rules.yaml": {Data: []byte(rules)}}, rule.Options{Templates: w.templates})
	require.NoError(w.t, err)
	w.rules.Store(set)
}

func (w *world) config() Config {
	return Config{
		Envelopes: w.belt.Consumer(stream.Router), Belt: w.belt, Ledger: w.Store, Inbound: &w.inbound,
		Policy: func() (*rule.Set, *templates.Set) { return w.rules.Load(), w.templates }, Region: "US", Log: quiet(), Metrics: prometheus.NewRegistry(),
	}
}

func (w *world) run(config Config) (stop func()) {
	w.t.Helper()
	r, err := New(config)
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			require.NoError(w.t, err)
		case <-time.After(patience):
			require.Fail(w.t, "the router does not stop")
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// fields are name, value, name, value; a value "null" is an explicit null.
func (w *world) note(record string, fields ...string) notification.Notification {
	n := notification.Notification{
		ID: notification.ID(fmt.Sprintf("04l%012dAAA", w.next.Add(1))), RecordID: notification.ID(fmt.Sprintf("003%012sAAA", record)),
	}
	n.RecordID = notification.ID(strings.ReplaceAll(string(n.RecordID), " ", "0"))
	n.Fields = []notification.Field{{Name: "Id", Value: string(n.RecordID)}}
	for i := 0; i < len(fields); i += 2 {
		n.Fields = append(n.Fields, notification.Field{Name: fields[i], Value: fields[i+1], Null: fields[i+1] == "null"})
	}
	return n
}

// won is a notification that the welcome rule matches.
func (w *world) won(record, phone string) notification.Notification {
	return w.note(record, "Stage__c", "Won", "Phone", phone, "Name", "Ana", "AccountId", "001000000000001AAA")
}

func (w *world) send(action notification.ID, notifications ...notification.Notification) {
	w.t.Helper()
	envelope := &notification.Envelope{Org: testOrg, Action: action, Object: "Contact", Notifications: notifications}
	var body bytes.Buffer
	require.NoError(w.t, salesforce.Encode(&body, salesforce.EnvelopeSpec{Envelope: envelope}))
	w.put(body.Bytes())
}

func (w *world) put(body []byte) {
	w.t.Helper()
	require.NoError(w.t, w.belt.PublishNotification(w.t.Context(), stream.Envelope{
		Org: testOrg, Object: "Contact", Count: 1, Received: time.Now(),
	}, body))
}

// settled waits until every envelope is acknowledged.
func (w *world) settled() {
	w.t.Helper()
	last := w.last(stream.Notifications)
	require.True(w.t, w.wait(func() bool {
		floor, err := w.belt.Consumer(stream.Router).AckFloor(context.Background())
		return err == nil && floor >= last
	}), "envelopes are left")
}

// last is the newest sequence of a stream.
func (w *world) last(name stream.Name) uint64 {
	w.t.Helper()
	js, err := jetstream.New(w.nc)
	require.NoError(w.t, err)
	info, err := js.Stream(context.Background(), string(name))
	require.NoError(w.t, err)
	return info.CachedInfo().State.LastSeq
}

func (w *world) wait(so func() bool) bool {
	tick := time.NewTicker(15 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if so() {
			return true
		}
	}
	return so()
}

// made are all messages, oldest first.
func (w *world) made() []message.Message {
	w.t.Helper()
	var all []message.Message
	require.NoError(w.t, w.Messages(context.Background(), store.MessageFilter{}, func(m message.Message) error {
		all = append(all, m)
		return nil
	}))
	return all
}

func (w *world) number(sql string, args ...any) int {
	w.t.Helper()
	var n int
	require.NoError(w.t, w.db.QueryRow(context.Background(), sql, args...).Scan(&n))
	return n
}

func (w *world) exec(sql string) {
	w.t.Helper()
	_, err := w.db.Exec(context.Background(), sql)
	require.NoError(w.t, err)
}

// deliver does what a dispatcher and Twilio would: every message that has no attempt gets one that is delivered.
func (w *world) deliver() {
	w.t.Helper()
	w.exec(`insert into attempt (id, message_id, number, org, sender, channel, address, state)
		select gen_random_uuid(), id, 1, org, sender, 'sms', recipient, 'delivered' from message where attempt_id is null`)
	w.exec(`update message m set state = 'delivered', attempts = 1, attempt_id = a.id from attempt a where a.message_id = m.id`)
}

// onBelt takes what is on the belt: the ids, in order.
func (w *world) onBelt() []string {
	w.t.Helper()
	consumer, last := w.belt.Consumer(stream.Dispatcher), w.last(stream.Messages)
	var ids []string
	for w.taken < last {
		got, err := consumer.Fetch(w.t.Context(), 100)
		require.NoError(w.t, err)
		for _, d := range got {
			ids, w.taken = append(ids, d.MessageIDs()...), d.Seq
			require.NoError(w.t, d.Ack())
		}
	}
	return ids
}

func (w *world) letters() []stream.StoredDeadLetter {
	w.t.Helper()
	letters, err := w.belt.DeadLettersFrom(context.Background(), 0, 100)
	require.NoError(w.t, err)
	return letters
}

// decided counts the notifications that ended so.
func (w *world) decided(outcome notification.Outcome) int {
	return w.number(`select count(*) from decision where outcome = $1`, string(outcome))
}

func natsMsg(subject, data string) *nats.Msg {
	msg := nats.NewMsg(subject)
	msg.Data = []byte(data)
	return msg
}
