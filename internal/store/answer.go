package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
)

// Answer is what a human writes in a conversation: free text, or a template's content.
type Answer struct {
	ConversationID string
	Content        message.Content
	Template       string // empty for free text
	Language       string
	By             string        // who writes
	Key            string        // of this answer: a second one with the same key is not sent; empty: each is a new one
	Seen           string        // the newest turn that the writer has seen, see Newest; empty: does not matter
	Pause          time.Duration // of automatic answers
}

// Errors of AnswerConversation, which say why nothing would be sent.
var (
	ErrOptedOut  = errors.New("the person has opted out: nothing may be sent until they write START")
	ErrWindow    = errors.New("the person's last WhatsApp message is older than 24 hours, or WhatsApp has refused free text since: answer with an approved template")
	ErrNoContent = errors.New("the template has nothing for the channel of the conversation")
	ErrNobody    = errors.New("an answer needs the name of who writes it")
	ErrKeyUsed   = errors.New("an answer with this key, but another content, was given before: take another key")
	ErrNotSeen   = errors.New("the person or another human has written since you looked: look again")
)

// AnswerConversation makes the message of a human's answer, which goes the way of all messages, pauses automatic answers and closes
// an open question. It returns the message's id; made is false when there was one with this key. ErrNotFound and the errors above:
// nothing was made.
func (s *Store) AnswerConversation(ctx context.Context, answer Answer) (id string, made bool, err error) {
	if answer.By == "" {
		return "", false, ErrNobody
	}
	key := answer.Key
	if key == "" {
		key = uuid.Must(uuid.NewV7()).String()
	}
	key = answer.ConversationID + "/" + key
	err = s.inTx(ctx, "answer in a conversation", func(tx pgx.Tx) error {
		id, made = "", false
		c, err := lockConversation(ctx, tx, answer.ConversationID)
		if err != nil {
			return err
		}
		if id, err = answeredBefore(ctx, tx, key, answer.Content); id != "" || err != nil {
			return err
		}
		if err := mayAnswer(ctx, tx, c, &answer); err != nil {
			return err
		}
		id = uuid.Must(uuid.NewV7()).String()
		var p pipeline
		err = queueSpoken(&p, message.Message{
			ID: id, Org: c.Org, Origin: message.OriginHuman, OriginKey: key, RecordID: c.RecordID, ContactID: c.ContactID,
			Sender: c.Sender, Template: answer.Template, Language: answer.Language, Channels: []message.Channel{c.Channel}, To: c.With,
			Content: answer.Content,
		}, &made)
		if err != nil {
			return err
		}
		p.exec(`update question set state = 'taken_over' where conversation_id = $1::uuid and state = 'open'`, c.ID)
		p.exec(`update conversation set state = 'open', paused_until = greatest(paused_until, now() + $2::interval), marked_at = null,
				marked_by = '', assigned_to = case when assigned_to = '' then $3 else assigned_to end where id = $1::uuid`,
			c.ID, answer.Pause, clean(answer.By))
		queueConversationAudit(&p, answer.By, "conversation.reply", id, map[string]string{"conversation": c.ID})
		return p.run(ctx, tx)
	})
	return id, made, err
}

// answeredBefore finds the message of an answer with this key; empty when there is none.
func answeredBefore(ctx context.Context, tx pgx.Tx, key string, content message.Content) (id string, err error) {
	encoded, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("encode the content of an answer: %w", err)
	}
	var same bool
	err = tx.QueryRow(ctx, `select id::text, content in ('{}', $2::jsonb) from message where origin = 'human' and origin_key = $1`,
		key, string(encoded)).Scan(&id, &same)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("find an answer: %w", err)
	case !same:
		return "", ErrKeyUsed
	}
	return id, nil
}

// mayAnswer looks whether somebody was quicker, and ahead at what the gates will say, so that whoever writes hears of it at once.
func mayAnswer(ctx context.Context, tx pgx.Tx, c *Conversation, answer *Answer) error {
	if !answer.Content.Has(c.Channel) {
		return ErrNoContent
	}
	var state consent.State
	var windowOpen bool
	newest := ""
	var p pipeline
	queueConsent(&p, []string{string(c.With)}, func(_ string, mark consent.Mark) { state = append(state, mark) })
	p.query(`select coalesce(max(k.last_inbound_at) > greatest(max(k.window_denied_at), now() - $3::interval), false)
		from same_person(array[$1]) p join conversation k on k.address = p.known and k.sender = $2 and k.channel = 'whatsapp'`,
		func(rows pgx.Rows) error {
			return each(rows, []any{&windowOpen}, func() error { return nil })
		}, string(c.With), c.Sender, message.WhatsAppWindow-time.Minute)
	queueNewest(&p, c.ID, &newest)
	if err := p.run(ctx, tx); err != nil {
		return fmt.Errorf("ask whether the person may be written to: %w", err)
	}
	switch {
	case answer.Seen != "" && answer.Seen != newest:
		return ErrNotSeen
	case state.Stopped(c.Channel, message.DefaultProgram):
		return ErrOptedOut
	case c.Channel == message.WhatsApp && answer.Content.WhatsApp.ContentSID == "" && !windowOpen:
		return ErrWindow
	}
	return nil
}

// Newest names what the person or a human wrote last in a conversation: the SID of a reply, or the id of a human's message. It
// changes when somebody writes, and not when a rule does.
func (s *Store) Newest(ctx context.Context, id string) (newest string, err error) {
	err = s.inTx(ctx, "read the newest turn", func(tx pgx.Tx) error {
		var p pipeline
		queueNewest(&p, id, &newest)
		return p.run(ctx, tx)
	})
	return newest, err
}

// newestOf names the newest reply, or the newest message that a human wrote since.
const newestOf = `select name from (
		(select sid as name, received_at as at from inbound where conversation_id = $1::uuid order by received_at desc, stream_seq desc limit 1)
		union all (select m.id::text, m.created_at from message m join conversation c on c.id = $1::uuid
			where m.recipient = c.address and m.sender = c.sender and m.origin = 'human' and m.origin_key like c.id::text || '/%'
			order by m.created_at desc limit 1)) t order by at desc limit 1`

func queueNewest(p *pipeline, conversation string, newest *string) {
	p.query(newestOf, func(rows pgx.Rows) error {
		return each(rows, []any{newest}, func() error { return nil })
	}, conversation)
}
