package dispatcher

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twilio"
	"github.com/beckonhq/beckon/internal/twiliosim"
	"github.com/beckonhq/beckon/internal/twiliosim/twiliosimtest"
)

const marketingFrom = address.Address("+15005550010")

func marketing() Sender { return Sender{Name: "marketing", SMSFrom: marketingFrom} }

// crowd makes a message for each of n people, by a sender.
func crowd(sender string, n int) []message.Message {
	all := make([]message.Message, n)
	for i := range all {
		all[i] = sms(address.Address(fmt.Sprintf("+1415%d%06d", len(sender), i)), "x")
		all[i].Sender = sender
	}
	return all
}

// allBecome waits until all messages are in a state.
func (w *world) allBecome(state message.State, ids []string) {
	w.t.Helper()
	require.Truef(w.t, w.wait(func() bool {
		return w.number(`select count(*) from message where state = $1 and id = any ($2::text[]::uuid[])`, string(state), ids) == len(ids)
	}), "not all become %s, but %s", state, w.states())
}

// gauge is the value of a metric whose labels have the values, in the order of the labels' names.
func gauge(t *testing.T, registry *prometheus.Registry, name string, labels ...string) int {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			var values []string
			for _, pair := range metric.GetLabel() {
				values = append(values, pair.GetValue())
			}
			if family.GetName() == name && slices.Equal(values, labels) {
				return int(metric.GetGauge().GetValue())
			}
		}
	}
	return -1
}

// One account does not answer; what the other sender has is delivered meanwhile.
func TestASenderWhoseTwilioHangsDelaysNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	dead := twiliosimtest.NewServer(t, twiliosim.Config{AccountSID: "AC2", AuthToken: "t"})
	dead.AddFault(twiliosim.Fault{Kind: twiliosim.Hang, Count: 1000})
	config := w.config()
	config.Lanes = append(config.Lanes, w.lane(marketing(), dead))
	config.SendTimeout = 10 * patience // longer than the test has patience
	w.run(config)
	stuck := w.queue(crowd("marketing", 200)...)
	require.True(t, w.wait(func() bool { return dead.Stats().Creates == 5 }), "it feels its way")
	w.allBecome(message.Delivered, w.queue(crowd("default", 60)...))
	require.EqualValues(t, 5, dead.Stats().Creates)
	require.Equal(t, 195, w.number(`select count(*) from message where state = 'queued' and attempts = 0 and id = any ($1::text[]::uuid[])`, stuck))
	dead.Close() // lets go of the calls that hang
}

// An outage of Twilio does not turn the backlog into unknown outcomes, and needs nobody to end.
func TestBreakerSavesTheBacklogFromAnOutage(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]twiliosim.Fault{
		"5xx":     {Kind: twiliosim.ServerError, Status: 503, Count: 100_000},
		"reset":   {Kind: twiliosim.Reset, Count: 100_000},
		"created": {Kind: twiliosim.ServerErrorCreated, Count: 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, twiliosim.Config{})
			w.sim.AddFault(fault)
			config, registry := w.config(), prometheus.NewRegistry()
			config.Metrics, config.ProbeAfter, config.ReconcileAfter = registry, 2*time.Second, 10*time.Minute
			d, _ := w.begin(config)
			ids := w.queue(crowd("default", 100)...)
			require.True(t, w.wait(func() bool { return gauge(t, registry, "beckon_breaker_state", "default") == 2 }))
			require.Equal(t, 1, gauge(t, registry, "beckon_sending_stopped", "all", "default"))
			require.ErrorContains(t, d.Ready(t.Context()), "sending is stopped: default: twilio: send: unclear")
			require.True(t, w.wait(func() bool { return w.number(`select count(*) from attempt where state <> 'sending'`) >= 5 }))
			require.LessOrEqual(t, w.number(`select count(*) from attempt`), 5+1, "as many as open it, and perhaps a probe")
			require.GreaterOrEqual(t, w.number(`select count(*) from message where state = 'queued' and attempts = 0`), 100-6)
			w.sim.ClearFaults()
			require.True(t, w.wait(func() bool {
				w.exec(`update live_attempt set lookup_at = now() where phase = 'unknown'`)
				return w.number(`select count(*) from message where state in ('accepted', 'sent', 'delivered')`) >= 94
			}))
			require.True(t, w.wait(func() bool {
				return gauge(t, registry, "beckon_breaker_state", "default") == 0
			}))
			require.NoError(t, d.Ready(t.Context()))
			require.Equal(t, 0, gauge(t, registry, "beckon_sending_stopped", "all", "default"))
			w.exec(`update live_attempt set lease_until = now(), lookup_at = now()`)
			for _, id := range ids {
				require.LessOrEqual(t, w.sim.Count(string(w.message(id).To)), 1, "no message goes twice")
			}
		})
	}
}

