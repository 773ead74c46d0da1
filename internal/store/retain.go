package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// RetentionKind is a kind of data with a time of its own.
type RetentionKind string

// The kinds. Rows stay, so that counts and states stay true; what people wrote and what fields said goes.
const (
	RetainContents  RetentionKind = "contents"  // of messages that are in a final state: their texts, the places of quiet hours
	RetainReplies   RetentionKind = "replies"   // texts, media and buttons of replies, in reviews and webhooks too; a webhook not delivered by then is given up
	RetainSnapshots RetentionKind = "snapshots" // last-seen copies of records that did not change since
	RetainDecisions RetentionKind = "decisions" // the previous values that decisions keep, those made again by replays too
)

// RetentionKinds are all kinds.
func RetentionKinds() []RetentionKind {
	return []RetentionKind{RetainContents, RetainReplies, RetainSnapshots, RetainDecisions}
}

// Retain takes the content out of all rows of a kind that are older than keep, in statements that change at most limit rows and read no
// table whole, and returns how many it were. Rows in other hands are skipped: the next call takes them. It goes on where the last one
// ended, in whichever process that was.
func (s *Store) Retain(ctx context.Context, kind RetentionKind, keep time.Duration, limit int) (n int, err error) {
	step := retainStep{store: s, keep: keep, limit: limit}
	switch kind {
	case RetainContents:
		return step.byAge(ctx, contentsByAge())
	case RetainSnapshots:
		return step.snapshots(ctx)
	case RetainReplies:
		n, err = step.byAge(ctx, repliesByAge())
		if err != nil {
			return n, err
		}
		more, err := step.repeat(ctx, retainTimedOut)
		return n + more, err
	case RetainDecisions:
		n, err = step.byAge(ctx, decisionsByAge())
		if err != nil {
			return n, err
		}
		more, err := step.repeat(ctx, `select retain_replayed($1, $2)`)
		return n + more, err
	}
	return 0, nil
}

// aged is a table whose rows come in the order of a time, and have an index of it that is small and coarse (BRIN).
type aged struct {
	table, column string
	holds         string // a condition: the row has content
	ended         string // a condition: it may go; $2 is keep
	take          string // takes the content of the rows in old out, the rest of a statement
}

func contentsByAge() aged {
	return aged{
		table: "message", column: "created_at", holds: `content <> '{}'`,
		ended: `state in ('delivered', 'read', 'undelivered', 'failed', 'suppressed', 'expired') and updated_at < now() - $2::interval`,
		take:  `update message t set content = '{}', hours = null from old where t.ctid = old.ctid`,
	}
}

func repliesByAge() aged {
	return aged{
		table: "inbound", column: "received_at", holds: `(body <> '' or media <> '[]' or button <> '')`, ended: `$2::interval is not null`,
		take: `, posted as (update webhook w set body = '', error = case state when 'queued' then 'too old' else error end,
				state = case state when 'queued' then 'failed' else state end, updated_at = now()
				from inbound i join old on i.ctid = old.ctid where w.sid = i.sid), reviewed as (update review r set text = ''
				from inbound i join old on i.ctid = old.ctid where r.inbound_sid = i.sid and r.decided_at is not null)
			update inbound t set body = '', media = '[]', button = '' from old where t.ctid = old.ctid`,
	}
}

func decisionsByAge() aged {
	return aged{
		table: "decision", column: "decided_at", holds: `detail ?| array['previous', 'previous_used']`, ended: `$2::interval is not null`,
		take: `update decision t set detail = detail - 'previous' - 'previous_used' from old where t.ctid = old.ctid`,
	}
}

// retainTimedOut is for the webhooks of questions that got no answer: no reply leads to them.
const retainTimedOut = `with old as materialized (select ctid from webhook where created_at < now() - $1::interval and sid like 'timeout/%' and body <> ''
		limit $2 for update skip locked),
	done as (update webhook t set body = '', error = case state when 'queued' then 'too old' else error end,
		state = case state when 'queued' then 'failed' else state end, updated_at = now() from old where t.ctid = old.ctid returning 1)
	select count(*) from done`

// retainStep is one pass over the tables of a kind.
type retainStep struct {
	store *Store
	keep  time.Duration
	limit int
}

// one bounds a statement of a pass.
func (r *retainStep) one(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := do(ctx); err != nil {
		return fmt.Errorf("keep the retention: %w", err)
	}
	return nil
}

// repeat calls a statement that takes keep and a limit until it has less to do than the limit.
func (r *retainStep) repeat(ctx context.Context, statement string) (n int, err error) {
	for {
		var more int
		err := r.one(ctx, func(ctx context.Context) error {
			return r.store.pool.QueryRow(ctx, statement, r.keep, r.limit).Scan(&more)
		})
		if n += more; err != nil || more < r.limit {
			return n, err
		}
	}
}

