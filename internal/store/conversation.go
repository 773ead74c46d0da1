package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

// ConversationState is open or closed. A reply opens a closed conversation.
type ConversationState string

// The states.
const (
	ConversationOpen   ConversationState = "open"
	ConversationClosed ConversationState = "closed"
)

// Conversation is what one person and one of our senders write to each other on one channel. It begins with the person's first
// reply.
type Conversation struct {
	ID            string
	Org           notification.OrgID // of the newest message; consent.AnyOrg when nothing was ever sent
	Sender        string
	Channel       message.Channel
	With          address.Address
	ContactID     string
	RecordID      notification.ID
	State         ConversationState
	AssignedTo    string    // empty: nobody
	PausedUntil   time.Time // until then reply rules answer nothing; zero: never paused
	MarkedAt      time.Time // since then it waits for a human; zero: it does not
	MarkedBy      string    // the reply rule that marked it
	LastInboundAt time.Time
	WindowDenied  time.Time // the newest of the person's messages whose window WhatsApp has denied; zero: none
	LastText      string    // of the newest reply
	CreatedAt     time.Time
}

// ConversationFilter narrows a listing; zero values do not.
type ConversationFilter struct {
	ID         string
	State      ConversationState
	AssignedTo string
	With       address.Address
	Marked     bool // only those that wait for a human
	Limit      int
	After      Cursor // only those that come after this place
}

// Cursor is a place in a listing of conversations: those after it come later, whatever is written meanwhile. The zero value is the
// beginning.
type Cursor struct {
	LastInboundAt time.Time
	ID            string
}

// Cursor is the place of the conversation.
func (c *Conversation) Cursor() Cursor { return Cursor{c.LastInboundAt, c.ID} }

// Turn is one message of a conversation, in either direction.
type Turn struct {
	At        time.Time
	Inbound   bool
	SID       string            // of the reply; of the newest attempt
	Text      string            // as it was sent, or would be; empty for an approved template
	Variables map[string]string // of the approved template that was sent in place of a text
	Media     []Media
	Keyword   string
	MessageID string // the reply answers it; or it is the message
	Message   *message.Message
	By        string // who wrote it, of the origin human
}

// possible tells whether a conversation can have the id; without one, all can.
func possible(id string) bool { return id == "" || uuid.Validate(id) == nil }

// Conversations calls each for every conversation that fits, the one with the newest reply first. With finds those under any address
// that is known to be the same person's.
func (s *Store) Conversations(ctx context.Context, filter ConversationFilter, each func(Conversation) error) error {
	if !possible(filter.ID) || !possible(filter.After.ID) {
		return nil
	}
	where, args := filter.sql()
	rows, err := s.pool.Query(ctx, `select c.id::text, c.org, c.sender, c.channel, c.address, c.contact_id, c.record_id, c.state,
			c.assigned_to, coalesce(c.paused_until, @never), coalesce(c.marked_at, @never), c.marked_by, coalesce(c.last_inbound_at, @never),
			coalesce(c.window_denied_at, @never), coalesce((select i.body from inbound i where i.conversation_id = c.id order by i.received_at desc limit 1), ''), c.created_at
		from conversation c`+where, args)
	if err != nil {
		return fmt.Errorf("list conversations: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Conversation, error) {
		var c Conversation
		err := row.Scan(&c.ID, (*string)(&c.Org), &c.Sender, (*string)(&c.Channel), (*string)(&c.With), &c.ContactID,
			(*string)(&c.RecordID), (*string)(&c.State), &c.AssignedTo, &c.PausedUntil, &c.MarkedAt, &c.MarkedBy, &c.LastInboundAt,
			&c.WindowDenied, &c.LastText, &c.CreatedAt)
		return c, err
	})
	if err != nil {
		return fmt.Errorf("list conversations: %w", err)
	}
	for _, c := range list {
		if err := each(c); err != nil {
			return err
		}
	}
	return nil
}