// An account that is refused burns nothing, takes its other sender along, and leaves another account alone.
func TestAccountErrorStopsTheAccountAndAProbeEndsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	other := twiliosimtest.NewServer(t, twiliosim.Config{AccountSID: "AC2", AuthToken: "t"})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Refuse, Status: 401, Code: 20003, Count: 100_000})
	config, registry := w.config(), prometheus.NewRegistry()
	config.Metrics, config.ProbeAfter = registry, 100*time.Millisecond
	config.Lanes = append(config.Lanes, w.lane(Sender{Name: "idle", SMSFrom: "+15005550011"}, w.sim), w.lane(marketing(), other))
	d, _ := w.begin(config)
	ids := w.queue(crowd("default", 100)...)
	stopped := func(sender string) int { return gauge(t, registry, "beckon_sending_stopped", "all", sender) }
	require.True(t, w.wait(func() bool { return stopped("default") == 1 && stopped("idle") == 1 }))
	w.allBecome(message.Delivered, w.queue(crowd("marketing", 50)...))
	require.Zero(t, stopped("marketing"))
	require.NoError(t, d.Ready(t.Context()), "one sender works")
	require.Len(t, d.Warnings(), 2)
	require.Contains(t, d.Warnings()[0], "sending by default is stopped: twilio: send: refused, HTTP 401, code 20003")
	require.Zero(t, w.number(`select count(*) from message where sender = 'default' and state not in ('queued', 'sending')`))
	require.Zero(t, w.number(`select count(*) from message where tries > 0`), "no try is counted")
	w.sim.ClearFaults()
	require.True(t, w.wait(func() bool {
		w.exec(`update message set not_before = created_at where state = 'queued' and not_before > now() + interval '1 second'`)
		w.exec(`update belt set due_at = now() where seq = 0 and due_at > now() + interval '1 second'`)
		return w.number(`select count(*) from message where state = 'delivered' and sender = 'default'`) == len(ids)
	}))
	require.Zero(t, stopped("default"))
	require.Zero(t, stopped("idle"), "although it had nothing to try it with")
	require.Empty(t, d.Warnings())
}

// Twilio takes the messages of a suspended account and fails them afterwards: that is heard too.
func TestAccountErrorInACallbackStopsSending(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Failed, Code: 30002})
	config := w.config()
	config.ProbeAfter = time.Hour
	d, _ := w.begin(config)
	w.becomes(w.queue(sms(person, "x"))[0], message.Failed)
	require.True(t, w.wait(func() bool { return d.Ready(t.Context()) != nil }))
	require.ErrorContains(t, d.Ready(t.Context()), "code 30002")
	later := w.queue(crowd("default", 20)...)
	old := store.StatusEvent{State: message.Failed, ErrorCode: 30002, Received: time.Now().Add(-time.Hour)}
	require.Equal(t, message.Queued, w.message(later[0]).State)
	for _, l := range d.lanes {
		l.breaker.reset(causeAccount)
	}
	d.learnStatus("default", old, message.SMS)
	require.NoError(t, d.Ready(t.Context()), "what has waited for an hour says nothing of now")
	w.allBecome(message.Delivered, later)
}

