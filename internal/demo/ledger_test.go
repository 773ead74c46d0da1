package demo_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/embedded"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

const (
	carla = address.Address("+14155550103")
	fay   = address.Address("+14155550106")
)

// lookAtLedger checks, in the ledger of the demo that runs below dir, what the story says of consent, hours and answers.
func lookAtLedger(t *testing.T, dir string) {
	t.Helper()
	data, err := filepath.Glob(filepath.Join(dir, "beckon-demo-*", "data"))
	require.NoError(t, err)
	require.Len(t, data, 1)
	at, err := embedded.ReadAddresses(data[0])
	require.NoError(t, err)
	ledger, err := store.Open(t.Context(), at.DatabaseURL)
	require.NoError(t, err)
	defer ledger.Close()
	optedOutInSpanish(t, ledger)
	waitsForMorning(t, ledger)
	surveyed(t, ledger, at.DatabaseURL)
}

func messages(t *testing.T, ledger *store.Store, to address.Address) []message.Message {
	t.Helper()
	var list []message.Message
	require.NoError(t, ledger.Messages(t.Context(), store.MessageFilter{To: to}, func(m message.Message) error {
		list = append(list, m)
		return nil
	}))
	return list
}

func optedOutInSpanish(t *testing.T, ledger *store.Store) {
	t.Helper()
	entries, err := ledger.ConsentHistory(t.Context(), carla)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	said := entries[0]
	require.Equal(t, consent.OptOut, said.Action)
	require.Equal(t, consent.AllChannels, said.Channel)
	require.Equal(t, consent.FromKeyword, said.Source)
	require.Regexp(t, `^Por favor, no me manden más mensajes\. \[es: no me \S*manden\S* mas`, said.Note)

	list := messages(t, ledger, carla)
	require.Len(t, list, 3, "the welcome, one confirmation, and what was not sent")
	confirmed, kept := list[1], list[2]
	require.Equal(t, message.OriginCompliance, confirmed.Origin)
	require.Equal(t, said.Evidence, confirmed.OriginKey, "it answers her very words")
	require.Equal(t, message.WhatsApp, confirmed.Channel)
	require.Equal(t, "es", confirmed.Language)
	require.Equal(t, message.Read, confirmed.State)
	require.Equal(t, message.Suppressed, kept.State)
	require.Equal(t, message.ReasonOptedOut, kept.Reason)
	require.Zero(t, kept.Attempts)
}

func waitsForMorning(t *testing.T, ledger *store.Store) {
	t.Helper()
	var list []message.Message
	require.NoError(t, ledger.Messages(t.Context(), store.MessageFilter{State: message.Queued}, func(m message.Message) error {
		list = append(list, m)
		return nil
	}))
	require.Len(t, list, 1)
	require.Equal(t, message.Queued, list[0].State)
	require.Equal(t, message.ReasonQuietHours, list[0].Reason)
	require.Zero(t, list[0].Attempts)
}

func surveyed(t *testing.T, ledger *store.Store, databaseURL string) {
	t.Helper()
	var said []string
	for _, m := range messages(t, ledger, fay) {
		require.Equal(t, message.Read, m.State)
		said = append(said, string(m.Origin)+" "+m.Rule)
	}
	require.Equal(t, []string{"rule case-closed", "reply_rule case-rated-low", "reply_rule rating-reason-given", "human "}, said)

	var talks []store.Conversation
	require.NoError(t, ledger.Conversations(t.Context(), store.ConversationFilter{With: fay}, func(c store.Conversation) error {
		talks = append(talks, c)
		return nil
	}))
	require.Len(t, talks, 1)
	require.Equal(t, "lee", talks[0].AssignedTo)
	require.Greater(t, time.Until(talks[0].PausedUntil), 3*time.Hour)
	require.True(t, talks[0].MarkedAt.IsZero(), "who answers takes the mark away")

	db, err := pgx.Connect(t.Context(), databaseURL)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close(t.Context())) }()
	var state, answer string
	require.NoError(t, db.QueryRow(t.Context(), `select state, answer from question`).Scan(&state, &answer))
	require.Equal(t, "answered price", state+" "+answer)
	rows, err := db.Query(t.Context(), `select i.body || ' ' || w.state || ' ' || w.tries from webhook w join inbound i on i.sid = w.sid order by w.id`)
	require.NoError(t, err)
	posted, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{"2 delivered 1", "Price delivered 1"}, posted)
}
