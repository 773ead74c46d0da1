package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/router/rule"
	"github.com/beckonhq/beckon/templates"
)

func TestNotificationBecomesAMessageOnTheBelt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, welcome)
	w.run(w.config())
	n := w.won("1", "(415) 555-0100")
	w.send(actionA, n, w.note("2", "Stage__c", "Lost"))
	w.settled()
	made := w.made()
	require.Len(t, made, 1)
	m := made[0]
	require.Equal(t, message.Queued, m.State)
	require.Equal(t, address.Address("+14155550100"), m.To)
	require.Equal(t, "Hi Ana!", m.Content.SMS.Text)
	require.Equal(t, "GSM-7", m.Content.SMS.Encoding)
	require.Equal(t, n.ID, m.NotificationID)
	require.Equal(t, n.RecordID, m.RecordID)
	require.Equal(t, "001000000000001AAA", m.ContactID)
	require.Equal(t, []string{m.ID}, w.onBelt())
	require.Eventually(t, func() bool { return w.number(`select count(*) from belt where seq > 0 and epoch <> ''`) == 1 },
		20*time.Second, 10*time.Millisecond, "its place is noted when it has not been claimed for a while")
	require.Equal(t, 1, w.decided(notification.Matched))
	require.Equal(t, 1, w.decided(notification.NoMatch))
	require.Equal(t, 2, w.number(`select count(*) from decision where rule_set = $1`, w.rules.Load().Version()))
}

func TestRepeatedAndRegroupedIsDecidedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, welcome)
	w.run(w.config())
	var all []notification.Notification
	for i := range 12 {
		all = append(all, w.won(strconv.Itoa(i), fmt.Sprintf("+1415555%04d", i)))
	}
	w.send(actionA, all[:6]...)
	w.send(actionA, all[3:9]...)
	slices.Reverse(all)
	w.send(actionA, append(all, all[0])...)
	w.settled()
	require.Len(t, w.made(), 12)
	require.Equal(t, 12, w.decided(notification.Matched))
	require.Equal(t, 3+9+1, w.number(`select count(*) from duplicate`), "each repetition is counted")
	belt := w.onBelt()
	slices.Sort(belt)
	require.Len(t, slices.Compact(belt), 12)
}

func TestChangedPreviousAndFieldsThatWereNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `
rules:
  - name: any-change
    object: Contact
    when: changed("Stage__c")
    to: record.Phone
    channels: [sms]
    template: welcome
    vars: {name: 'string(previous.Stage__c == null ? "nothing" : previous.Stage__c) + " to " + string(record.Stage__c == null ? "nothing" : record.Stage__c)'}
`)
	w.run(w.config())
	const phone = "+14155550100"
	said := func() []string {
		w.settled()
		var texts []string
		for _, m := range w.made() {
			texts = append(texts, m.Content.SMS.Text)
		}
		return texts
	}
	want := []string{"Hi nothing to A!"}
	w.send(actionA, w.note("1", "Stage__c", "A", "Phone", phone))
	require.Equal(t, want, said(), "the first sight is the change")
	w.send(actionA, w.note("1", "Stage__c", "A", "Phone", phone))
	require.Equal(t, want, said(), "nothing changed")
	w.send(actionB, w.note("1", "Phone", phone)) // this action has never carried Stage__c
	require.Equal(t, want, said(), "not sent is not null")
	require.Equal(t, 1, w.number(`select count(*) from record where fields->>'Stage__c' = 'A'`))
	w.send(actionA, w.note("1", "Phone", phone)) // this one has: now it is null
	want = append(want, "Hi A to nothing!")
	require.Equal(t, want, said())
	require.Equal(t, 0, w.number(`select count(*) from record where fields ? 'Stage__c'`))
	// Several in one envelope fold in document order.
	w.send(actionA, w.note("1", "Stage__c", "B", "Phone", phone), w.note("1", "Stage__c", "B", "Phone", phone), w.note("1", "Stage__c", "C", "Phone", phone))
	want = append(want, "Hi nothing to B!", "Hi B to C!")
	require.ElementsMatch(t, want, said())
}

func TestAnOlderStateDoesNotMoveTheCopyBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, welcome)
	w.run(w.config())
	w.send(actionA, w.note("1", "Stage__c", "New", "LastModifiedDate", "2026-05-02T10:00:00.000Z"))
	w.send(actionA, w.note("1", "Stage__c", "Old", "LastModifiedDate", "2026-05-01T10:00:00.000Z"))
	w.settled()
	require.Equal(t, 1, w.number(`select count(*) from record where fields->>'Stage__c' = 'New'`))
}

