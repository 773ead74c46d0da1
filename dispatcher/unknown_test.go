package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twilio"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

// Each fault leaves us without an answer. However it ends, Twilio has the message exactly once.
func TestUnclearOutcomeIsLookedUpAndSentExactlyOnce(t *testing.T) {
	t.Parallel()
	cases := []struct {
		fault   twiliosim.Fault
		created bool
	}{
		{twiliosim.Fault{Kind: twiliosim.ServerError}, false},
		{twiliosim.Fault{Kind: twiliosim.Reset}, false},
		{twiliosim.Fault{Kind: twiliosim.Redirect}, false},
		{twiliosim.Fault{Kind: twiliosim.Hang}, false},
		{twiliosim.Fault{Kind: twiliosim.ServerErrorCreated}, true},
		{twiliosim.Fault{Kind: twiliosim.LoseAnswer}, true},
		{twiliosim.Fault{Kind: twiliosim.HangCreated}, true},
		{twiliosim.Fault{Kind: twiliosim.Junk}, true},
		{twiliosim.Fault{Kind: twiliosim.EmptyObject}, true},
	}
	w := newWorld(t, twiliosim.Config{})
	w.shut.Store(true) // no callback tells us: the look-up must
	config := w.config()
	config.SendTimeout = 1500 * time.Millisecond
	w.run(config)
	var messages []message.Message
	for i, c := range cases {
		for _, kind := range []message.Channel{message.SMS, message.WhatsApp} {
			to := address.Address(fmt.Sprintf("+1415555%02d%02d", i, len(kind)))
			m, wire := sms(to, "hello"), string(to)
			if kind == message.WhatsApp {
				m, wire = wa(to), "whatsapp:"+string(to)
			}
			c.fault.To = wire
			w.sim.AddFault(c.fault)
			messages = append(messages, m)
		}
	}
	for i, id := range w.queue(messages...) {
		c := cases[i/2]
		m := w.becomes(id, message.Accepted, message.Sent, message.Delivered)
		wire := string(m.To)
		if m.Channel == message.WhatsApp {
			wire = "whatsapp:" + wire
		}
		require.Equal(t, 1, w.sim.Count(wire), c.fault.Kind)
		require.Equal(t, 1, w.number(`select count(*) from attempt where message_id = $1::uuid and sid = $2`, id, m.SID))
		if c.created {
			require.Equal(t, 1, m.Attempts, "%s: it was adopted", c.fault.Kind)
			continue
		}
		require.Equal(t, 2, m.Attempts, "%s: it was proven absent", c.fault.Kind)
		require.Equal(t, 1, w.number(`select count(*) from attempt where message_id = $1::uuid and state = 'absent'`, id))
	}
	require.Zero(t, w.number(`select count(*) from live_attempt`))
}

func TestInDoubtItStaysUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.LoseAnswer})
	_, err := w.sim.Client(t).Send(t.Context(), twilio.Request{
		From: string(smsFrom), To: string(person), Channel: message.SMS, Body: "somebody else's words, or ours as Twilio changed them",
	})
	require.Error(t, err)
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Reset})
	registry := prometheus.NewRegistry()
	config := w.config()
	config.Metrics = registry
	w.run(config)
	ids := w.queue(sms(person, "ours"), sms(person, "the next to this address"))
	w.becomes(ids[0], message.Unknown)
	require.True(t, w.wait(func() bool {
		return w.number(`select count(*) from attempt where detail = 'Twilio has a message that may be this one'`) == 1
	}))
	for range 20 { // several more look-ups
		w.hasten()
		w.exec(`select pg_sleep(0.01)`)
	}
	require.Equal(t, message.Unknown, w.message(ids[0]).State)
	require.Equal(t, message.Queued, w.message(ids[1]).State, "nothing is sent to this address meanwhile")
	require.Equal(t, 1, w.sim.Count(""))
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() == "beckon_attempts_unknown" {
			require.InDelta(t, 1, family.GetMetric()[0].GetGauge().GetValue(), 0)
		}
	}
}

// fullList answers every listing with as many newer messages as a listing has room for.
type fullList struct{ Twilio }

func (f fullList) List(_ context.Context, q twilio.ListQuery) ([]twilio.Resource, error) {
	list := make([]twilio.Resource, q.Limit)
	for i := range list {
		list[i] = twilio.Resource{SID: fmt.Sprintf("SM%032d", i), Direction: "inbound", DateCreated: time.Now()}
	}
	return list, nil
}

func TestAListingThatIsCutOffProvesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Reset})
	config := w.config()
	config.Lanes[0].Twilio = fullList{config.Lanes[0].Twilio}
	w.run(config)
	id := w.queue(sms(person, "x"))[0]
	require.True(t, w.wait(func() bool {
		return w.number(`select count(*) from attempt where detail = 'Twilio has a message that may be this one'`) == 1
	}))
	require.Equal(t, message.Unknown, w.message(id).State)
}

func TestTwilioThatCannotBeAskedProvesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Reset})
	for range 3 {
		w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.ServerError, Op: twiliosim.OpList})
	}
	w.start()
	m := w.becomes(w.queue(sms(person, "x"))[0], message.Delivered)
	require.Equal(t, 2, m.Attempts)
	require.Equal(t, 1, w.sim.Count(""))
}

// die claims a message as a dispatcher does that then dies, and lets its lease run out.
func (w *world) die(id string, before func(store.Claimed)) {
	w.t.Helper()
	result, err := w.Claim(w.t.Context(), store.ClaimRequest{
		IDs: []string{id}, Sender: "default", Lease: time.Minute,
		Judge: func(c store.Candidate) store.Verdict { return store.Verdict{Send: c.Message.Channels[0]} },
	})
	require.NoError(w.t, err)
	require.Len(w.t, result.Claimed, 1)
	before(result.Claimed[0])
	w.exec(`update live_attempt set lease_until = now() - interval '1 second'`)
}

func TestDeadDispatchersAttemptIsReconciled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	before, after := w.queue(sms(person, "not sent"))[0], w.queue(sms("+14155550101", "sent"))[0]
	w.die(before, func(store.Claimed) {})
	w.die(after, func(c store.Claimed) {
		_, err := w.sim.Client(t).Send(t.Context(), twilio.Request{
			From: string(smsFrom), To: string(c.Message.To), Channel: c.Channel, Body: c.Message.Content.SMS.Text,
		})
		require.NoError(t, err)
	})
	w.start()
	require.Equal(t, 2, w.becomes(before, message.Delivered).Attempts)
	w.becomes(after, message.Accepted, message.Sent, message.Delivered)
	require.Equal(t, 1, w.message(after).Attempts)
	require.Equal(t, 1, w.sim.Count(string(person)))
	require.Equal(t, 1, w.sim.Count("+14155550101"))
}

func TestALivingLeaseIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	id := w.queue(sms(person, "x"))[0]
	w.die(id, func(store.Claimed) {})
	w.exec(`update live_attempt set lease_until = now() + interval '1 minute'`)
	w.start()
	w.becomes(w.queue(sms("+14155550101", "x"))[0], message.Delivered)
	require.Equal(t, message.Sending, w.message(id).State)
	require.Zero(t, w.sim.Count(string(person)))
}

// Two dispatchers, 200 messages, and a Twilio that fails in every way that it can.
func TestTwoDispatchersSendEachMessageOnce(t *testing.T) {
	t.Parallel()
	const count = 200
	w := newWorld(t, twiliosim.Config{Callbacks: twiliosim.Callbacks{Duplicate: true}})
	random := rand.New(rand.NewPCG(1, 2))
	kinds := []twiliosim.FaultKind{
		twiliosim.ServerError, twiliosim.ServerErrorCreated, twiliosim.LoseAnswer, twiliosim.Reset, twiliosim.Junk,
		twiliosim.EmptyObject, twiliosim.ReorderCallbacks, twiliosim.DropCallbacks, twiliosim.EarlyCallback, twiliosim.HangCreated,
	}
	messages := make([]message.Message, count)
	for i := range messages {
		to := address.Address(fmt.Sprintf("+1415556%04d", i))
		messages[i] = sms(to, fmt.Sprintf("message %d", i))
		if random.IntN(4) == 0 {
			w.sim.AddFault(twiliosim.Fault{Kind: kinds[random.IntN(len(kinds))], To: string(to)})
		}
	}
	for range 2 {
		config := w.config()
		config.SendTimeout = 3 * time.Second
		w.run(config)
	}
	ids := w.queue(messages...)
	w.carry(ids...)
	w.grows(count, `select count(*) from message where state in ('accepted', 'sent', 'delivered')`)
	for i := range messages {
		require.Equal(t, 1, w.sim.Count(string(messages[i].To)), "message %d", i)
	}
	require.Zero(t, w.number(`select count(*) from live_attempt`))
	require.Zero(t, w.number(`select count(*) from belt`))
}

// awayLedger fails as a ledger does whose server is away.
type awayLedger struct {
	Ledger

	leaves bool // with the first claim
	away   atomic.Bool
}

func (a *awayLedger) err() error {
	if a.away.Load() {
		return fmt.Errorf("the ledger is away: %w", context.DeadlineExceeded)
	}
	return nil
}

