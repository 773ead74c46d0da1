package dispatcher

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/pgtest"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/stream/streamtest"
	"github.com/beckonhq/beckon/internal/twiliosim"
	"github.com/beckonhq/beckon/internal/twiliosim/twiliosimtest"
)

const (
	testOrg      = notification.OrgID("00D000000000001")
	smsFrom      = address.Address("+15005550006")
	whatsAppFrom = address.Address("+14155238886")
	person       = address.Address("+14155550100")
	patience     = 90 * time.Second // the machine may be busy with other tests
	contentSID   = "HX0123456789abcdef0123456789abcdef"
)

func TestMain(m *testing.M) {
	// nats-server leaves these behind when it stops while a batch is open.
	const server = "github.com/nats-io/nats-server/v2/server"
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(server+".(*msgBlock).flushLoop"),
		goleak.IgnoreAnyFunction(server+".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(server+"/ats.Register.func1"))
}

// world is all that a dispatcher touches: a Twilio simulator over HTTP, a nats-server, a Postgres, and a door that puts
// callbacks into the stream as ingest does.
type world struct {
	*store.Store

	t    *testing.T
	sim  *twiliosimtest.Server
	db   *pgxpool.Pool
	nc   *nats.Conn
	belt *stream.Client
	door *httptest.Server
	shut atomic.Bool // the door answers 503
	next atomic.Int64
}

func newWorld(t *testing.T, config twiliosim.Config) *world {
	t.Helper()
	w := &world{t: t, nc: streamtest.Start(t)}
	ctx := t.Context()
	var err error
	w.belt, err = stream.Open(ctx, w.nc, stream.Options{Senders: []string{"marketing"}})
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
	w.door = httptest.NewServer(http.HandlerFunc(w.callback))
	t.Cleanup(w.door.Close)
	config.InboundURL = w.door.URL + "/twilio/messages"
	w.sim = twiliosimtest.NewServer(t, config)
	return w
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// callback is what ingest does, without its checks.
func (w *world) callback(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	kind := stream.KindStatus
	if r.URL.Path == "/twilio/messages" {
		kind = stream.KindInbound
	}
	if err == nil && !w.shut.Load() {
		err = w.publish(r.Context(), kind, r.URL.RawQuery, body)
	}
	if err != nil || w.shut.Load() {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	rw.WriteHeader(http.StatusNoContent)
}

func (w *world) publish(ctx context.Context, kind stream.CallbackKind, query string, body []byte) error {
	return w.belt.PublishCallback(ctx, kind, "", map[string]string{
		stream.HeaderQuery: query, stream.HeaderReceived: time.Now().UTC().Format(time.RFC3339Nano),
	}, body)
}

// reply puts a person's message straight into the stream.
func (w *world) reply(form url.Values) {
	w.t.Helper()
	for name, value := range map[string]string{
		"MessageSid": "SM" + fmt.Sprintf("%032d", w.next.Add(1)), "AccountSid": twiliosimtest.AccountSID, "From": string(person),
		"To": string(smsFrom), "NumMedia": "0",
	} {
		if !form.Has(name) {
			form.Set(name, value)
		}
	}
	require.NoError(w.t, w.publish(w.t.Context(), stream.KindInbound, "", []byte(form.Encode())))
}

func (w *world) config() Config {
	return Config{
		Lanes: []Lane{w.lane(everySender(), w.sim)}, Inbound: w.belt.Consumer(stream.Inbound),
		Status: w.belt.Consumer(stream.StatusCallbacks), Belt: w.belt, Ledger: w.Store,
		PublicURL: w.door.URL, SendTimeout: 10 * time.Second, ReconcileAfter: 30 * time.Millisecond, Tick: 20 * time.Millisecond,
		Hours: alwaysOpen(w.t), ProbeAfter: 50 * time.Millisecond, Log: quiet(), Metrics: prometheus.NewRegistry(),
	}
}

// lane sends by a sender through the account of a simulator.
func (w *world) lane(sender Sender, sim *twiliosimtest.Server) Lane {
	return Lane{
		Sender: sender, Account: sim.AccountSID, Messages: w.belt.Consumer(stream.DispatcherOf(sender.Name)), Twilio: sim.Client(w.t),
		Concurrency: 16,
	}
}

// run starts a dispatcher; the function returned stops it in an orderly way, as the end of the test does.
func (w *world) run(config Config) (stop func()) {
	w.t.Helper()
	_, stop = w.begin(config)
	return stop
}

func (w *world) begin(config Config) (d *Dispatcher, stop func()) {
	w.t.Helper()
	d, err := New(config)
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			require.NoError(w.t, err)
		case <-time.After(patience):
			require.Fail(w.t, "the dispatcher does not stop")
		}
	})
	w.t.Cleanup(stop)
	return d, stop
}

func (w *world) start() { w.run(w.config()) }

// sms and wa are messages as the router makes them.
func sms(to address.Address, text string) message.Message {
	return message.Message{
		To: to, Channels: []message.Channel{message.SMS}, Purpose: message.Transactional,
		Content: message.Content{SMS: &message.SMSContent{Text: text, Language: "en", Encoding: "GSM-7", Segments: 1}},
	}
}

