package store_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

const erasureKey = "0123456789abcdef0123456789abcdef"

// anywhere are the rows of the whole database in which a text stands.
func (l *ledger) anywhere(text string) []string {
	l.t.Helper()
	rows, err := l.db.Query(l.t.Context(), `select tablename from pg_tables where schemaname = 'public' order by 1`)
	require.NoError(l.t, err)
	var tables, found []string
	var name string
	for rows.Next() {
		require.NoError(l.t, rows.Scan(&name))
		tables = append(tables, name)
	}
	require.NoError(l.t, rows.Err())
	for _, table := range tables {
		if n := get[int](l, fmt.Sprintf(`select count(*) from %s t where t::text ~ $1`, table), text); n > 0 {
			found = append(found, fmt.Sprint(table, ": ", n))
		}
	}
	return found
}

func TestErasureLeavesNothingButTheHash(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.UseErasureKeys([]string{erasureKey})
	c := l.accepted(person, message.SMS, "SM1")
	l.apply(event(c, "SM1", message.Delivered))
	l.queue(person)
	l.reply(store.Reply{SID: "IN1", Body: "my secret", Alias: "US.1A2B"})
	l.reply(plain("IN2", 2, consent.OptOut))
	l.reply(doubtful("IN3", 3))
	l.exec(`insert into record (org, id, object, fields) values ($1, '003000000000009AAA', 'Contact', '{"Mobile": "(415) 555-0100", "Name": "my secret"}')`, string(org))
	l.exec(`update decision set detail = '{"previous": {"Mobile": "415.555.0100"}, "previous_seen": true}'`)
	l.exec(`insert into once_key values ($1, 'r', 'recipient', $2, 'x')`, string(org), string(person))
	imported := optIn("form 7 row 0123456789abcdef", "news")
	imported.Source, imported.Ask = consent.FromImport, false
	l.add(imported)
	l.exec(`update message set hours = '{"wish": "respect", "postal": "my secret"}'`)
	l.exec(`insert into webhook (id, sid, url, body) values (gen_random_uuid(), 'IN1', 'https://hooks.example.com', '{"text": "my secret"}')`)
	l.exec(`insert into reply_decision (sid, outcome, rule_set, detail) values ('IN1', 'matched', 'x', '{"said": "my secret"}')`)
	other := l.accepted("+14155550101", message.SMS, "SM2")
	before := get[int](l, `select count(*) from message`)

	pattern := person.Pattern()
	require.NotEmpty(t, l.anywhere(pattern))
	done, err := l.ErasePerson(t.Context(), person, "ana", "asked for it")
	require.NoError(t, err)
	require.Equal(t, []addr{person, "US.1A2B"}, done.Addresses)
	require.EqualValues(t, 2, done.Changed["message"])
	for _, text := range []string{pattern, "my secret", "US.1A2B", "row 0123456789abcdef"} {
		require.Empty(t, l.anywhere(text), text)
	}
	require.Equal(t, "failed", get[string](l, `select state from webhook`), "what was not posted yet is not posted")
	require.Equal(t, before, get[int](l, `select count(*) from message`), "the counts stay")
	require.Equal(t, 1, get[int](l, `select count(*) from message where recipient = $1 and content <> '{}'`, string(other.Message.To)), "others are left alone")
	require.Equal(t, 1, get[int](l, `select count(*) from audit where action = 'consent.erase' and operator = 'ana'`))

	for _, a := range []addr{person, "US.1A2B"} {
		states, err := l.Consent(t.Context(), []addr{a, "+14155550101"})
		require.NoError(t, err)
		require.True(t, states[a].Stopped(message.SMS, "default"), "the suppression survives")
		require.False(t, states["+14155550101"].Stopped(message.SMS, "default"))
	}
	looked := false
	l.claimWith(func(c store.Candidate) store.Verdict {
		looked = c.Consent.Stopped(message.SMS, "default")
		return store.Verdict{Suppress: message.ReasonOptedOut}
	}, l.queue(person)...)
	require.True(t, looked, "the claim sees it too")
	l.reply(store.Reply{SID: "IN4", Body: "hello"})
	_, err = l.ErasePerson(t.Context(), person, "ana", "what came since")
	require.NoError(t, err)
	require.Empty(t, l.anywhere(pattern))

	start := plain("IN5", 0, consent.ReOptIn)
	start.Consent.OccurredAt = time.Now().Add(time.Minute)
	l.reply(start)
	require.False(t, l.state().Stopped(message.SMS, "default"), "the person's next word")
	for _, sql := range []string{`update consent set note = 'x'`, `delete from consent`, `truncate consent`, `update replayed set mode = 'force'`} {
		if _, err := l.db.Exec(t.Context(), sql); !strings.Contains(sql, "replayed") {
			require.ErrorContains(t, err, "only ever added to", sql)
		}
	}
}