// sql is what comes after "from conversation c". Each listing has its own text, with what it asks for and no more, so that the database
// can take the index that leads to it.
func (f *ConversationFilter) sql() (text string, args pgx.NamedArgs) {
	args = pgx.NamedArgs{
		"never": time.Time{}, "id": f.ID, "state": string(f.State), "assigned": f.AssignedTo, "with": string(f.With),
		"after": f.After.LastInboundAt, "after_id": f.After.ID, "limit": f.Limit,
	}
	conditions := []string{"true"}
	for _, one := range []struct {
		asked     bool
		condition string
	}{
		{f.ID != "", `c.id = @id::uuid`},
		{f.State != "", `c.state = @state`},
		{f.AssignedTo != "", `c.assigned_to = @assigned and c.assigned_to <> ''`},
		{f.With != "", `c.address = any (array(select known from same_person(array[@with::text])))`},
		{f.Marked, `c.marked_at is not null`},
		{f.After.ID != "", `(c.last_inbound_at, c.id) < (@after::timestamptz, @after_id::uuid)`},
	} {
		if one.asked {
			conditions = append(conditions, one.condition)
		}
	}
	text = " where " + strings.Join(conditions, " and ") + " order by c.last_inbound_at desc, c.id desc"
	if f.Limit > 0 {
		text += " limit @limit"
	}
	return text, args
}

// Conversation returns a conversation. ErrNotFound: there is none with that id.
func (s *Store) Conversation(ctx context.Context, id string) (*Conversation, error) {
	var found *Conversation
	if uuid.Validate(id) == nil {
		err := s.Conversations(ctx, ConversationFilter{ID: id}, func(c Conversation) error { found = &c; return nil })
		if err != nil {
			return nil, err
		}
	}
	if found == nil {
		return nil, fmt.Errorf("read a conversation: %w", ErrNotFound)
	}
	return found, nil
}

// turnsOf reads no more of either side than it shows.
const turnsOf = `select * from (
		(select received_at as at, true, sid, body, media, keyword, coalesce(message_id::text, ''), '' as by, false
			from inbound where conversation_id = $1::uuid and received_at < coalesce($6::timestamptz, 'infinity')
			order by received_at desc limit $5)
	union all
		(select m.created_at, false, coalesce(a.sid, ''), '', '[]', '', m.id::text,
				coalesce((select operator from audit where subject = m.id::text and action = 'conversation.reply' limit 1), ''),
				a.channel = 'whatsapp' and a.window_at is null
			from same_person(array[$2]) p cross join lateral (select o.id, o.created_at, o.attempt_id from message o
				where o.recipient = p.known and o.sender = $3 and (o.channel = $4 or o.channel = '' and o.channels[1] = $4)
					and o.created_at < coalesce($6::timestamptz, 'infinity')
				order by o.created_at desc limit $5) m
			left join attempt a on a.id = m.attempt_id)
	order by at desc limit $5) t order by at`

