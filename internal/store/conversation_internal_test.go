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

// A page of a listing costs what it shows: its rows are read in their order from an index, and never sorted.
func TestConversationsAreListedByAnIndex(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), pgtest.DSN(t))
	require.NoError(t, err)
	t.Cleanup(s.Close)
	_, err = s.Migrate(t.Context(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	_, err = s.pool.Exec(t.Context(), `insert into conversation (id, org, sender, channel, address, last_inbound_at, assigned_to, marked_at)
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
		rows, err := s.pool.Query(t.Context(), `explain select c.id from conversation c`+where, args)
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		plan := strings.Join(lines, "\n")
		require.Contains(t, plan, test.index, plan)
		require.NotContains(t, plan, "Seq Scan on conversation", plan)
		if test.filter.Limit > 0 {
			require.NotContains(t, plan, "Sort", plan)
		}
	}
}