// A claim locks the message and then the address, an erasure the address and then the message: who loses tries again.
func TestErasureBesideAClaim(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.UseErasureKeys([]string{erasureKey})
	l.queue(person)
	claim, err := l.db.Begin(t.Context())
	require.NoError(t, err)
	_, err = claim.Exec(t.Context(), `select from message where recipient = $1 for update`, string(person))
	require.NoError(t, err)
	erased := make(chan error, 1)
	go func() {
		_, err := l.ErasePerson(context.Background(), person, "ana", "asked for it")
		erased <- err
	}()
	h := fnv.New32a()
	_, _ = h.Write([]byte(person))
	key := int32(h.Sum32())
	l.becomes(waitsForLock, 1) // the erasure has the address, and waits for the message
	_, err = claim.Exec(t.Context(), `select pg_advisory_xact_lock($1, $2)`, 0x62656b, key)
	if err != nil { // the claim lost
		require.NoError(t, claim.Rollback(t.Context()))
	} else {
		require.NoError(t, claim.Commit(t.Context()))
	}
	require.NoError(t, <-erased)
	require.Empty(t, l.anywhere(person.Pattern()))
}

// What takes long, reading tables whole, holds nobody up: replies of the person come in, and what they bring is erased too.
func TestErasureHoldsNoRepliesUpWhileItLooks(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.UseErasureKeys([]string{erasureKey})
	l.accepted(person, message.SMS, "SM1")
	blocked, err := l.db.Begin(t.Context())
	require.NoError(t, err)
	_, err = blocked.Exec(t.Context(), `lock table record in access exclusive mode`)
	require.NoError(t, err)
	erased := make(chan error, 1)
	go func() {
		_, err := l.ErasePerson(context.Background(), person, "ana", "asked for it")
		erased <- err
	}()
	l.becomes(waitsForLock, 1)
	short, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err = l.ApplyReply(short, store.Reply{SID: "IN1", Sender: "default", Channel: message.SMS, From: person, Body: "my secret", Received: time.Now()})
	require.NoError(t, err)
	require.NoError(t, blocked.Commit(t.Context()))
	require.NoError(t, <-erased)
	for _, text := range []string{person.Pattern(), "my secret"} {
		require.Empty(t, l.anywhere(text), text)
	}
}

// holds takes the lock of an address until its transaction ends.
func (l *ledger) holds(a addr) pgx.Tx {
	l.t.Helper()
	held, err := l.db.Begin(l.t.Context())
	require.NoError(l.t, err)
	h := fnv.New32a()
	_, _ = h.Write([]byte(a))
	_, err = held.Exec(l.t.Context(), `select pg_advisory_xact_lock($1, $2)`, 0x62656b, int32(h.Sum32()))
	require.NoError(l.t, err)
	return held
}

const waitsForLock = `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`

func (l *ledger) becomes(query string, want int) {
	l.t.Helper()
	require.Eventually(l.t, func() bool { return get[int](l, query) == want }, 10*time.Second, 10*time.Millisecond)
}

// What is written after the look, and before the locks are had, is found by the next look.
func TestErasureLooksAgain(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.UseErasureKeys([]string{erasureKey})
	l.accepted(person, message.SMS, "SM1")
	held := l.holds(person)
	done := make(chan store.Erasure, 1)
	go func() {
		all, err := l.ErasePerson(context.Background(), person, "ana", "asked for it")
		assert.NoError(t, err)
		done <- all
	}()
	l.becomes(waitsForLock, 1)
	l.exec(`insert into record (org, id, object, fields) values ($1, '003000000000009AAA', 'Contact', '{"Mobile": "(415) 555-0100"}')`, string(org))
	l.exec(`update decision set detail = '{"previous": {"Mobile": "415.555.0100"}}'`)
	l.exec(`insert into replayed (org, notification_id, replay_id, mode, result, stream_seq, detail)
		select org, notification_id, 'x', 'replay', 'decided', 1, '{"previous": {"Mobile": "415.555.0100"}}' from decision limit 1`)
	l.exec(`insert into once_key values ($1, 'r', 'recipient', $2, 'x')`, string(org), string(person))
	require.NoError(t, held.Commit(t.Context()))
	all := <-done
	require.Empty(t, l.anywhere(person.Pattern()))
	require.Equal(t, []addr{person}, all.Addresses)
	require.EqualValues(t, 1, all.Changed["record"])
	require.EqualValues(t, 1, all.Changed["message"])
}

