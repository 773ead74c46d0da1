package store_test

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/pgtest"
	"github.com/beckonhq/beckon/internal/store"
)

// demoted opens a store whose connections, several of them, lead to a server that takes no writes, while new ones lead to one
// that does: so it is for a while when an address or a proxy leads to another server after a fail-over.
func demoted(t *testing.T, l *ledger) *store.Store {
	t.Helper()
	l.queue(person)
	set := func(value string) {
		l.exec(`do $$ begin execute format('alter database %I set default_transaction_read_only = ` + value + `', current_database()); end $$`)
	}
	set("on")
	s, err := store.Open(t.Context(), l.dsn)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	const connections = 6
	var inUse, readers sync.WaitGroup
	inUse.Add(connections)
	for range connections {
		readers.Go(func() {
			err := s.Messages(t.Context(), store.MessageFilter{}, func(message.Message) error {
				inUse.Done()
				inUse.Wait() // all at once
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	readers.Wait()
	set("off")
	return s
}

func TestPoolLeavesADemotedServer(t *testing.T) {
	t.Parallel()
	for name, notice := range map[string]func(context.Context, *store.Store) error{
		"by a transaction": func(ctx context.Context, s *store.Store) error {
			_, err := s.Decide(ctx, []store.Envelope{envelope(9, note(9, 9))}, ignore)
			return err
		},
		"by a statement": func(ctx context.Context, s *store.Store) error {
			return s.NoteAbsence(ctx, "00000000-0000-0000-0000-000000000000", time.Second)
		},
		"by readiness": func(ctx context.Context, s *store.Store) error { return s.Ready(ctx) },
		"by reading consent": func(ctx context.Context, s *store.Store) error {
			_, err := s.Consent(ctx, []address.Address{person})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := demoted(t, open(t))
			err := notice(t.Context(), s)
			require.ErrorContains(t, err, "read-only")
			require.True(t, store.Temporary(err))
			for range 6 {
				require.NoError(t, notice(t.Context(), s), "one refusal is enough")
			}
		})
	}
}

// A standby that lags may not know of an opt-out: consent is not read from it.
func TestConsentIsNotReadFromAStandby(t *testing.T) {
	t.Parallel()
	pair := pgtest.NewPair(t)
	primary, err := store.Open(t.Context(), pair.DSN())
	require.NoError(t, err)
	t.Cleanup(primary.Close)
	_, err = primary.Migrate(t.Context(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	standby, err := store.Open(t.Context(), pair.Standby.DSN())
	require.NoError(t, err)
	t.Cleanup(standby.Close)
	require.Eventually(t, func() bool { // what is confirmed is stored there, and seen a little later
		schema, err := standby.Schema(t.Context())
		return err == nil && schema.Applied == schema.Newest
	}, 20*time.Second, 10*time.Millisecond)
	_, err = standby.CountMessages(t.Context())
	require.NoError(t, err, "lists may be read there")
	_, err = standby.Consent(t.Context(), []address.Address{person})
	require.ErrorContains(t, err, "read-only standby")
	require.ErrorContains(t, standby.Ready(t.Context()), "read-only standby")
	_, err = standby.Decide(t.Context(), []store.Envelope{envelope(1, note(1, 1))}, ignore)
	require.ErrorContains(t, err, "25006")
	require.True(t, store.Temporary(err))
}

// The primary is killed while envelopes are decided, and its standby promoted: the store finds it by itself, what it said was
// decided is there, and nothing is decided twice.
func TestFailover(t *testing.T) {
	t.Parallel()
	pair := pgtest.NewPair(t)
	s, err := store.Open(t.Context(), swapHosts(pair.DSN()))
	require.NoError(t, err)
	t.Cleanup(s.Close)
	_, err = s.Migrate(t.Context(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, s.Ready(t.Context()), "the first host is the standby: the second one is taken")

	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	var decided, waits, next atomic.Int64
	for range 6 {
		work.Go(func() {
			for ctx.Err() == nil {
				n := int(next.Add(1))
				for ctx.Err() == nil {
					result, err := s.Decide(ctx, []store.Envelope{envelope(uint64(n), note(n, n, "F", strconv.Itoa(n)))}, makes(func(p store.Pending) []store.NewMessage {
						return []store.NewMessage{draft(p, person)}
					}))
					if err == nil {
						decided.Add(1)
						if len(result.Belt) != 1 {
							t.Errorf("notification %d has %d messages on the belt", n, len(result.Belt))
						}
						break
					}
					if ctx.Err() == nil && !store.Temporary(err) {
						t.Errorf("not temporary: %v", err)
						return
					}
					waits.Add(1)
					<-time.After(10 * time.Millisecond)
				}
			}
		})
	}
	await := func(more int64) {
		t.Helper()
		before := decided.Load()
		require.Eventually(t, func() bool { return decided.Load() >= before+more }, 50*time.Second, 5*time.Millisecond)
	}
	await(50)
	pair.Primary.Kill(t)
	require.Eventually(t, func() bool { return waits.Load() > 12 }, 50*time.Second, 5*time.Millisecond)
	require.Eventually(t, func() bool {
		err := s.Ready(t.Context())
		return err != nil && strings.Contains(err.Error(), "no Postgres server takes writes")
	}, 50*time.Second, 5*time.Millisecond, "readiness says why")
	pair.Promote(t)
	await(50)
	cancel()
	work.Wait()
	require.NoError(t, s.Ready(t.Context()))
	counts, err := s.CountMessages(t.Context())
	require.NoError(t, err)
	most := int(next.Load())
	require.GreaterOrEqual(t, counts[message.Queued], int(decided.Load()), "nothing that was decided is lost")
	require.LessOrEqual(t, counts[message.Queued], most, "nothing is decided twice")
	t.Logf("%d decided, %d tries failed", decided.Load(), waits.Load())
}

// swapHosts puts the standby first.
func swapHosts(dsn string) string {
	before, rest, _ := strings.Cut(dsn, "host=")
	hosts, after, _ := strings.Cut(rest, "&")
	first, second, _ := strings.Cut(hosts, "%2C")
	return before + "host=" + second + "%2C" + first + "&" + after
}