// Turns returns the newest messages of a conversation in both directions before a time, oldest first; of all times when it is zero.
func (s *Store) Turns(ctx context.Context, c *Conversation, before time.Time, limit int) ([]Turn, error) {
	rows, err := s.pool.Query(ctx, turnsOf, c.ID, string(c.With), c.Sender, string(c.Channel), limit, orNull(before))
	if err != nil {
		return nil, fmt.Errorf("read a conversation's messages: %w", err)
	}
	templates := map[string]bool{} // messages whose approved template went
	turns, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Turn, error) {
		var t Turn
		var media []byte
		var template *bool // null while nothing was sent
		err := row.Scan(&t.At, &t.Inbound, &t.SID, &t.Text, &media, &t.Keyword, &t.MessageID, &t.By, &template)
		if template != nil && *template {
			templates[t.MessageID] = true
		}
		return t, errors.Join(err, json.Unmarshal(media, &t.Media))
	})
	if err != nil {
		return nil, fmt.Errorf("read a conversation's messages: %w", err)
	}
	for i := range turns {
		t := &turns[i]
		if t.Inbound {
			continue
		}
		err := s.Messages(ctx, MessageFilter{ID: t.MessageID}, func(m message.Message) error {
			t.Message = &m
			if w := m.Content.WhatsApp; w != nil && templates[m.ID] {
				t.Variables = w.Variables
			} else {
				t.Text = textOf(&m, c.Channel)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return turns, nil
}

func textOf(m *message.Message, channel message.Channel) string {
	switch {
	case channel == message.SMS && m.Content.SMS != nil:
		return m.Content.SMS.Text
	case channel == message.WhatsApp && m.Content.WhatsApp != nil:
		return m.Content.WhatsApp.Text
	}
	return ""
}

// lockConversation takes the address lock of a conversation and reads it.
func lockConversation(ctx context.Context, tx pgx.Tx, id string) (*Conversation, error) {
	if uuid.Validate(id) != nil {
		return nil, ErrNotFound
	}
	var with string
	err := tx.QueryRow(ctx, `select address from conversation where id = $1::uuid`, id).Scan(&with)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read a conversation: %w", err)
	}
	var p pipeline
	queueAddressLocks(&p, []string{with})
	if err := p.run(ctx, tx); err != nil {
		return nil, fmt.Errorf("lock the address: %w", err)
	}
	c := Conversation{ID: id} // with its address as it is now: while we waited the person may have been erased
	err = tx.QueryRow(ctx, `select org, sender, channel, address, contact_id, record_id from conversation where id = $1::uuid for update`, id).
		Scan((*string)(&c.Org), &c.Sender, (*string)(&c.Channel), (*string)(&c.With), &c.ContactID, (*string)(&c.RecordID))
	if err != nil {
		return nil, fmt.Errorf("read a conversation: %w", err)
	}
	return &c, nil
}

// AssignConversation gives a conversation to somebody, or to nobody. ErrNotFound: there is none with that id.
func (s *Store) AssignConversation(ctx context.Context, id, to, by string) error {
	return s.changeConversation(ctx, id, conversationChange{
		by: by, action: "conversation.assign", detail: map[string]string{"to": to},
		sql:  `update conversation set assigned_to = $2 where id = $1::uuid`,
		args: []any{clean(strings.TrimSpace(to))},
	})
}

// CloseConversation closes a conversation; the person's next reply opens it again. ErrNotFound: there is none with that id.
func (s *Store) CloseConversation(ctx context.Context, id, by string) error {
	return s.changeConversation(ctx, id, conversationChange{
		by: by, action: "conversation.close", detail: map[string]string{},
		sql: `with asked as (update question set state = 'closed' where conversation_id = $1::uuid and state = 'open')
			update conversation set state = 'closed', marked_at = null, marked_by = '', paused_until = null where id = $1::uuid`,
	})
}

// conversationChange is one statement about the conversation $1, and what the audit log says of it.
type conversationChange struct {
	by, action string
	detail     map[string]string
	sql        string
	args       []any // from $2 on
}

func (s *Store) changeConversation(ctx context.Context, id string, c conversationChange) error {
	return s.inTx(ctx, "change a conversation", func(tx pgx.Tx) error {
		if _, err := lockConversation(ctx, tx, id); err != nil {
			return err
		}
		var p pipeline
		p.exec(c.sql, append([]any{id}, c.args...)...)
		queueConversationAudit(&p, c.by, c.action, "conversation/"+id, c.detail)
		return p.run(ctx, tx)
	})
}

func queueConversationAudit(p *pipeline, by, action, subject string, detail map[string]string) {
	encoded, err := json.Marshal(detail)
	if err != nil { // texts can't fail
		encoded = []byte("{}")
	}
	p.exec(`insert into audit (operator, action, subject, detail) values ($1, $2, $3, $4::jsonb)`,
		clean(by), action, subject, clean(string(encoded)))
}