// Whose id was erased before anybody knew the number: the number is suppressed when they are found to be one person.
func TestErasureCountsForAnAddressThatIsFoundLater(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.UseErasureKeys([]string{erasureKey})
	_, err := l.ErasePerson(t.Context(), "US.1A2B", "ana", "asked for it")
	require.NoError(t, err)
	require.False(t, l.state().Stopped(message.SMS, "default"))
	l.reply(store.Reply{SID: "IN1", Body: "hello", Alias: "US.1A2B"})
	require.True(t, l.state().Stopped(message.SMS, "default"))
	require.NoError(t, l.AddConsent(t.Context(), consent.Entry{
		Org: org, Address: "US.1A2B", Channel: consent.AllChannels, Action: consent.ReOptIn, Source: consent.FromOperator, Evidence: "ana",
	}))
	require.False(t, l.state().Stopped(message.SMS, "default"), "by the next word, under either")
}

// An answer that waits for the lock of somebody who is being erased must not bring the number back.
func TestAnErasureThatAnAnswerWaitsFor(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.UseErasureKeys([]string{erasureKey})
	l.reply(store.Reply{SID: "IN1", Body: "hello"})
	id := get[string](l, `select id::text from conversation`)
	held := l.holds(person) // as an erasure does
	answered := make(chan error, 1)
	go func() {
		_, _, err := l.AnswerConversation(context.Background(), store.Answer{ConversationID: id, Content: spoken("", "").Content, By: "ana"})
		answered <- err
	}()
	l.becomes(waitsForLock, 1)
	_, err := held.Exec(t.Context(), `select * from erase_person(array[$1], array['erased:x'], array[$2], '[]')`, string(person), person.Pattern())
	require.NoError(t, err)
	require.NoError(t, held.Commit(t.Context()))
	require.NoError(t, <-answered)
	require.Empty(t, l.anywhere(person.Pattern()))
}

func TestErasureNeedsItsKey(t *testing.T) {
	t.Parallel()
	l := open(t)
	_, err := l.ErasePerson(t.Context(), person, "ana", "x")
	require.ErrorIs(t, err, store.ErrNoErasureKey)
	require.ErrorContains(t, err, "openssl rand")
	l.UseErasureKeys([]string{erasureKey})
	l.sending(person, message.SMS)
	_, err = l.ErasePerson(t.Context(), person, "ana", "x")
	require.ErrorIs(t, err, store.ErrInFlight)
	_, err = l.ErasePerson(t.Context(), "+14155550101", "ana", "x")
	require.NoError(t, err)
	for _, keys := range [][]string{nil, {"another"}} {
		l.UseErasureKeys(keys)
		_, err = l.Consent(t.Context(), []addr{person})
		require.ErrorIs(t, err, store.ErrErasureKey)
		require.ErrorIs(t, l.KnowsErasures(t.Context()), store.ErrErasureKey)
		require.True(t, store.Temporary(err))
	}
	l.UseErasureKeys([]string{"another", erasureKey})
	require.NoError(t, l.KnowsErasures(t.Context()))
	states, err := l.Consent(t.Context(), []addr{"+14155550101"})
	require.NoError(t, err)
	require.True(t, states["+14155550101"].Stopped(message.SMS, "default"), "of the older key")
}

