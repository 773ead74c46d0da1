package app

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/embedded/natsd"
	"github.com/beckonhq/beckon/internal/lifemark"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/pgtest"
	"github.com/beckonhq/beckon/internal/salesforce"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twiliosim"
	"github.com/beckonhq/beckon/internal/twiliosim/twiliosimtest"
)

// plant is a NATS server, a database, a Twilio, and processes that come and go on one public address.
type plant struct {
	t     *testing.T
	natsd *natsd.Server
	dsn   string
	sim   *twiliosimtest.Server
	addr  string
	rules string
	next  int
}

func newPlant(t *testing.T) *plant {
	t.Helper()
	server, err := natsd.Start(natsd.Config{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(server.Shutdown)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, free.Close())
	addr := free.Addr().String()
	sim := twiliosimtest.NewServer(t, twiliosim.Config{
		InboundURL: "http://" + addr + "/twilio/messages", OptOut: twiliosim.OptOutOff, // consent is ours to keep
	})
	return &plant{t: t, natsd: server, dsn: pgtest.DSN(t), sim: sim, addr: addr, rules: rulesDir(t, "escalated")}
}

// run starts a process and waits until it takes in what comes.
func (p *plant) run(roles ...string) *house {
	p.t.Helper()
	cfg := settings(p.t, "BECKON_NATS_URL="+p.natsd.URL(), "BECKON_NATS_SYNC=always", "BECKON_DATABASE_URL="+p.dsn,
		"BECKON_TWILIO_API_URL="+p.sim.URL, "BECKON_PUBLIC_URL=http://"+p.addr, "BECKON_RULES_DIR="+p.rules,
		"BECKON_RECONCILE_AFTER=100ms", "BECKON_HTTP_ADDR="+p.addr)
	opts, log := options(cfg, roles...)
	opts.Look = 200 * time.Millisecond
	return launch(p.t, opts, log)
}

// escalate posts a notification that a case of a person is escalated.
func (p *plant) escalate(to address.Address, number string) {
	p.t.Helper()
	p.next++
	made := func(prefix string) notification.ID {
		id, err := notification.ParseID(fmt.Sprintf("%s5g0000%06d", prefix, p.next))
		require.NoError(p.t, err)
		return id
	}
	var body bytes.Buffer
	require.NoError(p.t, salesforce.Encode(&body, salesforce.EnvelopeSpec{Envelope: &notification.Envelope{
		Org: testOrg, Action: "04k5g0000000001AAA", Object: "Case", Notifications: []notification.Notification{{
			ID: made("04l"), RecordID: made("500"), Fields: []notification.Field{
				{Name: "Id", Value: string(made("500"))},
				{Name: "IsEscalated", Value: "true"},
				{Name: "CaseNumber", Value: number},
				{Name: "Contact_Mobile__c", Value: string(to)},
				{Name: "Contact_First_Name__c", Value: "Zoe"},
			},
		}},
	}}))
	response, err := http.Post("http://"+p.addr+"/salesforce/outbound-messages", "text/xml; charset=UTF-8", &body)
	require.NoError(p.t, err)
	defer response.Body.Close()
	require.Equal(p.t, http.StatusOK, response.StatusCode)
}

// states are the messages to a person, by their state, as a house's ledger has them.
func (h *house) states(to address.Address) map[message.State]int {
	found := map[message.State]int{}
	_ = h.store.Messages(context.Background(), store.MessageFilter{To: to, Limit: 100}, func(m message.Message) error {
		found[m.State]++
		return nil
	})
	return found
}

func (h *house) gets(to address.Address, state message.State, n int) {
	h.t.Helper()
	require.EventuallyWithT(h.t, func(c *assert.CollectT) {
		found := h.states(to)
		require.Equalf(c, n, found[state], "messages to %s that are %s; they are %v", to, state, found)
	}, patience, tick)
}

// recover does what the command does.
func (h *house) recover() {
	h.t.Helper()
	report, err := lifemark.Look(h.t.Context(), h.store, h.stream)
	require.NoError(h.t, err)
	require.NoError(h.t, lifemark.Recover(h.t.Context(), h.store, h.stream, report, lifemark.Request{Operator: "a test"}))
}

func people(n int) []address.Address {
	all := make([]address.Address, n)
	for i := range all {
		all[i] = address.Address(fmt.Sprintf("+1212555%04d", 100+i))
	}
	return all
}

// Postgres is put back to a backup while NATS has gone on. Nothing is sent until an operator recovers; then what was sent since
// the backup is found at Twilio and not sent again, what was never sent is sent once, and who opted out since stays so.
func TestARestoredLedgerSendsNothingTwice(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	who := people(8)
	before, queued, gap, both, stopped, later, held, undecided := who[0], who[1], who[2], who[3], who[4], who[5], who[6], who[7]

	h := p.run(config.Roles()...)
	p.escalate(before, "1")
	p.escalate(stopped, "2")
	h.gets(before, message.Delivered, 1)
	h.gets(stopped, message.Delivered, 1)
	require.NoError(t, h.stop())
	h = p.run(config.RoleIngest, config.RoleRouter)
	p.escalate(queued, "3") // queued in the backup, sent after it
	h.gets(queued, message.Queued, 1)
	require.NoError(t, h.stop())
	backup := pgtest.Copy(t, p.dsn)

	h = p.run(config.Roles()...)
	h.gets(queued, message.Delivered, 1)
	p.escalate(gap, "4")
	p.escalate(both, "5")
	h.gets(gap, message.Delivered, 1)
	h.gets(both, message.Delivered, 1)
	_, err := p.sim.Inbound(t.Context(), twiliosim.InboundMessage{From: string(stopped), To: "+15005550006", Body: "STOP"})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		entries, err := h.store.ConsentHistory(t.Context(), stopped)
		return err == nil && len(entries) == 1
	}, patience, tick)
	require.NoError(t, h.stop())
	h = p.run(config.RoleIngest, config.RoleRouter)
	p.escalate(later, "6") // decided and never sent
	h.gets(later, message.Queued, 1)
	require.NoError(t, h.stop())
	h = p.run(config.RoleIngest)
	p.escalate(both, "7") // never decided
	p.escalate(undecided, "8")
	p.escalate(stopped, "9")
	require.NoError(t, h.stop())
	sent := len(p.sim.Messages())

	p.dsn = backup
	h = p.run(config.Roles()...)
	require.Eventually(t, func() bool { return h.keeper.Load().Ready(t.Context()) != nil && h.heldMetric() }, patience, tick)
	p.escalate(held, "10")
	var ready readiness
	require.Equal(t, http.StatusOK, h.admin("/readyz", &ready))
	require.Equal(t, statusDegraded, ready.Status)
	require.Contains(t, ready.Dependencies["ledger"].Reason, "restored backup")
	require.Contains(t, ready.Roles[config.RoleDispatcher].Reason, "run beckon recover")
	require.NoError(t, h.stop())
	h = p.run(config.Roles()...) // a restart is no way around
	require.Eventually(t, func() bool { return h.heldMetric() }, patience, tick)
	h.looks(5)
	require.Len(t, p.sim.Messages(), sent, "nothing is sent without recover")
	require.Empty(t, h.states(gap), "nothing is decided either")

	h.recover()
	for _, to := range []address.Address{queued, gap, later, held, undecided} {
		h.gets(to, message.Delivered, 1)
	}
	h.gets(both, message.Delivered, 2)
	h.gets(stopped, message.Suppressed, 1)
	h.healthy()
	for to, n := range map[address.Address]int{before: 1, queued: 1, gap: 1, both: 2, stopped: 1, later: 1, held: 1, undecided: 1} {
		require.Equal(t, n, p.sim.Count(string(to)), "messages to %s", to)
	}
	adopted := 0
	for _, m := range p.sim.Messages() {
		if strings.Contains(m.Body, "7") {
			adopted++
		}
	}
	require.Equal(t, 1, adopted, "the case that was not decided before was told once")
}

