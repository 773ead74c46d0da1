package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/migrations"
)

// shape describes the schema: what there is, and how it is made.
const shape = `select string_agg(line, e'\n' order by line) from (
	select format('column %s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default) as line
		from information_schema.columns where table_schema = 'public'
	union all select indexdef from pg_indexes where schemaname = 'public'
	union all select format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) from pg_constraint
		where connamespace = 'public'::regnamespace
	union all select format('trigger %s %s', tgname, pg_get_triggerdef(oid)) from pg_trigger where not tgisinternal
	union all select format('view %s %s', viewname, definition) from pg_views where schemaname = 'public'
	union all select pg_get_functiondef(oid) from pg_proc where pronamespace = 'public'::regnamespace) t
	where line not like '%goose_db_version%'`

// Each migration goes back to what the one before it left, and all of them forward again, also when people have been asked, have
// answered, and have left a question without an answer.
func TestMigrationsGoDownAndUp(t *testing.T) {
	t.Parallel()
	l := open(t)
	db := stdlib.OpenDBFromPool(l.db)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files())
	require.NoError(t, err)
	shapes := map[int64]string{}
	version := func() int64 {
		at, err := provider.GetDBVersion(t.Context())
		require.NoError(t, err)
		return at
	}
	newest := version()
	shapes[newest] = get[string](l, shape)
	l.everythingSaid()
	for at := newest; at > 0; at = version() {
		_, err := provider.Down(t.Context())
		require.NoError(t, err, "back from %d, with what people said", at)
		if at > 12 {
			require.NotZero(t, get[int](l, `select count(*) from message where origin = 'double_opt_in'`), "not of this one's business: %d", at)
		}
	}
	for at := int64(0); at < newest; at = version() {
		_, err := provider.UpByOne(t.Context())
		require.NoError(t, err, "forward from %d", at)
		shapes[version()] = get[string](l, shape)
	}
	for at := newest; at > 1; at = version() {
		require.Equal(t, lines(shapes[at]), lines(get[string](l, shape)), "%d", at)
		_, err := provider.Down(t.Context())
		require.NoError(t, err, "back from %d", at)
	}
	_, err = provider.Up(t.Context())
	require.NoError(t, err)
	require.Equal(t, lines(shapes[newest]), lines(get[string](l, shape)))
}

func lines(text string) []string { return strings.Split(text, "\n") }

// everythingSaid leaves a row in every table that a conversation reaches.
func (l *ledger) everythingSaid() {
	l.t.Helper()
	l.add(optIn("1", "news"))
	l.asks()
	l.asked("SM1")
	l.t.Helper()
	require.True(l.t, l.yes("IN1", 0).Confirmed)
	welcome := get[string](l, `select id::text from message where origin_key = 'yes/IN1'`)
	claimed := l.claimWith(sendOn(message.SMS), welcome).Claimed[0]
	l.record(outcome(claimed, message.Unknown, ""))
	_, err := l.ApplyStatus(l.t.Context(), []store.StatusEvent{{SID: "SM1", State: message.Delivered, Status: "delivered"}})
	require.NoError(l.t, err)
	l.hears(store.Reply{SID: "IN2", Body: "rate", Seq: 2})
	l.overdue(time.Minute)
	l.timeOut()
	l.exec(`update question set state = 'closed' where state = 'open'`)
	l.hears(store.Reply{SID: "IN3", Body: "rate", Seq: 3})
	l.exec(`update question set state = 'taken_over' where state = 'open'`)
	l.exec(`insert into cap_line (name, key, next_at) values ('c', '', now())`)
	l.exec(`insert into rule_opt_out (message_id, rule) select id, 'r' from message limit 1`)
	stop := plainNow("IN4", consent.OptOut)
	l.reply(stop)
}