// Every table in which a person can be found has a part in the export.
func TestExportHasEveryTable(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.accepted(person, message.SMS, "SM1")
	l.apply(event(c, "SM1", message.Delivered))
	l.sending(person, message.WhatsApp)
	l.queue(person)
	l.reply(store.Reply{SID: "IN1", Body: "secret", Alias: "US.1A2B"})
	l.reply(doubtful("IN3", 3))
	l.add(optIn("1", "news"))
	l.asks()
	l.exec(`insert into record (org, id, object, fields) values ($1, '003000000000009AAA', 'Contact', '{"Mobile": "(415) 555-0100"}')`, string(org))
	l.exec(`update decision set detail = '{"previous": {"Mobile": "415.555.0100"}, "previous_seen": true}'`)
	l.exec(`insert into replayed (org, notification_id, replay_id, mode, result, stream_seq, detail)
		select org, notification_id, 'x', 'replay', 'decided', 1, '{"previous": {"Mobile": "415.555.0100"}}' from decision limit 1`)
	l.exec(`insert into once_key values ($1, 'r', 'recipient', $2, 'x')`, string(org), string(person))
	l.exec(`insert into webhook (id, sid, url, body) values (gen_random_uuid(), 'IN1', 'https://hooks.example.com', 'secret')`)
	l.exec(`insert into reply_decision (sid, outcome, rule_set, detail) values ('IN1', 'matched', 'x', '{"said": "secret"}')`)
	l.exec(`insert into question (conversation_id, rule, name, answers, asked_by, expires_at, state, answer)
		select id, 'r', 'q', '{secret}', 'IN1', now(), 'answered', 'secret' from conversation`)
	kinds := map[string]string{
		"alias": "aliases", "attempt": "attempts", "belt": "belt", "consent": "consent", "conversation": "conversations", "decision": "decisions",
		"inbound": "replies", "live_attempt": "live_attempts", "message": "messages", "once_key": "once_keys", "question": "questions",
		"record": "snapshots", "replayed": "replayed", "reply_decision": "reply_decisions", "review": "reviews", "webhook": "webhooks",
	}
	_, held, err := l.ExportPerson(t.Context(), person)
	require.NoError(t, err)
	found := l.anywhere(person.Pattern() + "|secret")
	require.Len(t, found, len(kinds), "%v", found)
	for _, one := range found {
		table, n, _ := strings.Cut(one, ": ")
		require.NotEmpty(t, kinds[table], "the table %s is in no part of the export", table)
		require.Equal(t, n, strconv.Itoa(len(held[kinds[table]])), table)
	}
	for _, kind := range []string{"events", "reply_tasks", "double_opt_in", "notifications"} {
		require.NotEmpty(t, held[kind], kind)
	}
}

func TestExportOfAPerson(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.accepted(person, message.SMS, "SM1")
	l.apply(event(c, "SM1", message.Delivered))
	l.accepted("+14155550101", message.SMS, "SM2")
	l.reply(store.Reply{SID: "IN1", Body: "hello", Alias: "US.1A2B"})
	l.reply(doubtful("IN3", 3))
	l.reply(plain("IN2", 9, consent.OptOut))
	l.exec(`insert into record (org, id, object, fields) values ($1, '003000000000009AAA', 'Contact', '{"Mobile": "(415) 555-0100"}')`, string(org))
	_, held, err := l.ExportPerson(t.Context(), "US.1A2B")
	require.NoError(t, err)
	for kind, n := range map[string]int{
		"messages": 1, "attempts": 1, "events": 1, "replies": 3, "conversations": 1, "reviews": 1, "consent": 1, "aliases": 2, "snapshots": 1,
		"decisions": 1, "notifications": 1,
	} {
		require.Len(t, held[kind], n, kind)
	}
	require.Contains(t, string(held["replies"][0])+string(held["replies"][1])+string(held["replies"][2]), "hello")
}

// Nobody is left to answer in a conversation whose person was erased.
func TestNobodyAnswersWhoWasErased(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.UseErasureKeys([]string{erasureKey})
	l.accepted(person, message.SMS, "SM1")
	c := l.talk(message.SMS, "IN1", time.Now())
	l.apply(store.StatusEvent{SID: "SM1", Status: "delivered", State: message.Delivered, Received: time.Now()})
	_, err := l.ErasePerson(t.Context(), person, "ana", "asked for it")
	require.NoError(t, err)
	_, made, err := l.AnswerConversation(t.Context(), store.Answer{ConversationID: c.ID, Content: freeText("hello again"), By: "bo"})
	require.ErrorIs(t, err, store.ErrOptedOut)
	require.False(t, made)
}