func wa(to address.Address) message.Message {
	return message.Message{
		To: to, Channels: []message.Channel{message.WhatsApp}, Purpose: message.Transactional,
		Content: message.Content{WhatsApp: &message.WhatsAppContent{
			ContentSID: contentSID, Variables: map[string]string{"1": "Ana"}, Text: "free text", Language: "en",
		}},
	}
}

func both(to address.Address, text string) message.Message {
	m := wa(to)
	m.Channels = []message.Channel{message.WhatsApp, message.SMS}
	m.Content.SMS = sms(to, text).Content.SMS
	return m
}

// store decides a notification that makes the message, and returns the ids for the belt.
func (w *world) store(messages ...message.Message) []string {
	w.t.Helper()
	envelope := notification.Envelope{Org: testOrg, Action: "04k000000000001AAA", Object: "Contact", Received: time.Now()}
	made := map[notification.ID]message.Message{}
	ids := make([]string, len(messages))
	for i, m := range messages {
		n := w.next.Add(1)
		id := notification.ID(fmt.Sprintf("04l%015d", n))
		m.ID, m.Org, m.NotificationID, m.State = uuid.Must(uuid.NewV7()).String(), testOrg, id, message.Queued
		m.RecordID, m.Object, m.ContactID = notification.ID(fmt.Sprintf("003%015d", n)), "Contact", "the contact"
		m.Rule, m.Template, m.Language = "a-rule", "a-template", "en"
		m.CreatedAt = time.Now()
		m.NotBefore = m.CreatedAt.Add(time.Until(m.NotBefore))
		if m.NotBefore.Before(m.CreatedAt) {
			m.NotBefore = m.CreatedAt
		}
		made[id], ids[i] = m, m.ID
		envelope.Notifications = append(envelope.Notifications, notification.Notification{ID: id, RecordID: m.RecordID})
	}
	_, err := w.Decide(w.t.Context(), []store.Envelope{{Envelope: &envelope, Seq: uint64(w.next.Add(1))}}, func(p store.Pending) store.Decided {
		return store.Decided{
			Outcome: notification.Matched, RuleSet: "test", Messages: []store.NewMessage{{Message: made[p.Notification.ID]}},
		}
	})
	require.NoError(w.t, err)
	return ids
}

// queue stores messages and puts them on the belt.
func (w *world) queue(messages ...message.Message) []string {
	w.t.Helper()
	ids := w.store(messages...)
	w.carry(ids...)
	return ids
}

func (w *world) carry(ids ...string) {
	w.t.Helper()
	refs := make([]stream.MessageRef, len(ids))
	for i, id := range ids {
		refs[i] = stream.MessageRef{Org: testOrg, ID: id, Sender: w.message(id).Sender}
	}
	_, err := w.belt.PublishMessages(w.t.Context(), refs)
	require.NoError(w.t, err)
}

func (w *world) message(id string) message.Message {
	var found message.Message
	_ = w.Messages(context.Background(), store.MessageFilter{ID: id}, func(m message.Message) error { found = m; return nil })
	return found
}

// becomes waits for a message's state and returns the message.
func (w *world) becomes(id string, states ...message.State) message.Message {
	w.t.Helper()
	var m message.Message
	ok := w.wait(func() bool {
		m = w.message(id)
		return slices.Contains(states, m.State)
	})
	require.Truef(w.t, ok, "the message is %s (%s, error %d, %s), want %v", m.State, m.Reason, m.ErrorCode, m.Detail, states)
	return m
}

// wait asks until it is so; meanwhile look-ups and retries that are due later are made due.
func (w *world) wait(so func() bool) bool {
	tick := time.NewTicker(15 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if so() {
			return true
		}
		w.hasten()
	}
	return so()
}

// grows waits until a number is so large, as long as it grows: a busy machine may take its time.
func (w *world) grows(want int, sql string) {
	w.t.Helper()
	for n := 0; n < want; {
		before := n
		require.Truef(w.t, w.wait(func() bool { n = w.number(sql); return n != before }), "it stays at %d of %d: %s", n, want, w.states())
	}
}

func (w *world) hasten() {
	w.exec(`update live_attempt set lookup_at = now() where phase = 'unknown' and lookup_at > now() + interval '100 ms'`)
}

func (w *world) exec(sql string, args ...any) {
	_, err := w.db.Exec(context.Background(), sql, args...)
	require.NoError(w.t, err)
}

func (w *world) number(sql string, args ...any) int {
	w.t.Helper()
	var n int
	require.NoError(w.t, w.db.QueryRow(context.Background(), sql, args...).Scan(&n))
	return n
}

// outbound are the simulator's messages that we sent.
func (w *world) outbound() []twiliosim.Message {
	var sent []twiliosim.Message
	for _, m := range w.sim.Messages() {
		if m.Direction != "inbound" {
			sent = append(sent, m)
		}
	}
	return sent
}

// repliesWorked waits until the inbound consumer is done with all that is there.
func (w *world) repliesWorked() {
	w.t.Helper()
	ctx := context.Background()
	last, err := w.belt.LastInbound(ctx)
	require.NoError(w.t, err)
	require.True(w.t, w.wait(func() bool {
		floor, err := w.belt.Consumer(stream.Inbound).AckFloor(ctx)
		return err == nil && floor >= last
	}))
}

func (w *world) letters() []stream.StoredDeadLetter {
	w.t.Helper()
	letters, err := w.belt.DeadLettersFrom(context.Background(), 0, 100)
	require.NoError(w.t, err)
	return letters
}
