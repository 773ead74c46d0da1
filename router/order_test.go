package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/store"
)

// everyKind has a rule for each way in which a decision may depend on what came before.
const everyKind = `
rules:
  - {name: plain, object: Contact, when: record.Stage__c == "Won", to: record.Phone, channels: [sms], template: welcome, vars: {name: record.Name}}
  - {name: changes, object: Contact, when: record.Stage__c == "Won" && changed("Stage__c"), to: record.Phone, channels: [sms],
     template: welcome, vars: {name: record.Name}}
  - {name: compares, object: Contact, when: previous.Stage__c == "New" && record.Stage__c == "Won", to: record.Phone, channels: [sms],
     template: welcome, vars: {name: record.Name}, delay: 10m}
  - {name: once-record, object: Contact, when: record.Stage__c == "Won", to: record.Phone, channels: [sms], template: welcome,
     vars: {name: record.Name}, once: record}
  - {name: once-person, object: Contact, when: record.Stage__c == "Won", to: record.Phone, channels: [sms], template: welcome,
     vars: {name: record.Name}, once: recipient}
`

// change is a notification: the n-th of its story, about a record.
type change struct {
	n, record    int
	stage, phone string // empty: an explicit null
}

// anyChanges draws what Salesforce tells of up to three records, each in the order of its changes.
func anyChanges(t *rapid.T) []change {
	var story []change
	for n := range rapid.IntRange(1, 9).Draw(t, "changes") {
		story = append(story, change{
			n: n + 1, record: rapid.IntRange(1, 3).Draw(t, "record"),
			stage: rapid.SampledFrom([]string{"New", "Open", "Won", "Won", ""}).Draw(t, "stage"),
			phone: rapid.SampledFrom([]string{"+14155550101", "+14155550102", "not a number", ""}).Draw(t, "phone"),
		})
	}
	return story
}

// notification gives a change the ids that it has in every run, and a SystemModstamp that grows with its number.
func (c change) notification() notification.Notification {
	record := notification.ID(fmt.Sprintf("003%012dAAA", c.record))
	stamp := time.Date(2026, 5, 1, 12, 0, c.n, 0, time.UTC).Format(time.RFC3339)
	return notification.Notification{
		ID: notification.ID(fmt.Sprintf("04l%012dAAA", c.n)), RecordID: record, Fields: []notification.Field{
			{Name: "Id", Value: string(record)},
			{Name: "SystemModstamp", Value: stamp},
			{Name: "Name", Value: fmt.Sprint("Name ", c.n)},
			{Name: "Stage__c", Value: c.stage, Null: c.stage == ""},
			{Name: "Phone", Value: c.phone, Null: c.phone == ""},
		},
	}
}

// postOffice delivers stories to a router, each to an organisation of its own.
type postOffice struct {
	*world

	router *Router
	orgs   atomic.Int64
}

func newPostOffice(t *testing.T) *postOffice {
	t.Helper()
	p := &postOffice{world: newWorld(t, everyKind)}
	var err error
	p.router, err = New(p.config())
	require.NoError(t, err)
	return p
}

// envelopes draws how changes are put into envelopes, and envelopes into groups that are decided together.
func (p *postOffice) envelopes(t *rapid.T, org notification.OrgID, order []change) [][]envelope {
	var groups [][]envelope
	for i, c := range order {
		newEnvelope := i == 0 || rapid.Bool().Draw(t, "new envelope")
		if newEnvelope {
			e := &notification.Envelope{Org: org, Action: actionA, Object: "Contact", Received: time.Now()}
			one := envelope{Envelope: store.Envelope{Envelope: e, Seq: uint64(p.next.Add(1))}}
			if i == 0 || rapid.Bool().Draw(t, "new group") {
				groups = append(groups, nil)
			}
			groups[len(groups)-1] = append(groups[len(groups)-1], one)
		}
		last := groups[len(groups)-1]
		e := last[len(last)-1].Envelope.Envelope
		e.Notifications = append(e.Notifications, c.notification())
	}
	return groups
}

