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
	"github.com/beckonhq/beckon/internal/notification"
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
	Fallback  bool           // a failure after which the next channel may be tried
	OptOut    consent.Source // not empty: the code says that the person opted out of this channel
}

// ApplyStatus keeps every event and moves the states of the attempts and messages forward, in one transaction. An event
// whose attempt is not known yet is kept and applied when Record stores its SID. It returns the states that messages moved to.
func (s *Store) ApplyStatus(ctx context.Context, events []StatusEvent) ([]message.State, error) {
	var moved []message.State
	err := s.inTx(ctx, "apply delivery statuses", func(tx pgx.Tx) error {
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
	for _, e := range events {
		fallbacks, optOuts = append(fallbacks, e.Fallback), append(optOuts, string(e.OptOut))
		sids, statuses, states = append(sids, e.SID), append(statuses, e.Status), append(states, string(e.State))
		messages, attempts = append(messages, e.MessageID), append(attempts, e.AttemptID)
		codes, received = append(codes, int32(e.ErrorCode)), append(received, e.Received)
	}
	_, err := tx.Exec(ctx, `insert into delivery_event
			(sid, status, state, error_code, message_id, attempt_id, received_at, fallback, opt_out)
		select sid, status, state, error_code, nullif(message_id, '')::uuid, nullif(attempt_id, '')::uuid, received_at, fallback, opt_out
		from unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::timestamptz[], $8::boolean[], $9::text[])
			u (sid, status, state, error_code, message_id, attempt_id, received_at, fallback, opt_out)
		order by sid, status, error_code on conflict do nothing`,
		sids, statuses, states, codes, messages, attempts, received, fallbacks, optOuts)
	if err != nil {
		return fmt.Errorf("keep delivery events: %w", err)
	}
	return nil
}

// attemptRow is an attempt with what of its message the events may change.
type attemptRow struct {
	id, messageID, sid, detail string
	state                      message.State
	errorCode                  int
	newest                     bool // the message's newest attempt
	messageState               message.State
	reason                     message.Reason
	channels                   []message.Channel
	nextChannel                int
	content                    message.Content
	org                        notification.OrgID
	channel                    message.Channel
	address                    address.Address

	changed, messageChanged bool
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
	var p pipeline
	var moved []message.State
	var entries []consent.Entry
	for _, e := range events {
		row := bySID[e.SID]
		if row == nil {
			row = byID[e.AttemptID]
			if row == nil || row.sid != "" {
				continue
			}
			bySID[e.SID] = row
		}
		if state, ok := row.apply(e); ok {
			moved = append(moved, state)
		}
		if e.OptOut != "" {
			entries = append(entries, consent.Entry{
				Org: row.org, Address: row.address, Channel: row.channel, Action: consent.OptOut, Source: e.OptOut,
				Evidence: e.SID, Note: fmt.Sprintf("error %d", e.ErrorCode), OccurredAt: e.Received,
			})
		}
	}
	queueEntries(&p, entries)
	queueAttemptRows(&p, rows)
	if err := p.run(ctx, tx); err != nil {
		return nil, fmt.Errorf("write delivery statuses: %w", err)
	}
	return moved, nil
}

// apply moves an attempt forward by one event, and its message when this is the newest attempt. It returns the state that
// the message moved to.
func (r *attemptRow) apply(e StatusEvent) (message.State, bool) {
	if r.sid == "" {
		r.sid, r.changed = e.SID, true
	}
	if r.state != message.Absent && !r.state.Before(e.State) {
		return "", false
	}
	r.state, r.errorCode, r.changed = e.State, e.ErrorCode, true
	if !r.newest {
		return "", false
	}
	r.messageChanged, r.messageState, r.reason = true, e.State, message.ReasonNone
	if e.State == message.Failed || e.State == message.Undelivered {
		r.reason = message.ReasonDelivery
		if next := r.nextUsable(); e.Fallback && next > 0 {
			r.messageState, r.reason, r.nextChannel = message.Queued, message.ReasonFallback, next
		}
	}
	return r.messageState, true
}

// nextUsable is the index of the next channel after the attempt's that has content; 0 when there is none.
func (r *attemptRow) nextUsable() int {
	tried := slices.Index(r.channels, r.channel)
	for i := tried + 1; i < len(r.channels); i++ {
		if r.content.Has(r.channels[i]) {
			return i
		}
	}
	return 0
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
	rows, err := tx.Query(ctx, `select id::text, message_id::text from attempt
		where id = any (array(select id from attempt where sid = any ($1) union all select unnest($2::text[]::uuid[])))
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
	var p pipeline
	queueMessageLocks(&p, messages)
	p.query(`select a.id::text, m.id::text, coalesce(a.sid, ''), a.detail, a.state, a.error_code,
			m.attempt_id = a.id, m.state, m.channels, m.next_channel, m.content, m.org, a.channel, a.address
		from attempt a join message m on m.id = a.message_id
		where a.id = any ($1::text[]::uuid[]) order by a.id`,
		func(rows pgx.Rows) (err error) {
			found, err = pgx.CollectRows(rows, scanAttempt)
			return err
		}, attempts)
	if err := p.run(ctx, tx); err != nil {
		return nil, fmt.Errorf("lock the messages of attempts: %w", err)
	}
	return found, nil
}

func scanAttempt(row pgx.CollectableRow) (*attemptRow, error) {
	var r attemptRow
	var content []byte
	err := row.Scan(&r.id, &r.messageID, &r.sid, &r.detail, (*string)(&r.state), &r.errorCode, &r.newest,
		(*string)(&r.messageState), &r.channels, &r.nextChannel, &content, (*string)(&r.org), (*string)(&r.channel), (*string)(&r.address))
	if err != nil {
		return nil, err
	}
	return &r, json.Unmarshal(content, &r.content)
}

// queueMessageLocks locks messages in the order of their ids.
func queueMessageLocks(p *pipeline, ids []string) {
	p.exec(`select 1 from message where id = any ($1::text[]::uuid[]) order by id for update`, ids)
}

func queueAttemptRows(p *pipeline, rows []*attemptRow) {
	var ids, sids, states, messages, messageStates, reasons []string
	var codes, channels, messageCodes []int32
	for _, r := range rows {
		if r.changed {
			ids, sids = append(ids, r.id), append(sids, r.sid)
			states, codes = append(states, string(r.state)), append(codes, int32(r.errorCode))
		}
		if r.messageChanged {
			messages, messageStates = append(messages, r.messageID), append(messageStates, string(r.messageState))
			reasons, channels = append(reasons, string(r.reason)), append(channels, int32(r.nextChannel))
			messageCodes = append(messageCodes, int32(r.errorCode))
		}
	}
	if len(ids) > 0 {
		p.exec(`update attempt a set sid = u.sid, state = u.state, error_code = u.code, updated_at = now()
			from unnest($1::text[], $2::text[], $3::text[], $4::integer[]) u (id, sid, state, code) where a.id = u.id::uuid`,
			ids, sids, states, codes)
		p.exec(`delete from live_attempt l using attempt a where l.attempt_id = any ($1::text[]::uuid[]) and a.id = l.attempt_id
			and a.state not in ('sending', 'unknown')`, ids)
	}
	if len(messages) > 0 {
		p.exec(`delete from belt b using unnest($1::text[], $2::text[]) u (id, state)
			where b.message_id = u.id::uuid and u.state <> 'queued'`, messages, messageStates) // its attempt was thought to have failed
		p.exec(`with moved as (
				update message m set state = u.state, reason = u.reason, error_code = u.code, next_channel = u.next_channel,
					not_before = case when u.state = 'queued' then now() else m.not_before end, updated_at = now()
				from unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::integer[]) u (id, state, reason, next_channel, code)
				where m.id = u.id::uuid returning m.id, m.org, m.state)
			insert into belt (message_id, org, due_at, seq) select id, org, now(), 0 from moved where state = 'queued' on conflict do nothing`,
			messages, messageStates, reasons, channels, messageCodes)
	}
}