const (
	// retainLate is how late a row with an old time may come: a reply whose webhook was lost waits as long as streams keep messages.
	retainLate = 7 * 24 * time.Hour
	// retainWindow and retainPart are the times whose rows are read together, and of which a statement takes some.
	retainWindow, retainPart = 24 * time.Hour, time.Hour
)

// retainFrom is where the first pass over a table begins: no ledger is older.
func retainFrom() time.Time { return time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) }

// byAge goes through a table from where the last pass found something left, a day at a time: the index leads to its pages, and what was
// cleaned before is not read again and again.
func (r *retainStep) byAge(ctx context.Context, a aged) (n int, err error) {
	mark := "retained." + a.table
	var from, until time.Time
	err = r.one(ctx, func(ctx context.Context) error {
		return r.store.pool.QueryRow(ctx, `select coalesce((select at - $2::interval from mark where name = $1), $3), now() - $4::interval`,
			mark, retainLate, retainFrom(), r.keep).Scan(&from, &until)
	})
	if err != nil {
		return 0, err
	}
	clean, rest := from, false
	for at := from; at.Before(until) && err == nil; at = at.Add(retainWindow) {
		end := earlier(at.Add(retainWindow), until)
		var more int
		var left bool
		more, left, err = r.window(ctx, a, at, end)
		n, rest = n+more, rest || left
		if err == nil && !rest {
			clean = end
		}
	}
	saved := r.one(ctx, func(ctx context.Context) error {
		_, err := r.store.pool.Exec(ctx, `insert into mark as m (name, at) values ($1, $2) on conflict (name) do update set at = greatest(m.at, $2)`, mark, clean)
		return err
	})
	if err == nil {
		err = saved
	}
	return n, err
}

func earlier(x, y time.Time) time.Time {
	if y.Before(x) {
		return y
	}
	return x
}

// window takes the content out of the rows of a time, and tells whether any has content still.
func (r *retainStep) window(ctx context.Context, a aged, from, until time.Time) (n int, left bool, err error) {
	var parts []time.Time
	within := fmt.Sprintf(`%s where %s >= $1 and %s < $%%d and %s`, a.table, a.column, a.column, a.holds)
	err = r.one(ctx, func(ctx context.Context) error {
		rows, err := r.store.pool.Query(ctx, fmt.Sprintf(`select distinct date_bin($4::interval, `+a.column+`, $1) from `+within+` and `+a.ended+` order by 1`, 3),
			from, r.keep, until, retainPart)
		if err == nil {
			parts, err = pgx.CollectRows(rows, pgx.RowTo[time.Time])
		}
		return err
	})
	statement := fmt.Sprintf(`with old as materialized (select ctid from `+within+` and `+a.ended+` limit $4 for update skip locked) `+a.take, 3)
	for _, part := range parts {
		for more := r.limit; more >= r.limit && err == nil; n += more {
			err = r.one(ctx, func(ctx context.Context) error {
				tag, err := r.store.pool.Exec(ctx, statement, part, r.keep, earlier(part.Add(retainPart), until), r.limit)
				more = int(tag.RowsAffected())
				return err
			})
		}
	}
	if err != nil {
		return n, true, err
	}
	err = r.one(ctx, func(ctx context.Context) error {
		return r.store.pool.QueryRow(ctx, fmt.Sprintf(`select exists (select from `+within+`)`, 2), from, until).Scan(&left)
	})
	return n, left, err
}

// snapshots goes through all records by their key, some at a time: each change of a record is a new time, so that no index of it would be
// cheap.
func (r *retainStep) snapshots(ctx context.Context) (n int, err error) {
	org, id := "", ""
	for {
		var looked, took int
		err := r.one(ctx, func(ctx context.Context) error {
			return r.store.pool.QueryRow(ctx, `with page as materialized (
					select org, id, updated_at < now() - $1::interval and fields is not null as old from record where (org, id) > ($2, $3)
					order by org, id limit $4),
				held as materialized (select r.ctid from page p join record r on r.org = p.org and r.id = p.id
					where p.old and r.updated_at < now() - $1::interval and r.fields is not null for update of r skip locked),
				done as (update record t set fields = null from held where t.ctid = held.ctid returning 1),
				last as (select org, id from page order by org desc, id desc limit 1)
				select (select count(*) from page), (select count(*) from done), coalesce((select org from last), ''), coalesce((select id from last), '')`,
				r.keep, org, id, r.limit).Scan(&looked, &took, &org, &id)
		})
		if n += took; err != nil || looked < r.limit {
			return n, err
		}
	}
}
