package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
)

// Outcome is how an attempt ended, as far as the caller saw, and what becomes of its message.
type Outcome struct {
	MessageID string
	AttemptID string
	State     message.State // of the attempt: Accepted or later, Refused, Failed, Unknown, Absent, Canceled
	SID       string
	ErrorCode int
	Detail    string

	MessageState message.State // Accepted or later, Failed, Suppressed, Unknown, Queued
	Reason       message.Reason
	Try          bool          // a Queued message: the refusal counts against it
	RetryAfter   time.Duration // of a Queued message
	NextChannel  int           // index of the channel to try first, for a Queued message
	LookupAfter  time.Duration // of an Unknown attempt: when to look it up
	WindowClosed bool          // the refusal says that free text was sent outside the window
	Consent      *consent.Entry
}

// Record stores the outcomes of attempts in one transaction. An attempt that is no longer in sending or unknown (a status
// callback came first, or another process reconciled it) keeps its state and only learns its SID; its message is left alone.
// One that was thought absent and now has a SID did reach Twilio after all: it takes the state, and its message too unless
// that has another attempt by now. A message that would not be delivered by this outcome, and was by an earlier attempt, is delivered.
//
// An outcome whose SID belongs to another attempt says nothing about its own: it is left out, the others are stored, and the
// error is ErrSIDTaken.
func (s *Store) Record(ctx context.Context, outcomes []Outcome) error {
	if len(outcomes) == 0 {
		return nil
	}
	var taken error
	err := s.inTx(ctx, "record outcomes", func(tx pgx.Tx) error {
		var fitting []Outcome
		var late []StatusEvent
		if err := s.checkMark(ctx, tx); err != nil {
			return err
		}
		var err error
		fitting, late, taken, err = lockOutcomes(ctx, tx, outcomes)
		if err != nil || len(fitting) == 0 {
			return err
		}
		return writeOutcomes(ctx, tx, fitting, late)
	})
	if err == nil {
		err = taken
	}
	return err
}

// lockOutcomes locks the attempts, leaves out those outcomes whose SID is another attempt's, and makes an event of those
// whose attempt was thought absent.
func lockOutcomes(ctx context.Context, tx pgx.Tx, outcomes []Outcome) (fitting []Outcome, late []StatusEvent, taken, err error) {
	var ids, sids []string
	for _, o := range outcomes {
		ids, sids = append(ids, o.AttemptID), append(sids, o.SID)
	}
	owners, states := map[string]string{}, map[string]message.State{}
	rows, err := tx.Query(ctx, `select id::text, coalesce(sid, ''), state from attempt
		where id = any ($1::text[]::uuid[] || array(select id from attempt where sid = any ($2)))
		order by id for update`, ids, sids) // an array, not a join: see lockAttempts
	if err == nil {
		var id, sid, state string
		err = each(rows, []any{&id, &sid, &state}, func() error {
			owners[sid], states[id] = id, message.State(state)
			return nil
		})
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("lock attempts: %w", err)
	}
	for _, o := range outcomes {
		if o.SID != "" {
			if owner := owners[o.SID]; owner != "" && owner != o.AttemptID {
				taken = errors.Join(taken, fmt.Errorf("record the outcome of attempt %s: %w", o.AttemptID, ErrSIDTaken))
				continue
			}
			owners[o.SID] = o.AttemptID
			if states[o.AttemptID] == message.Absent {
				late = append(late, StatusEvent{SID: o.SID, State: o.State, ErrorCode: o.ErrorCode, AttemptID: o.AttemptID})
			}
		}
		fitting = append(fitting, o)
	}
	return fitting, late, taken, nil
}

func writeOutcomes(ctx context.Context, tx pgx.Tx, outcomes []Outcome, late []StatusEvent) error {
	var c outcomeColumns
	var entries []consent.Entry
	var denied []string
	for _, o := range outcomes {
		c.add(o)
		if o.WindowClosed {
			denied = append(denied, o.AttemptID)
		}
		if o.Consent != nil {
			entries = append(entries, *o.Consent)
		}
	}
	var p pipeline
	queueMessageLocks(&p, c.messages)
	queueEntries(&p, entries)
	queueDeniedWindows(&p, denied)
	c.queue(&p)
	events := late
	queueEarly(&p, c.sids, &events)
	if err := p.run(ctx, tx); err != nil || len(events) == 0 {
		return err
	}
	_, err := applyEvents(ctx, tx, events)
	return err
}