func TestOnceDelayAndTwoRecipients(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fmt.Sprintf(welcome, "    once: record\n    delay: 10m\n"))
	w.run(w.config())
	again := func(mobile string) notification.Notification {
		return w.note("1", "Stage__c", "Won", "Phone", "4155550100", "Mobile", mobile, "Name", "Ana", "AccountId", "001000000000001AAA")
	}
	w.send(actionA, again("+1 415-555-0100")) // the same number in other words
	w.send(actionA, w.note("1", "Stage__c", "Lost"), again("+14155550177"))
	w.settled()
	made := w.made()
	require.Len(t, made, 1, "two texts that are one number make one message, and once is once")
	require.WithinDuration(t, time.Now().Add(10*time.Minute), made[0].NotBefore, time.Minute)
	require.Empty(t, w.onBelt(), "it is not due")
	require.Equal(t, 1, w.number(`select count(*) from decision where once_skipped = '{welcome}'`))
	w.send(actionA, w.note("2", "Stage__c", "Won", "Phone", "4155550100", "Mobile", "4155550199", "Name", "Bo"))
	w.settled()
	require.Len(t, w.made(), 3, "two recipients of another record")
}

func TestMessagesThatCannotBeSentSayWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `
rules:
  - {name: plain, object: Contact, when: 'true', to: record.Phone, channels: [sms], template: welcome, vars: {name: record.Name}}
  - {name: broken, object: Contact, when: 'timestamp(record.Born) > notification.received_at', to: record.Phone, channels: [sms], template: welcome, vars: {name: record.Name}}
`)
	w.run(w.config())
	w.send(actionA,
		w.note("1", "Phone", "call me maybe", "Name", "Ana"),
		w.note("2", "Name", "Ana"),         // no recipient
		w.note("3", "Phone", "4155550100"), // no name: the template can't be rendered
		w.note("4", "Phone", "123", "Name", "null"))
	w.settled()
	made := map[notification.ID]message.Message{}
	for _, m := range w.made() {
		made[m.RecordID] = m
	}
	require.Len(t, made, 3)
	reason := func(record string) message.Reason { return made[w.note(record).RecordID].Reason }
	require.Equal(t, message.ReasonInvalidNumber, reason("1"))
	require.Equal(t, message.ReasonTemplateError, reason("3"))
	require.Equal(t, message.ReasonInvalidNumber, reason("4"))
	for _, m := range made {
		require.Equal(t, message.Failed, m.State)
		require.NotContains(t, m.Detail, "4155550100")
	}
	require.Empty(t, w.onBelt())
	require.Equal(t, 4, w.number(`select count(*) from decision where detail::text like '%error%'`), "the broken rule stops no other")
	require.Equal(t, 1, w.number(`select count(*) from decision where detail::text like '%no_recipient%'`))
}

func TestPoisonEnvelopeGoesAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, welcome)
	w.send(actionA, w.won("1", "+14155550100"))
	w.put([]byte("<this is no envelope"))
	require.NoError(t, w.nc.Publish("notifications."+string(testOrg), []byte("no headers either")))
	w.send(actionA, w.won("2", "+14155550101"))
	w.run(w.config())
	w.settled()
	require.Len(t, w.made(), 2)
	letters := w.letters()
	require.Len(t, letters, 2)
	require.Equal(t, "<this is no envelope", string(letters[0].Data))
	require.Equal(t, stream.Notifications, letters[0].Stream)
	require.Equal(t, "no headers either", string(letters[1].Data))
}

// An organisation that can be no subject must not block the way either.
func TestPoisonWithABadHeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t, welcome)
	require.NoError(t, w.belt.PublishNotification(t.Context(), stream.Envelope{Org: testOrg, Count: 1, Received: time.Now()}, []byte("x")))
	config := w.config()
	config.Envelopes = badOrg{config.Envelopes, w}
	w.run(config)
	w.send(actionA, w.won("2", "+14155550101"))
	w.settled()
	require.Len(t, w.made(), 1)
	require.Len(t, w.letters(), 2)
}

// badOrg puts one more poison envelope into the stream, with a header that no dead letter can carry.
type badOrg struct {
	Source

	w *world
}

func (b badOrg) Fetch(ctx context.Context, limit int) ([]*stream.Delivery, error) {
	if b.w.next.CompareAndSwap(1, 1000) {
		raw := natsMsg("notifications."+string(testOrg), "poison")
		raw.Header.Set(stream.HeaderOrg, "no token > at all")
		if err := b.w.nc.PublishMsg(raw); err != nil {
			return nil, err
		}
	}
	return b.Source.Fetch(ctx, limit)
}

// pickyLedger decides through the real one, and makes one notification break a constraint.
type pickyLedger struct {
	Ledger

	culprit notification.ID
	away    atomic.Bool
}

func (p *pickyLedger) Decide(ctx context.Context, e []store.Envelope, decide func(store.Pending) store.Decided) (*store.DecideResult, error) {
	if p.away.Load() {
		return nil, &pgconn.PgError{Code: "57P01", Message: "terminating connection due to administrator command"}
	}
	return p.Ledger.Decide(ctx, e, func(n store.Pending) store.Decided {
		decided := decide(n)
		if n.Notification.ID == p.culprit && decided.Outcome != notification.DeadLetter {
			decided.Outcome = "no outcome at all" // the table's check refuses it
		}
		return decided
	})
}

