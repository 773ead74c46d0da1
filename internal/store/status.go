package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
)

// StatusEvent is one delivery status that Twilio reported. MessageID and AttemptID are what the callback's URL carried;
// they may be empty. State is Status in our words.
type StatusEvent struct {
	SID       string
	Status    string
	State     message.State
	ErrorCode int
	MessageID string
	AttemptID string
	Received  time.Time
	Fallback  bool // a failure after which the next channel may be tried
	// WindowClosed is a failure that says that free text was sent outside the window: its template may be tried.
	WindowClosed bool
	OptOut       consent.Source  // not empty: the code says that the person opted out of this channel
	To           address.Address // the person, as the callback says; may be empty
	Channel      message.Channel // of To

	Again   time.Duration // a failure after which the same channel may be tried again, after this wait; 0: it may not
	Doubles bool          // the wait doubles with each try
	Retries int           // at most so many tries again
}

// ApplyStatus keeps every event and moves the states of the attempts and messages forward, in one transaction. An event
// whose attempt is not known yet is kept and applied when Record stores its SID. It returns the states that messages moved to.
func (s *Store) ApplyStatus(ctx context.Context, events []StatusEvent) ([]message.State, error) {
	var moved []message.State
	err := s.inTx(ctx, "apply delivery statuses", func(tx pgx.Tx) error {
		if err := s.checkMark(ctx, tx); err != nil {
			return err
		}
		if err := keepEvents(ctx, tx, events); err != nil {
			return err
		}
		var err error
		moved, err = applyEvents(ctx, tx, events)
		return err
	})
	return moved, err
}

func keepEvents(ctx context.Context, tx pgx.Tx, events []StatusEvent) error {
	var sids, statuses, states, messages, attempts []string
	var codes []int32
	var fallbacks []bool
	var optOuts []string
	var received []time.Time
	var waits []time.Duration
	var retries []int32
	var doubles, closed []bool
	for _, e := range events {
		waits, retries, doubles = append(waits, e.Again), append(retries, int32(e.Retries)), append(doubles, e.Doubles)
		closed = append(closed, e.WindowClosed)
		fallbacks, optOuts = append(fallbacks, e.Fallback), append(optOuts, string(e.OptOut))
		sids, statuses, states = append(sids, e.SID), append(statuses, e.Status), append(states, string(e.State))
		messages, attempts = append(messages, e.MessageID), append(attempts, e.AttemptID)
		codes, received = append(codes, int32(e.ErrorCode)), append(received, e.Received)
	}
	_, err := tx.Exec(ctx, `insert into delivery_event
			(sid, status, state, error_code, message_id, attempt_id, received_at, fallback, opt_out, again, retries, doubles, window_closed)
		select sid, status, state, error_code, nullif(message_id, '')::uuid, nullif(attempt_id, '')::uuid, received_at, fallback, opt_out,
			again, retries, doubles, window_closed
		from unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::timestamptz[], $8::boolean[], $9::text[],
			$10::interval[], $11::integer[], $12::boolean[], $13::boolean[])
			u (sid, status, state, error_code, message_id, attempt_id, received_at, fallback, opt_out, again, retries, doubles, window_closed)
		order by sid, status, error_code on conflict do nothing`,
		sids, statuses, states, codes, messages, attempts, received, fallbacks, optOuts, waits, retries, doubles, closed)
	if err != nil {
		return fmt.Errorf("keep delivery events: %w", err)
	}
	return nil
}

