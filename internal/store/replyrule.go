package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

// answerValidity is how long an automatic answer may wait before it is too late for it.
const answerValidity = time.Hour

// staleReply is the age of a reply at which it is not answered automatically any more: it waited out an outage.
const staleReply = 24 * time.Hour

// PendingReply is a reply that waits for its decision, with what that may depend on.
type PendingReply struct {
	SID          string
	Text         string
	Button       string
	From         address.Address
	Received     time.Time
	Conversation Conversation
	Answered     message.Message // the message that the reply answers; the zero value when there is none
	Question     string          // the open question; empty for none
	Answers      []string        // that it waits for
	Record       Snapshot
	Now          time.Time
}

// DecidedReply is the decision: what was found, and what is to be done.
type DecidedReply struct {
	Outcome notification.Outcome
	Rule    string
	RuleSet string
	Detail  map[string]any
	Answer  string // the one of the open question's answers that the reply is; empty for none

	Template string // of the automatic answer
	Language string
	Content  *message.Content // of the automatic answer; nil for none
	Ask      *NewQuestion
	Webhook  *NewWebhook
	Mark     bool
}

// NewQuestion is asked by the automatic answer.
type NewQuestion struct {
	Name         string
	Answers      []string
	ExpiresAfter time.Duration
}

// NewWebhook is to be posted.
type NewWebhook struct{ URL, Body string }

// ReplyResult says what a call of DecideReply did.
type ReplyResult struct {
	SID     string // empty: no reply waits
	Outcome notification.Outcome
	Rule    string
	Held    string // why the automatic answer was not made: late, paused, loop, no_text; empty when it was, or there was none
}

// Why an automatic answer was not made.
const (
	HeldLate   = "late"    // the reply is older than a day
	HeldPaused = "paused"  // a human has answered a short while ago
	HeldLoop   = "loop"    // two machines seem to talk
	HeldNoText = "no_text" // the template has nothing for the channel
)

// DecideReply decides the next reply that waits, exactly once: the decision, the answer, the question, the webhook and the mark are
// one transaction, under the lock of the address. The replies of one conversation are decided in the order in which they came.
// decide must be pure.
func (s *Store) DecideReply(ctx context.Context, perHour int, decide func(PendingReply) DecidedReply) (ReplyResult, error) {
	var result ReplyResult
	err := s.inTx(ctx, "decide a reply", func(tx pgx.Tx) error {
		result = ReplyResult{}
		if err := s.checkMark(ctx, tx); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `select t.sid from reply_task t where t.due_at <= now() and not exists (select from reply_task o
				where o.conversation_id = t.conversation_id and (o.seq, o.sid) < (t.seq, t.sid))
			order by t.due_at limit 1 for update skip locked`).Scan(&result.SID)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("find a reply to decide: %w", err)
		}
		pending, err := readPending(ctx, tx, result.SID)
		if err != nil {
			return err
		}
		result, err = writeDecided(ctx, tx, pending, decide(*pending), perHour)
		return err
	})
	return result, err
}

func readPending(ctx context.Context, tx pgx.Tx, sid string) (*PendingReply, error) {
	r := PendingReply{SID: sid}
	var conversation string
	var answered *string
	err := tx.QueryRow(ctx, `select conversation_id::text, body, button, received_at, message_id::text, now() from inbound where sid = $1`, sid).
		Scan(&conversation, &r.Text, &r.Button, &r.Received, &answered, &r.Now)
	if err != nil {
		return nil, fmt.Errorf("read a reply: %w", err)
	}
	c, err := lockConversation(ctx, tx, conversation)
	if err != nil {
		return nil, err
	}
	r.Conversation, r.From = *c, c.With
	c = &r.Conversation
	err = tx.QueryRow(ctx, `select state, assigned_to, coalesce(paused_until, $2) from conversation where id = $1::uuid`, c.ID, time.Time{}).
		Scan((*string)(&c.State), &c.AssignedTo, &c.PausedUntil)
	if err != nil {
		return nil, fmt.Errorf("read a conversation: %w", err)
	}
	var p pipeline
	p.query(`select name, answers from question where conversation_id = $1::uuid and state = 'open' and expires_at > now()`,
		func(rows pgx.Rows) error {
			return each(rows, []any{&r.Question, &r.Answers}, func() error { return nil })
		}, c.ID)
	m := &r.Answered
	var fields []byte
	p.query(`select m.id::text, m.org, m.rule, m.template, m.language, m.object, m.record_id, m.contact_id, r.fields
		from message m left join record r on r.org = m.org and r.id = m.record_id where m.id = nullif($1, '')::uuid`,
		func(rows pgx.Rows) error {
			targets := []any{
				&m.ID, (*string)(&m.Org), &m.Rule, &m.Template, &m.Language, &m.Object, (*string)(&m.RecordID), &m.ContactID, &fields,
			}
			return each(rows, targets, func() error {
				if fields == nil {
					return nil
				}
				r.Record.Seen = true
				return json.Unmarshal(fields, &r.Record.Fields)
			})
		}, *cmp.Or(answered, new(string)))
	if err := p.run(ctx, tx); err != nil {
		return nil, fmt.Errorf("read what a reply answers: %w", err)
	}
	return &r, nil
}

