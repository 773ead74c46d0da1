package router

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

// again puts every envelope that is kept on the belt again, and waits until it is worked on.
func (w *world) again(id string, mode notification.ReplayMode, only ...notification.ID) store.ReplayCounts {
	w.t.Helper()
	var kept []*stream.Kept
	require.NoError(w.t, w.belt.KeptEnvelopes(w.t.Context(), time.Time{}, time.Time{}, func(k *stream.Kept) error {
		kept = append(kept, k)
		return nil
	}))
	for _, k := range kept {
		_, err := w.belt.PutBack(w.t.Context(), k, notification.Replay{ID: id, Mode: mode, Only: only})
		require.NoError(w.t, err)
	}
	w.settled()
	counts, err := w.CountReplay(w.t.Context(), id)
	require.NoError(w.t, err)
	return counts
}

func (w *world) salts() map[string]int {
	w.t.Helper()
	rows, err := w.db.Query(context.Background(), `select salt, count(*) from message group by 1`)
	require.NoError(w.t, err)
	defer rows.Close()
	salts := map[string]int{}
	for rows.Next() {
		var salt string
		var n int
		require.NoError(w.t, rows.Scan(&salt, &n))
		salts[salt] = n
	}
	require.NoError(w.t, rows.Err())
	return salts
}

func TestReplayedDeadLetterIsReallyDecided(t *testing.T) {
	t.Parallel()
	w := newWorld(t, welcome)
	all := []notification.Notification{w.won("1", "+14155550100"), w.won("2", "+14155550101"), w.won("3", "+14155550102")}
	stop := w.run(withLedger(w, &pickyLedger{Ledger: w.Store, culprit: all[1].ID}))
	w.send(actionA, all...)
	w.settled()
	stop()
	letters := w.letters()
	require.Len(t, letters, 1)
	require.Equal(t, all[1].ID, letters[0].Only)
	require.Len(t, letters[0].History, 1+logicTries+1, "together, each try alone, given up: %v", letters[0].History)
	require.Contains(t, letters[0].History[0], "together with 2 others: the database refused it: SQLSTATE 23514")
	require.WithinDuration(t, time.Now(), letters[0].First, time.Minute)

	// It fails again, within the window in which the stream knows ids again: the second letter must not be lost.
	stop = w.run(withLedger(w, &pickyLedger{Ledger: w.Store, culprit: all[1].ID}))
	_, err := w.belt.PutLetterBack(t.Context(), letters[0], "first-try")
	require.NoError(t, err)
	require.NoError(t, w.belt.DropDeadLetter(t.Context(), letters[0].Number))
	w.settled()
	stop()
	letters = w.letters()
	require.Len(t, letters, 1, "it is a dead letter again")
	require.Len(t, w.made(), 2)

	w.run(w.config())
	_, err = w.belt.PutLetterBack(t.Context(), letters[0], "second-try")
	require.NoError(t, err)
	// A crash before the letter is dropped, and the operator does it once more.
	_, err = w.belt.PutLetterBack(t.Context(), letters[0], "third-try")
	require.NoError(t, err)
	w.settled()
	require.Len(t, w.made(), 3)
	require.Zero(t, w.number(`select count(*) from duplicate`), "Salesforce has repeated nothing")
	require.Equal(t, 1, w.number(`select count(*) from replayed where outcome = 'matched' and result = 'decided_again' and replay_id = 'second-try'`))
	require.Equal(t, 2, w.number(`select count(*) from replayed`), "only the culprit, and the third try is the second one")
	require.Equal(t, 1, w.number(`select count(*) from decision where outcome = 'dead_letter'`), "history stays")
	require.Equal(t, 1, w.number(`select count(*) from record where id = $1 and fields->>'Stage__c' = 'Won'`, string(all[1].RecordID)))
}

func withLedger(w *world, ledger Ledger) Config {
	config := w.config()
	config.Ledger = ledger
	return config
}

// The record has moved on since, and the rules of that time did not look at the field: the copy of that time is what counts.
func TestRedecideUsesTheValuesOfThatTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `{rules: []}`)
	w.run(w.config())
	const phone = "+14155550100"
	w.send(actionA, w.note("1", "Stage__c", "A", "Phone", phone, "Old", "x"))
	w.send(actionA, w.note("1", "Stage__c", "B", "Phone", phone))
	w.send(actionA, w.note("1", "Stage__c", "B", "Phone", phone))
	w.send(actionA, w.note("1", "Stage__c", "C", "Phone", phone))
	w.settled()
	require.Empty(t, w.made())
	const moved = `
rules:
  - name: moved
    object: Contact
    when: changed("Stage__c")
    to: record.Phone
    channels: [sms]
    template: welcome
    vars: {name: 'string(previous.Stage__c == null ? "nothing" : previous.Stage__c) + string(previous.Old == null ? "" : previous.Old) + " to " + record.Stage__c'}
`
	w.load(moved)
	require.Equal(t, map[store.ReplayResult]int{store.ReplayDuplicate: 4}, w.again("plain", notification.ReplayMissing).Results)
	require.Empty(t, w.made(), "a plain replay leaves decisions alone")
	require.Zero(t, w.number(`select count(*) from duplicate`))

	counts := w.again("r1", notification.ReplayRedecide)
	require.Equal(t, map[store.ReplayResult]int{store.ReplayDecidedAgain: 4}, counts.Results)
	require.Equal(t, map[notification.Outcome]int{notification.Matched: 3, notification.NoMatch: 1}, counts.Outcomes)
	var texts []string
	for _, m := range w.made() {
		texts = append(texts, m.Content.SMS.Text)
	}
	require.ElementsMatch(t, []string{"Hi nothing to A!", "Hi Ax to B!", "Hi B to C!"}, texts)
	require.Len(t, w.onBelt(), 3)
	require.Equal(t, 1, w.number(`select count(*) from record where fields->>'Stage__c' = 'C' and not fields ? 'Old'`), "the copy stays where it is")
	require.Equal(t, 4, w.number(`select count(*) from decision d join replayed r using (org, notification_id)
		where r.replay_id = 'r1' and d.rule_set <> r.rule_set and d.outcome = 'no_rule_matched'`), "both decisions are kept, with their rules")
	// A redecision can itself be made again: it kept the same values.
	require.Equal(t, 3, w.again("r2", notification.ReplayRedecide).Held)
	require.Len(t, w.made(), 3, "the key prevents a second message")
	require.Equal(t, 1, w.again("r3", notification.ReplayRedecide, notification.ID("04l000000000002AAA")).Held, "only the one asked for")
}

func TestOnlyForceSendsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fmt.Sprintf(welcome, "    once: record\n"))
	w.run(w.config())
	w.send(actionA, w.won("1", "+14155550100"))
	w.settled()
	require.Zero(t, w.again("early", notification.ReplayForce).Made, "the first one still waits: it will be sent anyway")
	w.exec(`delete from belt`)
	w.deliver()

	require.Equal(t, 1, w.again("r1", notification.ReplayRedecide).Held)
	require.Len(t, w.made(), 1)
	counts := w.again("f1", notification.ReplayForce)
	require.Equal(t, 1, counts.Made)
	require.Equal(t, map[string]int{"": 1, "f1": 1}, w.salts())
	// The same order once more, as a redelivery after a crash.
	w.deliver()
	w.putTwice("f1")
	require.Equal(t, map[string]int{"": 1, "f1": 1}, w.salts(), "one order forces once")
	require.Equal(t, 1, w.again("f2", notification.ReplayForce).Made, "another order is another one")
}

// putTwice puts the kept envelopes on the belt under an order that was worked on, past the stream's own sieve.
func (w *world) putTwice(id string) {
	w.t.Helper()
	require.NoError(w.t, w.belt.KeptEnvelopes(w.t.Context(), time.Time{}, time.Time{}, func(k *stream.Kept) error {
		body, err := k.Body()
		if err != nil {
			return err
		}
		msg := natsMsg("notifications."+string(testOrg), string(body))
		msg.Header.Set(stream.HeaderOrg, string(testOrg))
		msg.Header.Set(stream.HeaderCount, "1")
		msg.Header.Set(stream.HeaderReceived, k.Received.Format(time.RFC3339Nano))
		msg.Header.Set(stream.HeaderReplay, string(notification.ReplayForce))
		msg.Header.Set(stream.HeaderReplayID, id)
		_, err = w.nc.RequestMsg(msg, patience)
		return err
	}))
	w.settled()
}

// A template that could not be rendered has reached nobody: mended, it makes its message in a redecision, once.
func TestRedecideAfterABadTemplate(t *testing.T) {
	t.Parallel()
	const rules = `
rules:
  - {name: welcome, object: Contact, when: 'true', to: record.Phone, channels: [sms], template: welcome, vars: {name: %s}}
`
	w := newWorld(t, fmt.Sprintf(rules, "record.Missing"))
	w.run(w.config())
	w.send(actionA, w.note("1", "Phone", "+14155550100", "Name", "Ana"))
	w.settled()
	require.Equal(t, message.ReasonTemplateError, w.made()[0].Reason)
	w.load(fmt.Sprintf(rules, "record.Name"))
	require.Equal(t, 1, w.again("r1", notification.ReplayRedecide).Made)
	require.Zero(t, w.again("r2", notification.ReplayRedecide).Made)
	require.Len(t, w.made(), 2)
	require.Equal(t, message.Queued, w.made()[1].State)
}

func TestRehearsalChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, welcome)
	stop := w.run(w.config())
	n := w.won("1", "+14155550100")
	w.send(actionA, n)
	w.settled()
	stop()
	w.deliver()
	envelope := &notification.Envelope{Org: testOrg, Action: actionA, Object: "Contact", Notifications: []notification.Notification{n, w.won("2", "+14155550101")}}
	result, err := w.Rehearse(t.Context(), []store.Envelope{{
		Envelope: envelope, Seq: 9, Replay: &notification.Replay{ID: "dry", Mode: notification.ReplayForce},
	}}, Judge(w.rules.Load(), w.templates, "US"))
	require.NoError(t, err)
	require.Equal(t, map[string]int{"welcome": 2}, result.ByRule)
	require.Equal(t, map[store.ReplayResult]int{store.ReplayDecided: 1, store.ReplayDecidedAgain: 1}, result.Replayed)
	require.Len(t, w.made(), 1)
	require.Equal(t, 1, w.number(`select count(*) from notification`))
	require.Zero(t, w.number(`select count(*) from replayed`))
}