// deliver decides a story in an order, as the router does, and returns its organisation.
func (p *postOffice) deliver(t *rapid.T, order []change) notification.OrgID {
	org := notification.OrgID(fmt.Sprintf("00D%012d", p.orgs.Add(1)))
	for _, group := range p.envelopes(t, org, order) {
		if rapid.IntRange(0, 3).Draw(t, "crash") == 0 {
			p.crash(t, group)
		}
		_, err := p.router.decide(context.Background(), group)
		require.NoError(t, err)
	}
	return org
}

// crash is a decision whose process dies before the commit.
func (p *postOffice) crash(t *rapid.T, group []envelope) {
	envelopes := make([]store.Envelope, len(group))
	for i := range group {
		envelopes[i] = group[i].Envelope
	}
	ctx, cancel := context.WithCancel(context.Background())
	_, err := p.Decide(ctx, envelopes, func(pending store.Pending) store.Decided {
		cancel()
		return p.router.judge(pending)
	})
	if err != nil { // when all of them were decided before, nobody is asked
		require.ErrorIs(t, err, context.Canceled)
	}
	cancel()
}

// ledger is all that the ledger holds of an organisation, without ids and times of its own and without what rules that are
// left out made.
func (p *postOffice) ledger(t *rapid.T, org notification.OrgID, without ...string) string {
	without = append(without, "")
	var out string
	err := p.db.QueryRow(context.Background(), `select concat_ws(e'\n',
		(select string_agg(format('decided %s %s', notification_id, outcome)
				|| case when cardinality($2::text[]) > 1 then '' else format(' %s %s', detail, once_skipped) end, e'\n' order by notification_id)
			from decision where org = $1),
		(select string_agg(format('message %s %s %s %s %s %s after %s', notification_id, rule, recipient, state, reason, content, not_before - created_at),
				e'\n' order by notification_id, rule, recipient) from message where org = $1 and rule <> all ($2)),
		(select string_agg(format('once %s %s %s %s', rule, scope, value, notification_id), e'\n' order by rule, scope, value)
			from once_key where org = $1 and rule <> all ($2)),
		(select string_agg(format('record %s %s', id, fields), e'\n' order by id) from record where org = $1),
		(select string_agg(format('action %s %s', id, fields), e'\n' order by id) from action where org = $1))`,
		string(org), without).Scan(&out)
	require.NoError(t, err)
	return out
}

// reached lists how many messages each pair of a rule and what it counts by has: record or recipient.
func (p *postOffice) reached(t *rapid.T, org notification.OrgID, rule, by string) map[string]int {
	rows, err := p.db.Query(context.Background(), `select case $3 when 'record' then record_id else recipient end, count(*) from message
		where org = $1 and rule = $2 and state = 'queued' group by 1`, string(org), rule, by)
	require.NoError(t, err)
	defer rows.Close()
	found := map[string]int{}
	for rows.Next() {
		var what string
		var n int
		require.NoError(t, rows.Scan(&what, &n))
		found[what] = n
	}
	require.NoError(t, rows.Err())
	return found
}

// again draws an order with repetitions that come after the first delivery.
func again(t *rapid.T, order []change) []change {
	out := slices.Clone(order)
	for range rapid.IntRange(0, 4).Draw(t, "repetitions") {
		from := rapid.IntRange(0, len(out)-1).Draw(t, "repeat")
		to := rapid.IntRange(from+1, len(out)).Draw(t, "at")
		out = slices.Insert(out, to, out[from])
	}
	return out
}

