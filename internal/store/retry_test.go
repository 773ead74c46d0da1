package store_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

// Postgres ends one of two transactions that wait for each other: when it is ours, it is run again.
func TestDeadlockIsRunAgain(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.decide(ignore, envelope(1, note(1, 1, "F", "x")))
	other, err := l.db.Begin(t.Context())
	require.NoError(t, err)
	exec := func(sql string, args ...any) {
		t.Helper()
		_, err := other.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	exec(`set local deadlock_timeout = '10min'`) // the other one finds it, and ends
	exec(`select from record where id = $1 for update`, string(recordID(1)))

	ended := make(chan error, 1)
	runs := 0
	go func() {
		_, err := l.Decide(t.Context(), []store.Envelope{envelope(2, note(2, 1, "F", "y"))}, func(p store.Pending) store.Decided {
			runs++
			return ignore(p)
		})
		ended <- err
	}()
	require.Eventually(t, func() bool {
		return get[bool](l, `select exists (select from pg_stat_activity
			where datname = current_database() and application_name = 'beckon' and wait_event_type = 'Lock')`)
	}, 20*time.Second, time.Millisecond, "it waits for the record")
	exec(`insert into notification (org, id, object, record_id, action_id, received_at, stream_seq)
		select org, $1, object, record_id, action_id, received_at, stream_seq from notification where id = $2`,
		string(noteID(2)), string(noteID(1))) // returns only when ours was ended: it holds this key, and waits for the record
	require.Empty(t, ended, "it is being run again, and waits again")
	require.NoError(t, other.Rollback(t.Context()))
	require.NoError(t, <-ended)
	require.Equal(t, 1, runs)
	require.Equal(t, 2, get[int](l, `select count(*) from decision`))
}

// A transaction that lost is run again at once, a few times; then it is a matter of waiting, and nothing of it is stored.
func TestLostTransactionIsRunAgain(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"40001", "40P01"} {
		for losses, wins := range map[int]bool{1: true, 4: true, 5: false} {
			t.Run(fmt.Sprintf("%s %d times", code, losses), func(t *testing.T) {
				t.Parallel()
				l := open(t)
				l.exec(`create sequence tries`) // not part of a transaction
				l.exec(`create function lose() returns trigger language plpgsql as $$ begin
					if nextval('tries') <= ` + strconv.Itoa(losses) + ` then raise exception using errcode = '` + code + `', message = 'lost'; end if;
					return new; end $$`)
				l.exec(`create trigger lose before insert on message for each row execute function lose()`)
				one := func() error {
					_, err := l.Decide(t.Context(), []store.Envelope{envelope(1, note(1, 1))}, makes(func(p store.Pending) []store.NewMessage {
						return []store.NewMessage{draft(p, person)}
					}))
					return err
				}
				err := one()
				if wins {
					require.NoError(t, err)
				} else {
					require.True(t, store.Temporary(err), "%v", err)
					require.Zero(t, get[int](l, `select count(*) from notification`))
					require.NoError(t, one(), "later it works")
				}
				counts, err := l.CountMessages(t.Context())
				require.NoError(t, err)
				require.Equal(t, map[message.State]int{message.Queued: 1}, counts)
			})
		}
	}
}