func (a *awayLedger) Claim(ctx context.Context, r store.ClaimRequest) (*store.ClaimResult, error) {
	if err := a.err(); err != nil {
		return nil, err
	}
	result, err := a.Ledger.Claim(ctx, r)
	if err == nil && len(result.Claimed) > 0 && a.leaves {
		a.away.Store(true)
	}
	return result, err
}

func (a *awayLedger) Record(ctx context.Context, outcomes []store.Outcome) error {
	if err := a.err(); err != nil {
		return err
	}
	return a.Ledger.Record(ctx, outcomes)
}

func (a *awayLedger) ApplyStatus(ctx context.Context, events []store.StatusEvent) ([]message.State, error) {
	if err := a.err(); err != nil {
		return nil, err
	}
	return a.Ledger.ApplyStatus(ctx, events)
}

func TestOutcomesWaitForALedgerThatIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	ledger := &awayLedger{Ledger: w.Store}
	config := w.config()
	config.Ledger = ledger
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Slow, DelayMS: 300})
	stop := w.run(config)
	id := w.queue(sms(person, "x"))[0]
	require.True(t, w.wait(func() bool { return w.sim.Stats().Creates == 1 }))
	ledger.away.Store(true)
	require.NoError(t, w.sim.WaitForCount(t.Context(), 1))
	other := w.queue(sms("+14155550101", "x"))[0]
	require.True(t, w.wait(func() bool { return w.sim.Stats().Callbacks > 0 }))
	require.Equal(t, message.Sending, w.message(id).State)
	ledger.away.Store(false)
	w.becomes(id, message.Delivered)
	w.becomes(other, message.Delivered)
	require.Equal(t, 1, w.message(id).Attempts)
	require.Empty(t, w.letters(), "nothing is counted against a callback")
	stop()
}

func TestStopWithALedgerThatIsAwayEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	config := w.config()
	config.Ledger, config.SendTimeout = &awayLedger{Ledger: w.Store, leaves: true}, 600*time.Millisecond
	w.shut.Store(true)
	stop := w.run(config)
	id := w.queue(sms(person, "x"))[0]
	require.True(t, w.wait(func() bool { return w.sim.Stats().Creates == 1 }))
	stop()
	require.Equal(t, message.Sending, w.message(id).State)
	w.exec(`update live_attempt set lease_until = now() - interval '1 second'`)
	w.start()
	w.becomes(id, message.Accepted, message.Sent, message.Delivered)
	require.Equal(t, 1, w.sim.Count(""), "the look-up finds it")
}

func TestRecorderStoresOneByOneWhatCannotBeStoredTogether(t *testing.T) {
	t.Parallel()
	ledger := &pickyLedger{}
	m, err := newMetrics(prometheus.NewRegistry(), nil)
	require.NoError(t, err)
	r := newRecorder(ledger, m, quiet())
	for i := range 5 {
		r.put(store.Outcome{AttemptID: strconv.Itoa(i)})
	}
	r.close()
	r.run(t.Context())
	require.ElementsMatch(t, []string{"0", "1", "3", "4"}, ledger.stored)
}

type pickyLedger struct {
	Ledger

	mu     sync.Mutex
	stored []string
}

func (p *pickyLedger) Record(_ context.Context, outcomes []store.Outcome) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range outcomes {
		if o.AttemptID == "2" {
			return errors.New("this one is bad")
		}
	}
	for _, o := range outcomes {
		p.stored = append(p.stored, o.AttemptID)
	}
	return nil
}

// forgetful answers the first listing as a Twilio that does not show a new message yet.
type forgetful struct {
	Twilio

	asked atomic.Int64
}

func (f *forgetful) List(ctx context.Context, q twilio.ListQuery) ([]twilio.Resource, error) {
	if f.asked.Add(1) == 1 {
		return nil, nil
	}
	return f.Twilio.List(ctx, q)
}

func TestOneEmptyListingProvesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.shut.Store(true)
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.LoseAnswer})
	config := w.config()
	config.Lanes[0].Twilio = &forgetful{Twilio: config.Lanes[0].Twilio}
	w.run(config)
	m := w.becomes(w.queue(sms(person, "x"))[0], message.Accepted, message.Sent, message.Delivered)
	require.Equal(t, 1, m.Attempts)
	require.Equal(t, 1, w.sim.Count(""))
}

func TestAnotherMessagesSIDIsNotAdopted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.start()
	first := w.becomes(w.queue(sms(person, "the same words"))[0], message.Delivered)
	w.sim.AddFault(twiliosim.Fault{Kind: twiliosim.Reset})
	second := w.becomes(w.queue(sms(person, "the same words"))[0], message.Delivered)
	require.NotEqual(t, first.SID, second.SID)
	require.Equal(t, 2, second.Attempts)
	require.Equal(t, 2, w.sim.Count(string(person)))
}