func writeDecided(ctx context.Context, tx pgx.Tx, r *PendingReply, d DecidedReply, perHour int) (ReplyResult, error) {
	c := &r.Conversation
	result := ReplyResult{SID: r.SID, Outcome: d.Outcome, Rule: d.Rule}
	if d.Content != nil {
		loop, err := talksToMachine(ctx, tx, Reply{From: r.From, Sender: c.Sender, Channel: c.Channel, Body: r.Text}, perHour)
		switch {
		case err != nil:
			return result, err
		case r.Now.Sub(r.Received) > staleReply:
			result.Held = HeldLate
		case c.PausedUntil.After(r.Now):
			result.Held = HeldPaused
		case loop:
			result.Held = HeldLoop
		case !d.Content.Has(c.Channel):
			result.Held = HeldNoText
		}
	}
	var p pipeline
	if r.Question != "" && d.Answer != "" {
		p.exec(`update question set state = 'answered', answer = $2, answered_by = $3 where conversation_id = $1::uuid and state = 'open'`,
			c.ID, d.Answer, r.SID)
	}
	if d.Content != nil && result.Held == "" {
		if err := queueAutomatic(&p, r, d); err != nil {
			return result, err
		}
	}
	if d.Mark {
		p.exec(`update conversation set marked_at = coalesce(marked_at, now()), marked_by = $2 where id = $1::uuid`, c.ID, d.Rule)
	}
	if d.Webhook != nil {
		p.exec(`insert into webhook (id, sid, url, body) values ($1::uuid, $2, $3, $4) on conflict do nothing`,
			uuid.Must(uuid.NewV7()).String(), r.SID, d.Webhook.URL, clean(d.Webhook.Body))
	}
	if err := queueReplyDecision(&p, r.SID, d, result.Held); err != nil {
		return result, err
	}
	if err := p.run(ctx, tx); err != nil {
		return result, fmt.Errorf("write the decision about a reply: %w", err)
	}
	return result, nil
}

// queueAutomatic makes the answer, and the question that it asks.
func queueAutomatic(p *pipeline, r *PendingReply, d DecidedReply) error {
	c := &r.Conversation
	var made bool
	err := queueSpoken(p, message.Message{
		Org: c.Org, Origin: message.OriginReplyRule, OriginKey: r.SID, RecordID: c.RecordID, Object: r.Answered.Object, ContactID: c.ContactID,
		Rule: d.Rule, Sender: c.Sender, Template: d.Template, Language: d.Language, Channels: []message.Channel{c.Channel}, To: r.From,
		Content: *d.Content, ExpiresAfter: answerValidity,
	}, &made)
	if err != nil || d.Ask == nil {
		return err
	}
	p.exec(`update question set state = 'replaced' where conversation_id = $1::uuid and state = 'open'`, c.ID)
	p.exec(`insert into question (conversation_id, rule, name, answers, asked_by, expires_at)
		values ($1::uuid, $2, $3, $4::text[], $5, now() + $6::interval)`, c.ID, d.Rule, d.Ask.Name, d.Ask.Answers, r.SID, d.Ask.ExpiresAfter)
	return nil
}

func queueReplyDecision(p *pipeline, sid string, d DecidedReply, held string) error {
	if d.Detail == nil {
		d.Detail = map[string]any{}
	}
	if held != "" {
		d.Detail["held"] = held
	}
	detail, err := json.Marshal(d.Detail)
	if err != nil {
		return fmt.Errorf("encode the decision about a reply: %w", err)
	}
	p.exec(`insert into reply_decision (sid, outcome, rule, rule_set, detail) values ($1, $2, $3, $4, $5::jsonb)`,
		sid, string(d.Outcome), d.Rule, d.RuleSet, clean(string(detail)))
	p.exec(`delete from reply_task where sid = $1`, sid)
	return nil
}

// PutOffReply lets a reply that could not be decided be due after the wait, and marks its conversation for a human when it has been
// tried so often in vain: then it is decided as a dead letter.
func (s *Store) PutOffReply(ctx context.Context, sid, why string, wait time.Duration, most int) (gaveUp bool, err error) {
	err = s.inTx(ctx, "put off a reply", func(tx pgx.Tx) error {
		var tries int
		err := tx.QueryRow(ctx, `update reply_task set tries = tries + 1, due_at = now() + $2::interval where sid = $1 returning tries`, sid, wait).
			Scan(&tries)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // somebody else has decided it
		}
		if gaveUp = err == nil && tries >= most; !gaveUp {
			return err
		}
		var p pipeline
		p.exec(`update conversation set marked_at = coalesce(marked_at, now())
			where id = (select conversation_id from inbound where sid = $1)`, sid)
		if err := queueReplyDecision(&p, sid, DecidedReply{Outcome: notification.DeadLetter, Detail: map[string]any{"error": why}}, ""); err != nil {
			return err
		}
		return p.run(ctx, tx)
	})
	return gaveUp, err
}

// ExpireQuestions closes the questions whose time is over.
func (s *Store) ExpireQuestions(ctx context.Context) (int, error) {
	tag, err := s.pool.Exec(ctx, `update question set state = 'timed_out' where state = 'open' and expires_at <= now()`)
	if err != nil {
		return 0, fmt.Errorf("expire questions: %w", err)
	}
	return int(tag.RowsAffected()), nil
}
