package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/message"
)

// errOrigin says that a message can't be made since what it comes of is not named.
var errOrigin = errors.New("a message that comes of no notification needs its origin and a key")

// AddMessage makes a queued message that comes of no notification: it goes through the same table, belt, claim and gates as all
// others. The origin and its key name what it comes of: a second message of the same is not made, and made is false. So is one of
// the origin compliance whose key is not the SID of a STOP or HELP that this recipient sent to this sender. The scheduler puts it
// on the belt.
func (s *Store) AddMessage(ctx context.Context, m message.Message) (made bool, err error) {
	err = s.inTx(ctx, "make a message", func(tx pgx.Tx) error {
		if err := s.checkMark(ctx, tx); err != nil {
			return err
		}
		var p pipeline
		queueAddressLocks(&p, []string{string(m.To)})
		if err := queueSpoken(&p, m, &made); err != nil {
			return err
		}
		return p.run(ctx, tx)
	})
	return made, err
}

// queueSpoken is AddMessage for a caller that holds the address lock. An empty id is filled in. The time of an automatic answer begins
// at once, whatever defers it: a late one answers nothing.
func queueSpoken(p *pipeline, m message.Message, made *bool) error {
	if m.Origin == "" || m.Origin == message.OriginRule || m.OriginKey == "" || m.NotificationID != "" {
		return errOrigin
	}
	content, err := json.Marshal(m.Content)
	if err != nil {
		return fmt.Errorf("encode the content of a message: %w", err)
	}
	var hours []byte // null: at any time
	if m.Hours != nil {
		if hours, err = json.Marshal(m.Hours); err != nil {
			return fmt.Errorf("encode the hours of a message: %w", err)
		}
	}
	caps, err := capsJSON(m.Caps)
	if err != nil {
		return fmt.Errorf("encode the caps of a message: %w", err)
	}
	channels := make([]string, len(m.Channels))
	for i, channel := range m.Channels {
		channels[i] = string(channel)
	}
	id := cmp.Or(m.ID, uuid.Must(uuid.NewV7()).String())
	p.query(`with made as (
		insert into message (id, org, notification_id, record_id, object, contact_id, rule, template, language, purpose, channels,
			sender, recipient, content, state, not_before, expires_after, origin, origin_key, program, hours, caps,
			permitted_at)
		select $1::uuid, $2, '', $3, $4, $5, $6, $7, $8, $9, $10::text[], $11, $12, $13::jsonb, 'queued', now(), $14::interval, $15, $16, $17, $18::jsonb,
			nullif($19, '')::jsonb, case when $15 = 'reply_rule' then now() end
		where $15 <> 'compliance' or exists (select from inbound i
			where i.sid = $16 and i.address = $12 and i.sender = $11 and i.keyword in ('stop', 'help'))
		on conflict (origin, origin_key) where origin <> 'rule' do nothing
		returning id, org, sender, recipient), lies as (
		insert into belt (message_id, org, sender, recipient, due_at) select id, org, sender, recipient, now() from made)
		select count(*) = 1 from made`,
		func(rows pgx.Rows) (err error) {
			*made, err = pgx.CollectOneRow(rows, pgx.RowTo[bool])
			return err
		},
		id, string(anyOrg(m.Org)), string(m.RecordID), m.Object, m.ContactID, m.Rule, m.Template, m.Language,
		string(cmp.Or(m.Purpose, message.Transactional)), channels, sender(&m), string(m.To), string(content),
		cmp.Or(m.ExpiresAfter, message.DefaultValidity), string(m.Origin), m.OriginKey,
		cmp.Or(m.Program, message.DefaultProgram), hours, caps)
	return nil
}

// traceOthers adds the messages that come of no notification: of a message id, a SID (of a reply: what was made of it, too), or a record id.
func (s *Store) traceOthers(ctx context.Context, t *Trace, id, messageID string) error {
	rows, err := s.pool.Query(ctx, `select id::text from message where origin <> 'rule' and id in (
			select id from message where id = nullif($2, '')::uuid or record_id = $1 and $1 <> ''
			union select message_id from attempt where sid = $1
			union select message_id from inbound where sid = $1
			union select id from message where origin_key = $1 and origin = any ('{reply_rule,compliance}')
			union select id from message where origin_key = '`+yesKey+`' || $1 and origin = 'double_opt_in') order by id`, id, messageID)
	if err != nil {
		return fmt.Errorf("trace messages: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("trace messages: %w", err)
	}
	for _, one := range ids {
		if err := s.Messages(ctx, MessageFilter{ID: one}, func(m message.Message) error {
			t.Messages = append(t.Messages, MessageTrace{Message: m})
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}