func applyEvents(ctx context.Context, tx pgx.Tx, events []StatusEvent) ([]message.State, error) {
	rows, err := lockAttempts(ctx, tx, events)
	if err != nil {
		return nil, err
	}
	bySID, byID := map[string]*attemptRow{}, map[string]*attemptRow{}
	for _, row := range rows {
		byID[row.id] = row
		if row.sid != "" {
			bySID[row.sid] = row
		}
	}
	if events, err = withEarly(ctx, tx, byID, events); err != nil {
		return nil, err
	}
	var p pipeline
	var moved []message.State
	var entries []consent.Entry
	var denied []string
	for _, e := range events {
		row := bySID[e.SID]
		if candidate := byID[e.AttemptID]; row == nil && candidate != nil && candidate.sid == "" {
			row, bySID[e.SID] = candidate, candidate
		}
		if entry, says := e.entry(row); says {
			entries = append(entries, entry)
		}
		if row == nil {
			continue
		}
		if e.WindowClosed {
			denied = append(denied, row.id)
		}
		if state, ok := row.apply(e); ok {
			moved = append(moved, state)
		}
	}
	queueEntries(&p, entries)
	queueDeniedWindows(&p, denied)
	queueAttemptRows(&p, rows)
	if err := p.run(ctx, tx); err != nil {
		return nil, fmt.Errorf("write delivery statuses: %w", err)
	}
	return moved, nil
}

// withEarly adds the events that came before the SID was known and named no attempt, for the attempts that learn their SID from
// these events rather than from the answer to the call.
func withEarly(ctx context.Context, tx pgx.Tx, byID map[string]*attemptRow, events []StatusEvent) ([]StatusEvent, error) {
	var learned []string
	for _, e := range events {
		if row := byID[e.AttemptID]; row != nil && row.sid == "" {
			learned = append(learned, e.SID)
		}
	}
	if len(learned) == 0 {
		return events, nil
	}
	var p pipeline
	all := slices.Clone(events)
	queueEarly(&p, learned, &all)
	if err := p.run(ctx, tx); err != nil {
		return nil, fmt.Errorf("read early delivery statuses: %w", err)
	}
	return all, nil
}

// entry is the opt-out that an event tells of. It counts for the address that the callback names although its attempt is not
// known.
func (e StatusEvent) entry(row *attemptRow) (consent.Entry, bool) {
	entry := consent.Entry{
		Org: consent.AnyOrg, Address: e.To, Channel: e.Channel, Action: consent.OptOut, Source: e.OptOut,
		Evidence: e.SID, Note: fmt.Sprintf("error %d", e.ErrorCode), OccurredAt: e.Received,
	}
	if row != nil {
		entry.Org, entry.Address, entry.Channel = row.message.org, row.address, row.channel
	}
	return entry, e.OptOut != "" && entry.Address != "" && entry.Channel != ""
}

// lockAttempts locks the attempts that the events are about and then their messages, each in the order of the ids.
func lockAttempts(ctx context.Context, tx pgx.Tx, events []StatusEvent) ([]*attemptRow, error) {
	var sids, ids []string
	for _, e := range events {
		sids = append(sids, e.SID)
		if e.AttemptID != "" {
			ids = append(ids, e.AttemptID)
		}
	}
	// An array, not a join: Postgres leaves a joined row out when it had to wait for its lock and the row has changed meanwhile.
	rows, err := tx.Query(ctx, `select id::text, message_id::text from attempt
		where id = any (array(select id from attempt where sid = any ($1)) || $2::text[]::uuid[])
		order by id for update`, sids, ids)
	var attempts, messages []string
	if err == nil {
		var id, messageID string
		err = each(rows, []any{&id, &messageID}, func() error {
			attempts, messages = append(attempts, id), append(messages, messageID)
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("lock attempts: %w", err)
	}
	if len(attempts) == 0 {
		return nil, nil
	}
	return readAttempts(ctx, tx, attempts, messages)
}

// readAttempts locks the messages of locked attempts and reads both.
func readAttempts(ctx context.Context, tx pgx.Tx, attempts, messages []string) ([]*attemptRow, error) {
	var found []*attemptRow
	byID := map[string]*messageRow{}
	var p pipeline
	queueMessageLocks(&p, messages)
	p.query(`select a.id::text, coalesce(a.sid, ''), a.state, a.error_code, a.channel, a.address, a.window_at is not null, m.attempt_id = a.id,
			m.id::text, m.state, m.channels, m.next_channel, m.content, m.org, m.tries,
			coalesce(m.permitted_at, m.not_before) + m.expires_after - now(),
			coalesce((select o.state from attempt o where o.message_id = m.id and o.state in ('delivered', 'read')
				order by state_rank(o.state) desc limit 1), '')
		from attempt a join message m on m.id = a.message_id
		where a.id = any ($1::text[]::uuid[]) order by a.id`,
		func(rows pgx.Rows) (err error) {
			found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*attemptRow, error) { return scanAttempt(row, byID) })
			return err
		}, attempts)
	if err := p.run(ctx, tx); err != nil {
		return nil, fmt.Errorf("lock the messages of attempts: %w", err)
	}
	return found, nil
}

