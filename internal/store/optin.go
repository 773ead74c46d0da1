package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
)

// Asking is how people are asked to confirm an opt-in.
type Asking struct {
	Sender   string
	Template string
	Render   func(language, program string) (message.Content, error)
	Hours    *message.Hours
	Within   time.Duration // how long a YES counts, from when the question was sent; and how old an opt-in may be to be asked about
}

// What became of an opt-in that a person was to be asked about: the result of AskNext, and the reason of a question not asked.
const (
	AskedNow       = "asked"
	NotDue         = ""           // nothing was due
	NotConfirmable = "opted_out"  // an opt-out came after it
	AlreadySaid    = "confirmed"  // the person has confirmed the same, or more
	AlreadyAsked   = "open"       // a question about the same waits for its YES
	AskedInVain    = "unanswered" // the person was asked about the same before and said nothing: a record that is saved again asks nobody again
	AskTooLate     = "late"       // the opt-in has waited too long
	AskTextBroken  = "template_error"
)

// Begins of the keys of messages of the origin double_opt_in.
const (
	askKey = "ask/" // the id of the opt-in
	yesKey = "yes/" // the SID of the YES
)

const (
	questionColumns = `q.consent_id, q.language, c.org, c.address, c.channel, c.scope, c.program, c.source, c.occurred_at, c.seq,
		q.state, q.reason, coalesce(q.message_id::text, ''), q.created_at, coalesce(m.state, ''), coalesce(m.reason, ''),
		coalesce(m.not_before, '0001-01-01 00:00:00Z'), coalesce((select a.started_at from attempt a
			where a.message_id = m.id and a.state not in ('refused', 'canceled', 'absent') order by a.number desc limit 1), '0001-01-01 00:00:00Z')`
	questionTables = `opt_in_question q join consent c on c.id = q.consent_id left join message m on m.id = q.message_id`
)

// OptInQuestion is an opt-in that the person is to be asked about.
type OptInQuestion struct {
	ID        int64         // of the opt-in
	OptIn     consent.Entry // without its proof
	State     string        // due, asked, dropped
	Reason    string        // of a dropped one
	MessageID string
	CreatedAt time.Time

	// Of its message.
	MessageState  message.State
	MessageReason message.Reason
	NotBefore     time.Time
	SentAt        time.Time // zero while no call was made
}

// Sent tells whether the question is on its way to the person or has reached them.
func (q *OptInQuestion) Sent() bool {
	switch q.MessageState {
	case message.Accepted, message.Sent, message.Delivered, message.Read:
		return true
	case message.Queued, message.Sending, message.Unknown, message.Undelivered, message.Failed, message.Suppressed, message.Expired,
		message.Absent, message.Canceled, message.Refused:
	}
	return false
}

// Pending tells whether its message waits to be sent.
func (q *OptInQuestion) Pending() bool {
	return slices.Contains([]message.State{message.Queued, message.Sending, message.Unknown}, q.MessageState)
}

func readQuestions(ctx context.Context, db querier, where string, args ...any) ([]OptInQuestion, error) {
	rows, err := db.Query(ctx, `select `+questionColumns+` from `+questionTables+` `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read questions of the double opt-in: %w", err)
	}
	questions, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (OptInQuestion, error) {
		var q OptInQuestion
		e := &q.OptIn
		e.Action = consent.OptIn
		err := row.Scan(&q.ID, &e.AskIn, (*string)(&e.Org), (*string)(&e.Address), (*string)(&e.Channel), (*string)(&e.Scope.Kind), &e.Scope.Name,
			(*string)(&e.Source), &e.OccurredAt, &e.Seq, &q.State, &q.Reason, &q.MessageID, &q.CreatedAt, (*string)(&q.MessageState),
			(*string)(&q.MessageReason), &q.NotBefore, &q.SentAt)
		e.Scope = e.Scope.Clean()
		return q, err
	})
	if err != nil {
		return nil, fmt.Errorf("read questions of the double opt-in: %w", err)
	}
	return questions, nil
}

