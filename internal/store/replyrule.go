package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
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

// PendingReply is a reply, or a question whose time is over, that waits for its decision, with what that may depend on.
type PendingReply struct {
	SID          string // of the reply; of a question whose time is over: timeout/ and its id
	TimedOut     bool   // it is about the question; Received is then when its time was over
	Text         string
	Button       string
	From         address.Address
	Received     time.Time
	Conversation Conversation
	Answered     message.Message // that the reply answers, or that asked the question; the zero value when there is none
	Question     string          // the one that was open when the reply came; empty for none
	Answers      []string        // that it waits for
	Asked        int             // how often it has been asked; 0 without a question
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
	Caps     []message.Cap    // that hold for it
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
	Held    string // why the automatic answer was not made: one of the constants below; empty when it was, or there was none
}

// Why an automatic answer was not made.
const (
	HeldLate     = "late"     // the reply is older than a day
	HeldPaused   = "paused"   // a human has answered a short while ago
	HeldLoop     = "loop"     // two machines seem to talk
	HeldNoText   = "no_text"  // the template has nothing for the channel
	HeldUnsent   = "unsent"   // the question without an answer never went out
	HeldAnswered = "answered" // it was a START, and was answered as such
)

// ReplyBounds bound what is decided about replies.
type ReplyBounds struct {
	PerHour int           // most automatic answers to one person by one sender in an hour
	Settled uint64        // the place in the stream up to which every reply is in the ledger
	Since   time.Duration // every reply that was received longer ago is in the ledger
}

// settledLate is when a reply is decided although replies before it may come: the stream was made anew, and its places say nothing.
const settledLate = 2 * time.Minute

// DecideReply decides the next reply that waits, exactly once: the decision, the answer, the question, the webhook and the mark are
// one transaction, under the lock of the address. The replies of one conversation are decided in the order in which they came, and
// after the question whose time was over before (see TimeOutQuestion): several dispatchers store replies, and so one that may not be
// the next yet waits, for two minutes at most. Each try is noted before it begins, so that a reply of which the process dies ends with
// ErrDied. The result has an empty SID when no reply waits. decide must be pure.
func (s *Store) DecideReply(ctx context.Context, b ReplyBounds, decide func(PendingReply) DecidedReply) (ReplyResult, error) {
	settled := int64(min(b.Settled, math.MaxInt64))
	return s.try(ctx, tries{
		begin: `update reply_task set tries = tries + 1, due_at = now() + $1::interval where sid = (
			select t.sid from reply_task t where t.due_at <= now() and (t.seq <= $2 or t.created_at <= now() - $3::interval) and not exists (select from reply_task o
				where o.conversation_id = t.conversation_id and (o.seq, o.sid) < (t.seq, t.sid))
			and not exists (select from question q join inbound i on i.sid = t.sid
				where q.conversation_id = t.conversation_id and q.state = 'open' and q.expires_at <= i.received_at)
			order by t.due_at limit 1 for update skip locked) returning sid, tries`,
		args:   []any{replyLease, settled, settledLate},
		forget: `update reply_task set tries = tries - 1, due_at = now() where sid = $1`,
		read:   readPending,
	}, b.PerHour, decide)
}

// readPending takes the address lock and reads the reply; nil when meanwhile another process has decided it, or it was erased.
func readPending(ctx context.Context, tx pgx.Tx, sid string) (*PendingReply, error) {
	r := PendingReply{SID: sid}
	var conversation, answered string
	err := tx.QueryRow(ctx, `select conversation_id::text from reply_task where sid = $1`, sid).Scan(&conversation)
	if err == nil {
		err = r.lock(ctx, tx, conversation)
	}
	if err == nil {
		err = tx.QueryRow(ctx, `select i.body, i.button, i.received_at, coalesce(i.message_id::text, ''), now()
			from reply_task t join inbound i on i.sid = t.sid where t.sid = $1`, sid).Scan(&r.Text, &r.Button, &r.Received, &answered, &r.Now)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // nothing is wrong
	}
	if err != nil {
		return nil, fmt.Errorf("read a reply: %w", err)
	}
	var p pipeline
	p.query(`select name, answers, asked from question where conversation_id = $1::uuid and state = 'open'`,
		func(rows pgx.Rows) error {
			return each(rows, []any{&r.Question, &r.Answers, &r.Asked}, func() error { return nil })
		}, conversation)
	r.queueAnswered(&p, `m.id = nullif($1, '')::uuid`, answered)
	if err := p.run(ctx, tx); err != nil {
		return nil, fmt.Errorf("read what a reply answers: %w", err)
	}
	return &r, nil
}