// Somebody dropped the database: a new one knows nothing of what was sent.
func TestANewLedgerUnderAnOldBeltSendsNothingTwice(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	who := people(2)
	h := p.run(config.Roles()...)
	p.escalate(who[0], "1")
	h.gets(who[0], message.Delivered, 1)
	require.NoError(t, h.stop())
	h = p.run(config.RoleIngest)
	p.escalate(who[1], "2")
	require.NoError(t, h.stop())

	p.dsn = pgtest.DSN(t)
	h = p.run(config.Roles()...)
	require.Eventually(t, func() bool { return h.heldMetric() }, patience, tick)
	require.ErrorContains(t, h.keeper.Load().Ready(t.Context()), "another ledger")
	h.looks(5)
	require.Equal(t, 1, p.sim.Count(""))
	h.recover()
	h.gets(who[0], message.Delivered, 1)
	h.gets(who[1], message.Delivered, 1)
	require.Equal(t, 1, p.sim.Count(string(who[0])))
	require.Equal(t, 1, p.sim.Count(string(who[1])))
}

// heldMetric tells whether the metric says that nothing is sent.
func (h *house) heldMetric() bool {
	_, text := h.get(h.AdminURL() + "/metrics")
	return strings.Contains(text, "\nbeckon_ledger_held 1")
}

// looks waits for some more looks at the marks.
func (h *house) looks(n int) {
	h.t.Helper()
	ticker := time.NewTicker(h.opts.Look)
	defer ticker.Stop()
	for range n {
		<-ticker.C
	}
}
