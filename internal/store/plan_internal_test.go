package store

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/pgtest"
)

// open is a new ledger.
func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), pgtest.DSN(t))
	require.NoError(t, err)
	t.Cleanup(s.Close)
	_, err = s.Migrate(t.Context(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return s
}

// plan is how the database would answer.
func (s *Store) plan(t *testing.T, sql string, args ...any) string {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), `explain `+sql, args...)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return strings.Join(lines, "\n")
}

// A page of a listing costs what it shows: its rows are read in their order from an index, and never sorted.
func TestConversationsAreListedByAnIndex(t *testing.T) {
	t.Parallel()
	s := open(t)
	_, err := s.pool.Exec(t.Context(), `insert into conversation (id, org, sender, channel, address, last_inbound_at, assigned_to, marked_at)
		select gen_random_uuid(), '*', 'default', 'sms', '+1415555' || n, now() - n * interval '1 minute', case n % 500 when 0 then 'ana' else '' end,
			case n % 500 when 1 then now() end from generate_series(1, 20000) n`)
	require.NoError(t, err)
	_, err = s.pool.Exec(t.Context(), `analyze conversation`)
	require.NoError(t, err)
	for _, test := range []struct {
		filter ConversationFilter
		index  string
	}{
		{ConversationFilter{Limit: 50}, "conversation_listed"},
		{ConversationFilter{Limit: 50, State: ConversationOpen}, "conversation_listed"},
		{ConversationFilter{Limit: 50, After: Cursor{time.Now().Add(-72 * time.Hour), uuid.NewString()}}, "conversation_listed"},
		{ConversationFilter{Limit: 50, Marked: true}, "conversation_marked"},
		{ConversationFilter{Limit: 50, AssignedTo: "ana"}, "conversation_assigned"},
		{ConversationFilter{With: "+14155551"}, "conversation_address_sender_channel_key"},
	} {
		where, args := test.filter.sql()
		plan := s.plan(t, `select c.id from conversation c`+where, args)
		require.Contains(t, plan, test.index, plan)
		require.NotContains(t, plan, "Seq Scan on conversation", plan)
		if test.filter.Limit > 0 {
			require.NotContains(t, plan, "Sort", plan)
		}
	}
}

// Somebody who got very many messages, as who is on call does, costs a claim and a reply no more than others: what is asked for is the
// newest, or since a time.
func TestOnePersonsAttemptsAreFoundByAnIndex(t *testing.T) {
	t.Parallel()
	s := open(t)
	const id = `('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid`
	const to = `case n % 5 when 0 then '+14155550100' else '+1415' || n end` // a fifth of all goes to one
	for _, sql := range []string{
		`insert into message (id, org, notification_id, origin, origin_key, record_id, object, contact_id, rule, template, language, purpose,
				channels, recipient, content, state, not_before, attempt_id, attempts, channel, created_at)
			select ` + id + `, 'o', case n % 2 when 0 then n::text else '' end, case n % 4 when 1 then 'human' when 3 then 'reply_rule' else 'rule' end,
				case n % 2 when 0 then '' else n::text end, '', '', '', 'r', 't', '', 'transactional', '{sms}', ` + to + `, '{}', 'delivered', now(), ` + id + `, 1, 'sms',
				now() - n * interval '1 minute' from generate_series(1, 20000) n`,
		`insert into attempt (id, message_id, number, org, sender, channel, address, state, started_at)
			select ` + id + `, ` + id + `, 1, 'o', 'default', 'sms', ` + to + `, 'delivered', now() - n * interval '1 minute' from generate_series(1, 20000) n`,
		`analyze message, attempt`,
	} {
		_, err := s.pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	talk := uuid.NewString()
	_, err := s.pool.Exec(t.Context(), `insert into conversation (id, org, sender, channel, address, last_inbound_at) values ($1, 'o', 'default', 'sms', '+14155550100', now())`, talk)
	require.NoError(t, err)
	for name, of := range map[string]struct{ plan, index string }{
		"the message that a reply answers": {
			s.plan(t, answered, "default", "sms", []string{"+14155550100"}, "SM1", time.Now(), clockSkew), `attempt_person[^\n]*\n\s*Index Cond: \(\(address = [^\n]* AND \(started_at `,
		},
		"a cap of the person": {
			s.plan(t, sentToPersons, []string{"c"}, []string{"+14155550100"}, []time.Duration{time.Hour}, []string{""}, []string{""}, []string{""}, []string{""}),
			`attempt_person[^\n]*\n\s*Index Cond: \(\(address = [^\n]* AND \(started_at `,
		},
		"how many answers a machine got": {
			s.plan(t, automaticAnswers, "+14155550100", "default", 6), `message_person[^\n]*\n\s*Index Cond: \(\(recipient = [^\n]* AND \(created_at `,
		},
		"what a conversation shows": {
			s.plan(t, turnsOf, talk, "+14155550100", "default", "sms", 50, nil), `Limit[^\n]*\n\s*->  Index Scan Backward using message_person`,
		},
		"what was written last": {s.plan(t, newestOf, talk), `message_human`},
	} {
		require.Regexp(t, of.index, of.plan, name)
		require.NotContains(t, of.plan, "Seq Scan on attempt", "%s: %s", name, of.plan)
		require.NotContains(t, of.plan, "Seq Scan on message", "%s: %s", name, of.plan)
	}
}