// interleaved draws an order in which each record keeps its own.
func interleaved(t *rapid.T, story []change) []change {
	byRecord := map[int][]change{}
	turns := make([]int, len(story))
	for i, c := range story {
		byRecord[c.record] = append(byRecord[c.record], c)
		turns[i] = c.record
	}
	out := make([]change, 0, len(story))
	for _, record := range rapid.Permutation(turns).Draw(t, "turns") {
		out, byRecord[record] = append(out, byRecord[record][0]), byRecord[record][1:]
	}
	return out
}

// The same order of first deliveries, however repeated, grouped, and cut off by crashes: the same ledger.
func TestRepetitionAndGroupingDoNotMatter(t *testing.T) {
	t.Parallel()
	p := newPostOffice(t)
	rapid.Check(t, func(t *rapid.T) {
		story := anyChanges(t)
		once := p.ledger(t, p.deliver(t, story))
		order := again(t, story)
		require.Equal(t, once, p.ledger(t, p.deliver(t, order)), "in the order %v", order)
	})
}

// Records in another order among each other: the same ledger, but for which record's message takes a person's key.
func TestOrderAcrossRecordsDoesNotMatter(t *testing.T) {
	t.Parallel()
	p := newPostOffice(t)
	rapid.Check(t, func(t *rapid.T) {
		story := anyChanges(t)
		one := p.deliver(t, story)
		order := again(t, interleaved(t, story))
		other := p.deliver(t, order)
		require.Equal(t, p.ledger(t, one, "once-person"), p.ledger(t, other, "once-person"), "in the order %v", order)
		reached := p.reached(t, one, "once-person", "recipient")
		require.Equal(t, reached, p.reached(t, other, "once-person", "recipient"))
		for person, n := range reached {
			require.Equal(t, 1, n, person)
		}
	})
}

// Any order at all, and two routers at once: each notification is decided once, the copies end at the newest state, rules that
// look at nothing but the record make the same messages, and each key is taken once.
func TestAnyOrderEndsAtTheNewestState(t *testing.T) {
	t.Parallel()
	p := newPostOffice(t)
	second, err := New(func() Config { c := p.config(); c.Metrics = prometheus.NewRegistry(); return c }())
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		story := anyChanges(t)
		one := p.deliver(t, story)
		order := again(t, rapid.Permutation(story).Draw(t, "order"))
		other := notification.OrgID(fmt.Sprintf("00D%012d", p.orgs.Add(1)))
		groups := p.envelopes(t, other, order)
		var both sync.WaitGroup
		failed := make([]error, 2)
		for i, r := range []*Router{p.router, second} {
			both.Go(func() {
				for j := i; j < len(groups); j += 2 {
					if _, err := r.decide(context.Background(), groups[j]); err != nil {
						failed[i] = err
					}
				}
			})
		}
		both.Wait()
		require.NoError(t, errors.Join(failed...))
		ordered := []string{"changes", "compares", "once-record", "once-person"}
		require.Equal(t, p.unordered(t, one, ordered), p.unordered(t, other, ordered), "in the order %v", order)
		for rule, by := range map[string]string{"once-record": "record", "once-person": "recipient"} {
			reached := p.reached(t, one, rule, by)
			require.Equal(t, reached, p.reached(t, other, rule, by), rule)
			for what, n := range reached {
				require.Equal(t, 1, n, what)
			}
		}
	})
}

// unordered is the part of the ledger that no order changes: which notifications were decided, the messages of the other rules,
// and the copies of the records.
func (p *postOffice) unordered(t *rapid.T, org notification.OrgID, without []string) string {
	var out string
	err := p.db.QueryRow(context.Background(), `select concat_ws(e'\n',
		(select string_agg(notification_id, ' ' order by notification_id) from decision where org = $1),
		(select string_agg(format('message %s %s %s %s %s', notification_id, rule, recipient, state, content), e'\n' order by notification_id, rule)
			from message where org = $1 and rule <> all ($2)),
		(select string_agg(format('record %s %s', id, fields), e'\n' order by id) from record where org = $1))`, string(org), without).Scan(&out)
	require.NoError(t, err)
	return out
}
