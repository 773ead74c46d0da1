package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

// Trace is the whole way of one notification, message or record.
type Trace struct {
	Notifications []NotificationTrace
	Messages      []MessageTrace
	Audit         []AuditEntry // what operators did to them
}

// NotificationTrace is a notification with its decision.
type NotificationTrace struct {
	Org         notification.OrgID
	ID          notification.ID
	Object      string
	RecordID    notification.ID
	ReceivedAt  time.Time
	StreamSeq   int64
	Duplicates  int
	Outcome     notification.Outcome
	RuleSet     string
	Detail      json.RawMessage
	OnceSkipped []string
	DecidedAt   time.Time
	Replays     []ReplayTrace
}

// MessageTrace is a message with its attempts, what Twilio reported of it, and what was answered to it.
type MessageTrace struct {
	message.Message

	AttemptList []AttemptTrace
	Events      []EventTrace
	Replies     []ReplyTrace
	Question    *QuestionTrace // that it asked; nil: none
	Gates       []GateTrace
	Belt        *BeltTrace // nil when it is not queued
	Salt        string     // the replay that forced it, else empty
}

// AttemptTrace is one attempt.
type AttemptTrace struct {
	ID        string
	Number    int
	Channel   message.Channel
	State     message.State
	SID       string
	ErrorCode int
	Detail    string
	StartedAt time.Time
	UpdatedAt time.Time
}

// EventTrace is one delivery status.
type EventTrace struct {
	SID        string
	Status     string
	ErrorCode  int
	ReceivedAt time.Time
}

// ReplyTrace is one reply. Body is what the person wrote.
type ReplyTrace struct {
	SID        string
	From       address.Address
	Channel    message.Channel
	Body       string
	Keyword    string
	ReceivedAt time.Time
	Decided    *TalkTrace // by the reply rules; nil: not yet, or they are not asked
}

// Trace finds the way of a notification id, a message id, a SID (of an attempt, or of a reply to it) or a record id. The error is ErrNotFound when nothing has
// that id.
func (s *Store) Trace(ctx context.Context, id string) (*Trace, error) {
	if long, err := notification.ParseID(id); err == nil {
		id = string(long) // people copy the 15-character form from Salesforce
	}
	var t Trace
	rows, err := s.pool.Query(ctx, `with found as (
			select org, id from notification where id = $1
			union select org, id from notification where record_id = $1 and $1 <> ''
			union select org, notification_id from message where id = nullif($2, '')::uuid
			union select m.org, m.notification_id from attempt a join message m on m.id = a.message_id where a.sid = $1
			union select m.org, m.notification_id from inbound i join message m on m.id = i.message_id where i.sid = $1)
		select n.org, n.id, n.object, n.record_id, n.received_at, n.stream_seq,
			(select count(*) from duplicate d where d.org = n.org and d.id = n.id),
			d.outcome, d.rule_set, d.detail, d.once_skipped, d.decided_at
		from found f join notification n on n.org = f.org and n.id = f.id
			join decision d on d.org = n.org and d.notification_id = n.id
		order by n.received_at, n.id`, id, messageID(id))
	if err != nil {
		return nil, fmt.Errorf("trace notifications: %w", err)
	}
	t.Notifications, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (NotificationTrace, error) {
		var n NotificationTrace
		err := row.Scan((*string)(&n.Org), (*string)(&n.ID), &n.Object, (*string)(&n.RecordID), &n.ReceivedAt, &n.StreamSeq, &n.Duplicates,
			(*string)(&n.Outcome), &n.RuleSet, &n.Detail, &n.OnceSkipped, &n.DecidedAt)
		return n, err
	})
	if err != nil {
		return nil, fmt.Errorf("trace notifications: %w", err)
	}
	if err := s.traceMessages(ctx, &t, id); err != nil {
		return nil, err
	}
	if len(t.Notifications) == 0 && len(t.Messages) == 0 {
		return nil, fmt.Errorf("trace %s: %w", id, ErrNotFound)
	}
	return &t, s.traceMore(ctx, &t)
}

// messageID is the id when it has the form of a message's, else empty.
func messageID(id string) string {
	if uuid.Validate(id) != nil {
		return ""
	}
	return id
}

func (s *Store) traceMessages(ctx context.Context, t *Trace, id string) error {
	for _, n := range t.Notifications {
		filter := MessageFilter{NotificationID: string(n.ID)}
		if uuid.Validate(id) == nil { // one message was asked for
			filter.ID = id
		}
		err := s.Messages(ctx, filter, func(m message.Message) error {
			if m.Org == n.Org {
				t.Messages = append(t.Messages, MessageTrace{Message: m})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := s.traceOthers(ctx, t, id, messageID(id)); err != nil {
		return err
	}
	for i := range t.Messages {
		if err := s.traceMessage(ctx, &t.Messages[i]); err != nil {
			return fmt.Errorf("trace message %s: %w", t.Messages[i].ID, err)
		}
	}
	return nil
}

func (s *Store) traceMessage(ctx context.Context, m *MessageTrace) error {
	var p pipeline
	p.query(`select id::text, number, channel, state, coalesce(sid, ''), error_code, detail, started_at, updated_at
		from attempt where message_id = $1::uuid order by number`,
		func(rows pgx.Rows) error {
			var err error
			m.AttemptList, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (AttemptTrace, error) {
				var a AttemptTrace
				err := row.Scan(&a.ID, &a.Number, (*string)(&a.Channel), (*string)(&a.State), &a.SID, &a.ErrorCode, &a.Detail, &a.StartedAt, &a.UpdatedAt)
				return a, err
			})
			return err
		}, m.ID)
	p.query(`select e.sid, e.status, e.error_code, e.received_at from delivery_event e join attempt a on a.sid = e.sid
		where a.message_id = $1::uuid order by e.id`,
		func(rows pgx.Rows) error {
			var err error
			m.Events, err = pgx.CollectRows(rows, pgx.RowToStructByPos[EventTrace])
			return err
		}, m.ID)
	p.query(`select sid, address, channel, body, keyword, received_at from inbound where message_id = $1::uuid order by received_at`,
		func(rows pgx.Rows) error {
			var err error
			m.Replies, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (ReplyTrace, error) {
				var r ReplyTrace
				err := row.Scan(&r.SID, (*string)(&r.From), (*string)(&r.Channel), &r.Body, &r.Keyword, &r.ReceivedAt)
				return r, err
			})
			return err
		}, m.ID)
	queueTalk(&p, m)
	return s.inTx(ctx, "read the ledger", func(tx pgx.Tx) error { return p.run(ctx, tx) })
}
