package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/pgtest"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/migrations"
)

func TestMigrateAtOnce(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	var wait sync.WaitGroup
	var mu sync.Mutex
	var applied []string
	for range 4 {
		wait.Go(func() {
			s, err := store.Open(t.Context(), dsn)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			names, err := s.Migrate(t.Context(), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			applied = append(applied, names...)
			mu.Unlock()
		})
	}
	wait.Wait()
	all, err := fs.Glob(migrations.Files(), "*.sql")
	require.NoError(t, err)
	require.Equal(t, all, applied, "one of them did, once")
}

func TestMigrateAgain(t *testing.T) {
	t.Parallel()
	l := open(t)
	names, err := l.Migrate(t.Context(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Empty(t, names)
	require.NoError(t, l.Ready(t.Context()))
}

func TestOpenHidesTheURL(t *testing.T) {
	t.Parallel()
	_, err := store.Open(t.Context(), "postgres://user:hunter2@:bad:port/")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
}

func TestReadOnlyServer(t *testing.T) {
	t.Parallel()
	l := open(t)
	separator := "?"
	if strings.Contains(l.dsn, "?") {
		separator = "&"
	}
	s, err := store.Open(t.Context(), l.dsn+separator+"default_transaction_read_only=on")
	require.NoError(t, err)
	defer s.Close()
	require.Error(t, s.Ready(t.Context()))
	_, err = s.Decide(t.Context(), []store.Envelope{envelope(1, note(1, 1))}, ignore)
	require.Error(t, err)
	require.True(t, store.Temporary(err), "%v", err)
}

func TestTemporaryWhenTheServerIsAway(t *testing.T) {
	t.Parallel()
	gone, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := gone.Addr().String()
	require.NoError(t, gone.Close())
	s, err := store.Open(t.Context(), "postgres://postgres@"+address+"/x?sslmode=disable")
	require.NoError(t, err, "it does not wait for the server")
	for _, call := range calls(s) {
		err = call(t.Context())
		require.Error(t, err)
		require.True(t, store.Temporary(err), "connection refused: %v", err)
	}
	require.Error(t, s.Ready(t.Context()))
	s.Close()
	for _, call := range calls(s) {
		require.True(t, store.Temporary(call(t.Context())), "closed")
	}
}

// calls are calls of every kind.
func calls(s *store.Store) []func(context.Context) error {
	return []func(context.Context) error{
		func(ctx context.Context) error {
			_, err := s.Decide(ctx, []store.Envelope{envelope(1, note(1, 1))}, ignore)
			return err
		},
		func(ctx context.Context) error {
			return s.Travelling(ctx, []store.BeltRef{{Org: org, ID: "x"}}, []uint64{1}, "")
		},
		func(ctx context.Context) error { return s.Record(ctx, []store.Outcome{{}}) },
		func(ctx context.Context) error { _, err := s.ApplyStatus(ctx, nil); return err },
		func(ctx context.Context) error { _, err := s.Sweep(ctx, 0, "", 1, nil); return err },
		func(ctx context.Context) error { _, err := s.DueLookups(ctx, 1, 0); return err },
		func(ctx context.Context) error { return s.Messages(ctx, store.MessageFilter{}, nil) },
	}
}

// TestTemporaryWhenCutOff ends the store's connections from the server's side, as a stop or a fail-over does.
func TestTemporaryWhenCutOff(t *testing.T) {
	t.Parallel()
	l := open(t)
	_, err := l.Decide(t.Context(), []store.Envelope{envelope(1, note(1, 1))}, func(p store.Pending) store.Decided {
		l.exec(`select pg_terminate_backend(pid) from pg_stat_activity
			where datname = current_database() and pid <> pg_backend_pid() and application_name = 'beckon'`)
		return ignore(p)
	})
	require.Error(t, err)
	require.True(t, store.Temporary(err), "%v", err)
	require.Zero(t, get[int](l, `select count(*) from notification`))
	require.Eventually(t, func() bool {
		_, err = l.Decide(t.Context(), []store.Envelope{envelope(1, note(1, 1))}, ignore)
		return err == nil
	}, 10*time.Second, time.Millisecond, "the pool heals")
}

func TestTemporary(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{
		"40001": true, "40P01": true, "25006": true, "25P03": true, "55P03": true, "08006": true, "53100": true, "53300": true, "57P01": true,
		"57P03": true, "58030": true, "22P02": false, "23505": false, "23514": false, "42P01": true, "42501": true, "XX000": true,
		"54000": false, "P0001": false,
	} {
		require.Equal(t, want, store.Temporary(fmt.Errorf("call: %w", &pgconn.PgError{Code: code})), code)
	}
	require.False(t, store.Temporary(nil))
	require.False(t, store.Temporary(errors.New("logic")))
	require.True(t, store.Temporary(fmt.Errorf("call: %w", context.DeadlineExceeded)))
}

func TestMessages(t *testing.T) {
	t.Parallel()
	l := open(t)
	ids := l.queue(person, "+14155550101", person)
	c := l.claimWith(sendOn(message.SMS), ids[1]).Claimed[0]
	l.record(outcome(c, message.Accepted, "SM1"))
	list := func(filter store.MessageFilter) []string {
		out := []string{}
		require.NoError(t, l.Messages(t.Context(), filter, func(m message.Message) error {
			out = append(out, m.ID)
			return nil
		}))
		return out
	}
	require.Equal(t, ids, list(store.MessageFilter{}), "oldest first")
	require.Equal(t, ids[:2], list(store.MessageFilter{Limit: 2}))
	require.Equal(t, []string{ids[0], ids[2]}, list(store.MessageFilter{To: person}))
	require.Equal(t, ids[1:2], list(store.MessageFilter{State: message.Accepted}))
	require.Equal(t, ids[1:2], list(store.MessageFilter{ID: ids[1]}))
	require.Equal(t, ids[1:2], list(store.MessageFilter{NotificationID: string(c.Message.NotificationID)}))
	require.Equal(t, ids[1:2], list(store.MessageFilter{RecordID: string(c.Message.RecordID)}))
	require.Empty(t, list(store.MessageFilter{ID: "what"}))
	require.Empty(t, list(store.MessageFilter{State: message.Queued, ID: ids[1]}))
	enough := errors.New("enough")
	require.ErrorIs(t, l.Messages(t.Context(), store.MessageFilter{}, func(message.Message) error { return enough }), enough)

	m := l.message(ids[1])
	require.Equal(t, "SM1", m.SID)
	require.Equal(t, 1, m.Attempts)
	require.Equal(t, message.SMS, m.Channel)
	require.Equal(t, "welcome", m.Rule)
	require.Equal(t, 1, m.Segments())
	require.Equal(t, org, m.Org)
	require.Equal(t, message.Transactional, m.Purpose)
	require.Equal(t, addr("+14155550101"), m.To)
	counts, err := l.CountMessages(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[message.State]int{message.Queued: 2, message.Accepted: 1}, counts)
}

func TestTrace(t *testing.T) {
	t.Parallel()
	l := open(t)
	result := l.decide(makes(func(p store.Pending) []store.NewMessage {
		return []store.NewMessage{draft(p, person), draft(p, "+14155550101")}
	}), envelope(1, note(1, 1, "F", "x")))
	l.decide(ignore, envelope(2, note(1, 1)), envelope(3, note(2, 1)))
	c := l.claimWith(sendOn(message.SMS), result.Belt[0].ID).Claimed[0]
	l.record(outcome(c, message.Accepted, "SM1"))
	l.apply(event(c, "SM1", message.Delivered))
	l.reply(store.Reply{SID: "IN1", Body: "thanks"})
	for id, want := range map[string]struct{ notifications, messages int }{
		string(noteID(1)): {1, 2}, string(recordID(1)): {2, 2}, c.Message.ID: {1, 1}, "SM1": {1, 2}, strings.ToUpper(c.Message.ID): {1, 1},
	} {
		trace, err := l.Trace(t.Context(), id)
		require.NoError(t, err, id)
		require.Len(t, trace.Notifications, want.notifications, id)
		require.Len(t, trace.Messages, want.messages, id)
		n := trace.Notifications[0]
		require.Equal(t, 1, n.Duplicates)
		require.Equal(t, notification.Matched, n.Outcome)
		require.Equal(t, "v1", n.RuleSet)
		require.Equal(t, int64(1), n.StreamSeq)
		for _, m := range trace.Messages {
			if m.ID != c.Message.ID {
				continue
			}
			require.Len(t, m.AttemptList, 1)
			require.Equal(t, "SM1", m.AttemptList[0].SID)
			require.Equal(t, message.Delivered, m.AttemptList[0].State)
			require.Len(t, m.Events, 1)
			require.Equal(t, "delivered", m.Events[0].Status)
			require.Len(t, m.Replies, 1)
			require.Equal(t, "thanks", m.Replies[0].Body)
		}
	}
	for _, id := range []string{"", "nothing", "01890000-0000-7000-8000-000000000000"} {
		_, err := l.Trace(t.Context(), id)
		require.ErrorIs(t, err, store.ErrNotFound)
	}
}