// scanAttempt reads an attempt; those of one message share its row.
func scanAttempt(row pgx.CollectableRow, messages map[string]*messageRow) (*attemptRow, error) {
	var r attemptRow
	var m messageRow
	var content []byte
	err := row.Scan(&r.id, &r.sid, (*string)(&r.state), &r.errorCode, (*string)(&r.channel), (*string)(&r.address), &r.freeText, &r.newest,
		&m.id, (*string)(&m.state), &m.channels, &m.nextChannel, &content, (*string)(&m.org), &m.tries, &m.left, (*string)(&m.arrived))
	if err != nil {
		return nil, err
	}
	if r.message = messages[m.id]; r.message == nil {
		messages[m.id], r.message = &m, &m
		err = json.Unmarshal(content, &m.content)
	}
	return &r, err
}

// queueMessageLocks locks messages in the order of their ids.
func queueMessageLocks(p *pipeline, ids []string) {
	p.exec(`select 1 from message where id = any ($1::text[]::uuid[]) order by id for update`, ids)
}

func queueAttemptRows(p *pipeline, rows []*attemptRow) {
	var ids, sids, states []string
	var codes []int32
	for _, r := range rows {
		if r.changed {
			ids, sids = append(ids, r.id), append(sids, r.sid)
			states, codes = append(states, string(r.state)), append(codes, int32(r.errorCode))
		}
	}
	if len(ids) > 0 {
		p.exec(`update attempt a set sid = u.sid, state = u.state, error_code = u.code, updated_at = now()
			from unnest($1::text[], $2::text[], $3::text[], $4::integer[]) u (id, sid, state, code) where a.id = u.id::uuid`,
			ids, sids, states, codes)
		p.exec(`delete from live_attempt l using attempt a where l.attempt_id = any ($1::text[]::uuid[]) and a.id = l.attempt_id
			and a.state not in ('sending', 'unknown')`, ids)
	}
	queueMessageRows(p, rows)
}

func queueMessageRows(p *pipeline, rows []*attemptRow) {
	var ids, states, reasons []string
	var channels, codes, tries []int32
	var waits []time.Duration
	for _, r := range rows {
		m := r.message
		if !m.changed {
			continue
		}
		m.changed = false // several attempts may share it
		ids, states, reasons = append(ids, m.id), append(states, string(m.state)), append(reasons, string(m.reason))
		channels, codes = append(channels, int32(m.nextChannel)), append(codes, int32(m.errorCode))
		tries, waits = append(tries, int32(m.tries)), append(waits, m.wait)
	}
	if len(ids) == 0 {
		return
	}
	p.exec(`delete from belt b using unnest($1::text[], $2::text[]) u (id, state)
		where b.message_id = u.id::uuid and u.state <> 'queued'`, ids, states) // its attempt was thought to have failed
	p.exec(`with moved as (
			update message m set state = u.state, reason = u.reason, error_code = u.code, next_channel = u.next_channel, tries = u.tries,
				not_before = case when u.state = 'queued' then now() + u.wait else m.not_before end,
				permitted_at = coalesce(m.permitted_at, m.not_before), updated_at = now()
			from unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::integer[], $6::integer[], $7::interval[])
				u (id, state, reason, next_channel, code, tries, wait)
			where m.id = u.id::uuid returning m.id, m.org, m.sender, m.recipient, m.state, m.not_before)
		insert into belt (message_id, org, sender, recipient, due_at, seq)
		select id, org, sender, recipient, not_before, 0 from moved where state = 'queued' on conflict do nothing`,
		ids, states, reasons, channels, codes, tries, waits)
}
