package store

import (
	"context"
	"fmt"
	"time"
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

// Retain takes the content out of at most limit rows of each table of a kind that are older than keep, skipping those in other hands,
// and returns how many it were. Fewer than limit: there are no more.
func (s *Store) Retain(ctx context.Context, kind RetentionKind, keep time.Duration, limit int) (int, error) {
	const old = `with old as materialized (select ctid from %s where %s < now() - $1::interval and %s limit $2 for update skip locked) `
	statements := map[RetentionKind]string{
		RetainContents: fmt.Sprintf(old, "message", "created_at",
			`content <> '{}' and state in ('delivered', 'read', 'undelivered', 'failed', 'suppressed', 'expired')
				and updated_at < now() - $1::interval`) +
			`update message t set content = '{}', hours = null from old where t.ctid = old.ctid`,
		RetainReplies: fmt.Sprintf(old, "inbound", "received_at", `(body <> '' or media <> '[]' or button <> '')`) +
			`, posted as (update webhook w set body = '', error = case state when 'queued' then 'too old' else error end,
				state = case state when 'queued' then 'failed' else state end, updated_at = now()
				from inbound i join old on i.ctid = old.ctid where w.sid = i.sid), reviewed as (update review r set text = ''
				from inbound i join old on i.ctid = old.ctid where r.inbound_sid = i.sid and r.decided_at is not null) ` +
			`update inbound t set body = '', media = '[]', button = '' from old where t.ctid = old.ctid`,
		RetainSnapshots: fmt.Sprintf(old, "record", "updated_at", `fields is not null`) +
			`update record t set fields = null from old where t.ctid = old.ctid`,
		RetainDecisions: fmt.Sprintf(old, "decision", "decided_at", `detail ?| array['previous', 'previous_used']`) +
			`update decision t set detail = detail - 'previous' - 'previous_used' from old where t.ctid = old.ctid`,
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	tag, err := s.pool.Exec(ctx, statements[kind], keep, limit)
	if err != nil {
		return 0, fmt.Errorf("keep the retention of %s: %w", kind, err)
	}
	n := int(tag.RowsAffected())
	if n >= limit {
		return n, nil
	}
	// A second table has its turn in the same round: on a busy day the first one always has something.
	more := 0
	switch kind {
	case RetainDecisions:
		err = s.pool.QueryRow(ctx, `select retain_replayed($1, $2)`, keep, limit).Scan(&more)
	case RetainReplies:
		tag, err = s.pool.Exec(ctx, fmt.Sprintf(old, "webhook", "created_at", `sid like 'timeout/%' and body <> ''`)+
			`update webhook t set body = '', error = case state when 'queued' then 'too old' else error end,
				state = case state when 'queued' then 'failed' else state end, updated_at = now() from old where t.ctid = old.ctid`, keep, limit)
		more = int(tag.RowsAffected())
	case RetainContents, RetainSnapshots:
	}
	if err != nil {
		return n, fmt.Errorf("keep the retention of %s in the second table: %w", kind, err)
	}
	return n + more, nil
}