// OptInQuestions returns what a person was or is to be asked, oldest first.
func (s *Store) OptInQuestions(ctx context.Context, a address.Address) ([]OptInQuestion, error) {
	return readQuestions(ctx, s.pool, `where c.address = any (array(select known from same_person(array[$1::text]))) order by q.consent_id`,
		string(a))
}

// AskNext takes the oldest opt-in that somebody is to be asked about and decides, under the locks of the person's addresses: the
// question's message is made, or a reason is kept why not. Whoever dies in it leaves it due. The message is the only one for this
// opt-in, however often that happens. NotDue: there was none that nobody else has in hand.
func (s *Store) AskNext(ctx context.Context, how Asking) (result string, err error) {
	err = s.inTx(ctx, "ask for a double opt-in", func(tx pgx.Tx) error {
		result = NotDue
		if err := s.checkMark(ctx, tx); err != nil {
			return err
		}
		q, state, err := s.lockDue(ctx, tx)
		if err != nil || q == nil {
			return err
		}
		earlier, err := readQuestions(ctx, tx, `where c.address = any (array(select known from same_person(array[$1::text])))
			and c.channel = $2 and c.scope = $3 and c.program = $4 and q.state = 'asked' order by q.consent_id`,
			string(q.OptIn.Address), string(q.OptIn.Channel), string(q.OptIn.Scope.KindOrAll()), q.OptIn.Scope.Name)
		if err != nil {
			return err
		}
		var now time.Time
		if err := tx.QueryRow(ctx, `select now()`).Scan(&now); err != nil {
			return err
		}
		if result = q.against(state, earlier, now, how.Within); result != "" {
			return dropQuestion(ctx, tx, q.ID, result)
		}
		result, err = ask(ctx, tx, q, how)
		return err
	})
	return result, err
}

// lockDue locks the next due question and the person's addresses, and reads what is said of them; nil when nothing is due. Its
// address is read again under the lock, since an erasure may have changed it.
func (s *Store) lockDue(ctx context.Context, tx pgx.Tx) (*OptInQuestion, consent.State, error) {
	var id int64
	var a string
	err := tx.QueryRow(ctx, `select q.consent_id, c.address from opt_in_question q join consent c on c.id = q.consent_id
		where q.state = 'due' order by q.consent_id limit 1 for update of q skip locked`).Scan(&id, &a)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil, nil
	case err != nil:
		return nil, nil, err
	}
	if err := lockPeople(ctx, tx, []string{a}); err != nil {
		return nil, nil, err
	}
	questions, err := readQuestions(ctx, tx, `where q.consent_id = $1`, id)
	if err != nil {
		return nil, nil, err
	}
	q := &questions[0]
	var state consent.State
	var p pipeline
	said := func(_ string, mark consent.Mark) { state = append(state, mark) }
	queueConsent(&p, []string{string(q.OptIn.Address)}, said)
	checked := s.queueErased(&p, []string{string(q.OptIn.Address)}, said)
	if err := p.run(ctx, tx); err != nil {
		return nil, nil, err
	}
	return q, state, checked()
}

// against tells why nobody is to be asked, nothing when somebody is.
func (q *OptInQuestion) against(state consent.State, earlier []OptInQuestion, now time.Time, within time.Duration) string {
	optIn := q.OptIn.Mark()
	switch {
	case state.Ended(optIn):
		return NotConfirmable
	case state.Confirmed(optIn):
		return AlreadySaid
	case now.Sub(q.CreatedAt) > within:
		return AskTooLate
	}
	for _, e := range earlier {
		if e.Pending() || e.Sent() && now.Before(e.SentAt.Add(within)) && state.Waits(e.OptIn.Mark()) {
			return AlreadyAsked
		}
		byHand := q.OptIn.Source == consent.FromOperator || q.OptIn.Source == consent.FromAPI
		if e.Sent() && !byHand && state.SilentSince(optIn, e.OptIn.OccurredAt) {
			return AskedInVain
		}
	}
	return ""
}