func TestOnlyTheCulpritIsDeadLettered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, welcome)
	var all []notification.Notification
	for i := range 20 {
		all = append(all, w.won(strconv.Itoa(i), fmt.Sprintf("+1415555%04d", i)))
	}
	w.send(actionA, all[:10]...)
	w.send(actionA, all[10:]...)
	config := w.config()
	config.Ledger = &pickyLedger{Ledger: w.Store, culprit: all[13].ID}
	w.run(config)
	w.settled()
	require.Len(t, w.made(), 19)
	require.Len(t, w.onBelt(), 19)
	letters := w.letters()
	require.Len(t, letters, 1)
	require.Contains(t, letters[0].Reason, string(all[13].ID))
	require.Equal(t, 1, w.decided(notification.DeadLetter))
	require.Equal(t, 19, w.decided(notification.Matched))
}

// panicky breaks down over one notification.
func TestAPanicCostsItsNotificationOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, welcome)
	config := w.config()
	var calls atomic.Int64
	first := w.won("1", "+14155550100")
	config.Policy = func() (*rule.Set, *templates.Set) {
		if calls.Add(1) <= 2 { // together, then alone
			panic("a bug")
		}
		return w.rules.Load(), w.templates
	}
	w.send(actionA, first, w.won("2", "+14155550101"))
	w.run(config)
	w.settled()
	require.Len(t, w.made(), 1)
	require.Len(t, w.letters(), 1)
	require.Equal(t, 1, w.decided(notification.DeadLetter))
}

func TestPostgresAwayThenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, welcome)
	ledger := &pickyLedger{Ledger: w.Store}
	ledger.away.Store(true)
	config := w.config()
	config.Ledger = ledger
	w.run(config)
	for i := range 10 {
		w.send(actionA, w.won(strconv.Itoa(i), fmt.Sprintf("+1415555%04d", i)))
	}
	require.True(t, w.wait(func() bool {
		pending, err := w.belt.Pending(context.Background())
		return err == nil && pending[stream.Router].Unfinished > 0
	}))
	require.Zero(t, w.number(`select count(*) from notification`))
	ledger.away.Store(false)
	w.settled()
	require.Len(t, w.made(), 10)
	require.Empty(t, w.letters())
	require.Zero(t, w.number(`select count(*) from duplicate`), "nothing is counted against a notification")
}

// deadBelt dies between the commit and the belt.
type deadBelt struct {
	Belt

	die func()
}

func (d deadBelt) PublishMessages(context.Context, []stream.MessageRef) ([]uint64, error) {
	d.die()
	return nil, errors.New("the process is dead")
}

func TestCrashBetweenCommitAndBelt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, welcome)
	config := w.config()
	died := make(chan struct{})
	config.Belt = deadBelt{w.belt, func() {
		select {
		case <-died:
		default:
			close(died)
		}
	}}
	stop := w.run(config)
	w.send(actionA, w.won("1", "+14155550100"), w.won("2", "+14155550101"))
	<-died
	stop()
	require.Len(t, w.made(), 2, "the decision is committed")
	require.Empty(t, w.onBelt())
	w.run(w.config())
	w.settled()
	require.Len(t, w.made(), 2)
	require.Len(t, w.onBelt(), 2, "the redelivery puts them on the belt")
	require.Zero(t, w.number(`select count(*) from duplicate`), "the redelivery of an envelope is no repetition by Salesforce")
}

func TestRulesChangeBetweenEnvelopes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, welcome)
	w.run(w.config())
	before := w.rules.Load().Version()
	w.send(actionA, w.won("1", "+14155550100"))
	w.settled()
	w.load(`{rules: []}`)
	w.send(actionA, w.won("2", "+14155550101"))
	w.settled()
	require.Len(t, w.made(), 1)
	require.Equal(t, 1, w.number(`select count(*) from decision where rule_set = $1`, before))
	require.Equal(t, 1, w.number(`select count(*) from decision where rule_set = $1`, w.rules.Load().Version()))
}

func TestManyRoutersDecideOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, welcome)
	for range 3 {
		config := w.config()
		config.Batch = 7
		w.run(config)
	}
	var all []notification.Notification
	for i := range 60 {
		all = append(all, w.won(strconv.Itoa(i%20), fmt.Sprintf("+1415555%04d", i)))
	}
	for i := 0; i < len(all); i += 10 {
		w.send(actionA, all[i:i+10]...)
		w.send(actionA, all[max(i-5, 0):i+5]...)
	}
	w.settled()
	require.Equal(t, 60, w.number(`select count(*) from decision`))
	require.Len(t, w.made(), 20, "one change of each record")
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := New(Config{})
	require.ErrorContains(t, err, "missing")
}