// lock takes the address lock of the conversation and reads it.
func (r *PendingReply) lock(ctx context.Context, tx pgx.Tx, conversation string) error {
	c, err := lockConversation(ctx, tx, conversation)
	if err != nil {
		return err
	}
	r.Conversation, r.From = *c, c.With
	c = &r.Conversation
	err = tx.QueryRow(ctx, `select state, assigned_to, coalesce(paused_until, $2) from conversation where id = $1::uuid`, c.ID, time.Time{}).
		Scan((*string)(&c.State), &c.AssignedTo, &c.PausedUntil)
	if err != nil {
		return fmt.Errorf("read a conversation: %w", err)
	}
	return nil
}

// queueAnswered reads the message that is found so, with the last-known copy of its record.
func (r *PendingReply) queueAnswered(p *pipeline, found string, arg any) {
	m := &r.Answered
	var fields []byte
	p.query(`select m.id::text, m.org, m.rule, m.template, m.language, m.object, m.record_id, m.contact_id, m.state, r.fields
		from message m left join record r on r.org = m.org and r.id = m.record_id where `+found,
		func(rows pgx.Rows) error {
			targets := []any{
				&m.ID, (*string)(&m.Org), &m.Rule, &m.Template, &m.Language, &m.Object, (*string)(&m.RecordID), &m.ContactID,
				(*string)(&m.State), &fields,
			}
			return each(rows, targets, func() error {
				if fields == nil {
					return nil
				}
				r.Record.Seen = true
				return json.Unmarshal(fields, &r.Record.Fields)
			})
		}, arg)
}

func writeDecided(ctx context.Context, tx pgx.Tx, r *PendingReply, d DecidedReply, perHour int) (ReplyResult, error) {
	c := &r.Conversation
	result := ReplyResult{SID: r.SID, Outcome: d.Outcome, Rule: d.Rule}
	if d.Content != nil {
		var err error
		if result.Held, err = held(ctx, tx, r, d.Content, perHour); err != nil {
			return result, err
		}
	}
	var p pipeline
	if r.TimedOut {
		p.exec(`update question set state = 'timed_out' where conversation_id = $1::uuid and state = 'open'`, c.ID)
	}
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

// held says why an automatic answer is not made; empty when it is.
func held(ctx context.Context, tx pgx.Tx, r *PendingReply, content *message.Content, perHour int) (string, error) {
	c := &r.Conversation
	reply := Reply{From: r.From, Sender: c.Sender, Channel: c.Channel, Body: r.Text}
	loop, err := tooManyAnswers(ctx, tx, reply, perHour)
	if err == nil && !loop && !r.TimedOut {
		loop, err = sameAgain(ctx, tx, reply)
	}
	answered := false
	if err == nil {
		answered, err = hasAnswer(ctx, tx, r.SID)
	}
	switch {
	case err != nil:
		return "", err
	case r.Now.Sub(r.Received) > staleReply:
		return HeldLate, nil
	case c.PausedUntil.After(r.Now):
		return HeldPaused, nil
	case r.TimedOut && slices.Contains([]message.State{message.Failed, message.Undelivered, message.Suppressed, message.Expired}, r.Answered.State):
		return HeldUnsent, nil
	case answered:
		return HeldAnswered, nil
	case loop:
		return HeldLoop, nil
	case !content.Has(c.Channel):
		return HeldNoText, nil
	}
	return "", nil
}

// hasAnswer tells whether there is an automatic answer to the reply already: to a YES that is a word for START as well.
func hasAnswer(ctx context.Context, tx pgx.Tx, sid string) (has bool, err error) {
	err = tx.QueryRow(ctx, `select exists (select from message where origin = 'reply_rule' and origin_key = $1)`, sid).Scan(&has)
	if err != nil {
		return false, fmt.Errorf("look for the answer to a reply: %w", err)
	}
	return has, nil
}

// queueAutomatic makes the answer, and the question that it asks.
func queueAutomatic(p *pipeline, r *PendingReply, d DecidedReply) error {
	c := &r.Conversation
	var made bool
	err := queueSpoken(p, message.Message{
		Org: r.Answered.Org, Origin: message.OriginReplyRule, OriginKey: r.SID, RecordID: r.Answered.RecordID, Object: r.Answered.Object,
		ContactID: r.Answered.ContactID,
		Rule:      d.Rule, Sender: c.Sender, Template: d.Template, Language: d.Language, Channels: []message.Channel{c.Channel}, To: r.From,
		Content: *d.Content, Caps: d.Caps, ExpiresAfter: answerValidity,
	}, &made)
	if err != nil || d.Ask == nil {
		return err
	}
	asked := 1
	if r.Question == d.Ask.Name && d.Answer == "" {
		asked += r.Asked
	}
	p.exec(`update question set state = 'replaced' where conversation_id = $1::uuid and state = 'open'`, c.ID)
	p.exec(`insert into question (conversation_id, rule, name, answers, asked_by, expires_at, asked)
		values ($1::uuid, $2, $3, $4::text[], $5, now() + $6::interval, $7)`,
		c.ID, d.Rule, d.Ask.Name, d.Ask.Answers, r.SID, d.Ask.ExpiresAfter, asked)
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