func dropQuestion(ctx context.Context, tx pgx.Tx, id int64, reason string) error {
	_, err := tx.Exec(ctx, `update opt_in_question set state = 'dropped', reason = $2, decided_at = now() where consent_id = $1`, id, reason)
	return err
}

// ask makes the question's message: transactional, since the person is asked whether there may be marketing.
func ask(ctx context.Context, tx pgx.Tx, q *OptInQuestion, how Asking) (string, error) {
	m := message.Message{
		ID: uuid.Must(uuid.NewV7()).String(), Org: q.OptIn.Org, Origin: message.OriginDoubleOptIn, OriginKey: askKey + strconv.FormatInt(q.ID, 10),
		Sender: how.Sender, Template: how.Template, Program: q.OptIn.Scope.Program(), To: q.OptIn.Address, Hours: how.Hours, ExpiresAfter: how.Within,
	}
	var language string
	err := tx.QueryRow(ctx, `select coalesce(t.language, ''), coalesce(t.contact_id, ''), coalesce(n.record_id, ''), coalesce(n.object, '')
		from consent c left join notification n on c.source = 'salesforce' and n.org = c.org and n.id = split_part(c.evidence, ' ', 1)
			left join lateral (select language, contact_id from message where recipient = c.address order by id desc limit 1) t on true
		where c.id = $1`, q.ID).Scan(&language, &m.ContactID, (*string)(&m.RecordID), &m.Object)
	if err != nil {
		return "", fmt.Errorf("read what is known of a person: %w", err)
	}
	content, _ := how.Render(cmp.Or(q.OptIn.AskIn, language), q.OptIn.Scope.Name)
	m.Content, m.Channels = content, q.channels(content)
	if len(m.Channels) == 0 {
		return AskTextBroken, dropQuestion(ctx, tx, q.ID, AskTextBroken)
	}
	m.Language = languageOf(content, m.Channels[0])
	var p pipeline
	var made bool
	if err := queueSpoken(&p, m, &made); err != nil {
		return "", err
	}
	p.exec(`update opt_in_question set state = 'asked', message_id = $2::uuid, decided_at = now() where consent_id = $1`, q.ID, m.ID)
	return AskedNow, p.run(ctx, tx)
}

// channels are those that the opt-in is about, and the text is for; SMS first, since WhatsApp asks for an approved template.
func (q *OptInQuestion) channels(content message.Content) []message.Channel {
	return slices.DeleteFunc([]message.Channel{message.SMS, message.WhatsApp}, func(channel message.Channel) bool {
		about := q.OptIn.Channel == consent.AllChannels || q.OptIn.Channel == channel
		reaches := channel == message.WhatsApp || strings.HasPrefix(string(q.OptIn.Address), "+")
		return !about || !reaches || !content.Has(channel)
	})
}

// confirmedBy is the confirmation that a plain yes comes to: when it answers the question about an opt-in that waits for it, and in
// time. nil: it is an ordinary reply. linked names the message that it answers.
func confirmedBy(ctx context.Context, tx pgx.Tx, r Reply, linked *Linked) (*consent.Entry, error) {
	if r.Yes == nil || linked.MessageID == "" {
		return nil, nil //nolint:nilnil // it is none
	}
	questions, err := readQuestions(ctx, tx, `where q.message_id = $1::uuid`, linked.MessageID)
	if err != nil || len(questions) == 0 {
		return nil, err
	}
	q := &questions[0]
	var state consent.State
	var p pipeline
	queueConsent(&p, []string{string(r.From)}, func(_ string, mark consent.Mark) { state = append(state, mark) })
	if err := p.run(ctx, tx); err != nil {
		return nil, fmt.Errorf("read what a yes may confirm: %w", err)
	}
	entry := r.Yes.Entry
	if entry.OccurredAt.After(q.SentAt.Add(r.Yes.Within)) || !state.Waits(q.OptIn.Mark()) {
		return nil, nil //nolint:nilnil // it is none
	}
	entry.Org, entry.Channel, entry.Scope = linked.Org, q.OptIn.Channel, q.OptIn.Scope
	return &entry, nil
}