// What Twilio says against one channel of a sender does not stop the other one.
func TestSenderErrorOfOneChannelLeavesTheOtherAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Refuse, Code: 63007, To: "whatsapp:" + string(person)})
	config, registry := w.config(), prometheus.NewRegistry()
	config.Metrics, config.ProbeAfter = registry, time.Hour
	d, _ := w.begin(config)
	first := w.queue(wa(person))[0]
	require.True(t, w.wait(func() bool { return gauge(t, registry, "beckon_sending_stopped", "whatsapp", "default") == 1 }))
	second := w.queue(both("+14155550101", "x"))[0]
	w.becomes(w.queue(sms("+14155550102", "x"))[0], message.Delivered)
	require.True(t, w.wait(func() bool { return w.message(second).Reason == message.ReasonSenderStopped }))
	require.Equal(t, message.Queued, w.message(second).State, "it waits, and does not go by SMS")
	require.NoError(t, d.Ready(t.Context()))
	require.Contains(t, d.Warnings()[0], "sending by default on whatsapp is stopped")
	require.EqualValues(t, 2, w.sim.Stats().Creates)
	route := d.lanes[0].routes[message.WhatsApp]
	route.mu.Lock()
	route.until = time.Now()
	route.mu.Unlock()
	require.True(t, w.wait(func() bool {
		w.exec(`update message set not_before = created_at where state = 'queued' and not_before > now() + interval '1 second'`)
		w.exec(`update belt set due_at = now() where seq = 0 and due_at > now() + interval '1 second'`)
		return w.message(first).State == message.Delivered && w.message(second).State == message.Delivered
	}))
	require.Equal(t, message.WhatsApp, w.message(second).Channel)
	require.Empty(t, d.Warnings())
}

// With one channel only, all of the sender waits on the belt.
func TestSenderErrorStopsASenderOfOneChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Refuse, Code: 21703, Count: 1000})
	config, registry := w.config(), prometheus.NewRegistry()
	config.Metrics, config.ProbeAfter = registry, time.Hour
	config.Lanes = append(config.Lanes, w.lane(marketing(), w.sim))
	w.run(config)
	w.queue(crowd("marketing", 100)...)
	require.True(t, w.wait(func() bool { return gauge(t, registry, "beckon_breaker_state", "marketing") == 2 }))
	require.True(t, w.wait(func() bool { return w.number(`select count(*) from live_attempt`) == 0 }))
	require.GreaterOrEqual(t, w.number(`select count(*) from message where attempts = 0`), 95)
	w.sim.ClearFaults()
	w.becomes(w.queue(sms(person, "x"))[0], message.Delivered)
}

func TestRateLimitHoldsItsSenderOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	config := w.config()
	config.Lanes = append(config.Lanes, w.lane(marketing(), w.sim))
	messages := crowd("marketing", 20)
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.RateLimit, RetryAfterSeconds: 90, To: string(messages[0].To)})
	w.run(config)
	limited := w.queue(messages[0])[0]
	require.True(t, w.wait(func() bool { return w.message(limited).Reason == message.ReasonRetry }))
	held := w.queue(messages[1:]...)
	w.allBecome(message.Delivered, w.queue(crowd("default", 20)...))
	require.Equal(t, len(held), w.number(`select count(*) from message where state = 'queued' and attempts = 0 and id = any ($1::text[]::uuid[])`, held))
}

// letThrough is a claim of the sender default: how many it let through, and between when and when.
type letThrough struct {
	began, ended time.Time
	n            int
}

// watchedClaims notes what the dispatchers ask of the ledger.
type watchedClaims struct {
	Ledger

	mu     sync.Mutex
	claims []letThrough
	all    int
}

func (c *watchedClaims) Claim(ctx context.Context, r store.ClaimRequest) (*store.ClaimResult, error) {
	began := time.Now()
	result, err := c.Ledger.Claim(ctx, r)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all++
	if err == nil && r.Sender == "default" && len(result.Claimed) > 0 {
		c.claims = append(c.claims, letThrough{began, time.Now(), len(result.Claimed)})
	}
	return result, err
}

// within is how many were let through for certain between two times.
func (c *watchedClaims) within(from, to time.Time) (n int) {
	for _, one := range c.claims {
		if !one.began.Before(from) && !one.ended.After(to) {
			n += one.n
		}
	}
	return n
}