type outcomeColumns struct {
	messages, attempts, states, sids, details, messageStates, reasons []string
	codes, channels                                                   []int32
	retries, lookups                                                  []time.Duration
	tries                                                             []bool
}

func (c *outcomeColumns) add(o Outcome) {
	c.messages, c.attempts = append(c.messages, o.MessageID), append(c.attempts, o.AttemptID)
	c.states, c.sids = append(c.states, string(o.State)), append(c.sids, o.SID)
	c.details, c.codes = append(c.details, clean(o.Detail)), append(c.codes, int32(o.ErrorCode))
	c.messageStates, c.reasons = append(c.messageStates, string(o.MessageState)), append(c.reasons, string(o.Reason))
	c.channels = append(c.channels, int32(o.NextChannel))
	c.retries, c.lookups = append(c.retries, o.RetryAfter), append(c.lookups, o.LookupAfter)
	c.tries = append(c.tries, o.Try)
}

func (c *outcomeColumns) queue(p *pipeline) {
	// Messages first: whether an outcome counts is read from the attempt before it changes.
	p.exec(`with u as (
			select u.message_id, u.attempt_id, coalesce(arrived.state, u.state) as state,
				case when arrived.state is null then u.reason else '' end as reason, u.error_code, u.next_channel, u.retry, u.detail, u.try
			from unnest($1::text[]::uuid[], $2::text[]::uuid[], $3::text[], $4::text[], $5::integer[], $6::integer[],
				$7::interval[], $8::text[], $9::boolean[])
				u (message_id, attempt_id, state, reason, error_code, next_channel, retry, detail, try)
			left join lateral (select o.state from attempt o where o.message_id = u.message_id and o.state in ('delivered', 'read')
				order by state_rank(o.state) desc limit 1) arrived on u.state in ('queued', 'failed', 'suppressed', 'expired')
		), moved as (
			update message m set state = u.state, reason = u.reason, error_code = u.error_code, detail = u.detail,
				next_channel = case when u.state = 'queued' then u.next_channel else m.next_channel end,
				not_before = case when u.state = 'queued' then now() + u.retry else m.not_before end,
				tries = m.tries + u.try::integer, updated_at = now()
			from u join attempt a on a.id = u.attempt_id
			where m.id = u.message_id and m.attempt_id = u.attempt_id and a.state in ('sending', 'unknown')
				and m.state in ('sending', 'unknown')
			returning m.id, m.org, m.sender, m.recipient, m.state, m.not_before)
		insert into belt (message_id, org, sender, recipient, due_at, seq) select id, org, sender, recipient, not_before, 0 from moved where state = 'queued'
		on conflict do nothing`,
		c.messages, c.attempts, c.messageStates, c.reasons, c.codes, c.channels, c.retries, c.details, c.tries)
	p.exec(`update attempt a set sid = coalesce(a.sid, nullif(u.sid, '')),
			state = case when a.state in ('sending', 'unknown') then u.state else a.state end,
			error_code = case when a.state in ('sending', 'unknown') then u.error_code else a.error_code end,
			detail = case when a.state in ('sending', 'unknown') then u.detail else a.detail end, updated_at = now()
		from unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::text[]) u (id, state, sid, error_code, detail)
		where a.id = u.id::uuid`, c.attempts, c.states, c.sids, c.codes, c.details)
	p.exec(`delete from live_attempt l using attempt a
		where a.id = l.attempt_id and l.attempt_id = any ($1::text[]::uuid[]) and a.state not in ('sending', 'unknown')`, c.attempts)
	p.exec(`update live_attempt l set phase = 'unknown', lookup_at = greatest(l.lease_until, now()) + u.lookup
		from unnest($1::text[], $2::text[], $3::interval[]) u (id, state, lookup)
		where l.attempt_id = u.id::uuid and u.state = 'unknown'`, c.attempts, c.states, c.lookups)
}

// queueEarly reads the events that came before their SID was known and named no attempt.
func queueEarly(p *pipeline, sids []string, early *[]StatusEvent) {
	p.query(`select sid, status, state, error_code, received_at, fallback, opt_out, again, retries, doubles, window_closed
		from delivery_event
		where sid = any ($1) and attempt_id is null order by id`,
		func(rows pgx.Rows) error {
			var e StatusEvent
			targets := []any{&e.SID, &e.Status, (*string)(&e.State), &e.ErrorCode, &e.Received, &e.Fallback, (*string)(&e.OptOut), &e.Again, &e.Retries, &e.Doubles, &e.WindowClosed}
			return each(rows, targets, func() error {
				*early = append(*early, e)
				return nil
			})
		}, sids)
}