// Two dispatchers hold one rate together, lose nothing, and do not spin. The rate is held where they claim, which is what is looked at:
// when Twilio gets what was let through is up to the machine.
func TestRateIsHeldAcrossDispatchers(t *testing.T) {
	t.Parallel()
	const rate, burst, n = 20, 20, 80
	w := newWorld(t, twiliosim.Config{})
	ledger := &watchedClaims{Ledger: w.Store}
	began := time.Now()
	for range 2 {
		config := w.config()
		config.Ledger = ledger
		config.Lanes[0].Pace = time.Second / rate
		config.Lanes = append(config.Lanes, w.lane(marketing(), w.sim))
		w.run(config)
	}
	ids := w.queue(crowd("default", n)...)
	require.True(t, w.wait(func() bool { return w.sim.Count("") >= burst }))
	free := w.queue(crowd("marketing", n)...)
	w.allBecome(message.Delivered, free)
	w.allBecome(message.Delivered, ids)
	require.Len(t, w.outbound(), 2*n, "each once")
	ledger.mu.Lock()
	defer ledger.mu.Unlock()
	require.Equal(t, n, ledger.within(began, time.Now()))
	for _, first := range ledger.claims {
		for _, last := range ledger.claims {
			most := burst + rate*last.ended.Sub(first.began).Seconds() + 1
			require.LessOrEqual(t, float64(ledger.within(first.began, last.ended)), max(most, 0), "never more than the rate")
		}
	}
	require.Less(t, float64(ledger.all), 150*time.Since(began).Seconds()+100)
}

// A message whose sender nobody has is told of, and an attempt of such a sender is never thought absent.
func TestMessagesOfASenderThatIsNotConfigured(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	lost := sms(person, "x")
	lost.Sender = "gone"
	w.store(lost)
	config, registry := w.config(), prometheus.NewRegistry()
	config.Metrics = registry
	d, _ := w.begin(config)
	require.True(t, w.wait(func() bool { return len(d.Warnings()) == 1 }))
	require.Contains(t, d.Warnings()[0], "messages wait for the sender gone, which is not configured")
	require.Equal(t, 1, gauge(t, registry, "beckon_messages_unserved", "gone"))
	w.exec(`delete from belt`)
	require.NoError(t, d.lookForUnserved(t.Context()))
	require.Empty(t, d.Warnings())
	_, doubt, err := d.find(t.Context(), store.Lookup{Sender: "gone", Address: person, Channel: message.SMS})
	require.ErrorContains(t, err, "the sender gone is not configured")
	require.False(t, doubt)
}

// What calls report reaches the right breakers.
func TestLearn(t *testing.T) {
	t.Parallel()
	d := bare(everySender()).Dispatcher
	d.lanes = append(d.lanes, d.newLane(Lane{Sender: marketing(), Account: "AC1"}), d.newLane(Lane{Sender: Sender{Name: "emea", SMSFrom: "+1"}, Account: "AC2"}))
	reactions := twilio.DefaultReactions()
	refusal := func(code, status int) *twilio.Error {
		return &twilio.Error{Kind: twilio.Refused, Code: code, Status: status, Rule: reactions.For(twilio.PhaseSend, code, status), Op: "send"}
	}
	stopped := func() string {
		var names []string
		for _, l := range d.lanes {
			if l.breaker.reason() != "" {
				names = append(names, l.Sender.Name)
			}
			for channel, route := range l.routes {
				if route.reason() != "" {
					names = append(names, l.Sender.Name+"/"+string(channel))
				}
			}
		}
		return strings.Join(names, " ")
	}
	learn := func(i int, failure *twilio.Error) { d.lanes[i].learn(d.lanes[i].breaker.era, message.SMS, failure) }
	learn(0, refusal(21211, 400))
	require.Empty(t, stopped(), "a wrong number says nothing of others")
	for range 4 {
		learn(2, &twilio.Error{Kind: twilio.Unclear})
	}
	learn(2, refusal(21211, 400))
	learn(2, &twilio.Error{Kind: twilio.Unclear})
	require.Empty(t, stopped(), "not in a row")
	learn(0, refusal(21606, 400))
	require.Equal(t, "default/sms", stopped())
	learn(1, refusal(20003, 401))
	require.Equal(t, "default default/sms marketing", stopped())
	for range 5 {
		learn(2, &twilio.Error{Kind: twilio.NotSent}) // no connection
	}
	require.Equal(t, "default default/sms marketing emea", stopped())
}

// states counts the messages in each state and reason, for a failing test.
func (w *world) states() string {
	var text string
	err := w.db.QueryRow(context.Background(), `select coalesce(string_agg(s, ', '), '') from
		(select sender || ' ' || state || ' ' || reason || ' ' || count(*) as s from message group by sender, state, reason) x`).Scan(&text)
	require.NoError(w.t, err)
	return text
}
