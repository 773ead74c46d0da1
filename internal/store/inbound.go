package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

// Reply is a message that a person sent to one of our senders.
type Reply struct {
	SID        string
	Sender     string
	Channel    message.Channel
	From       address.Address
	Body       string
	Button     string
	Media      []Media
	RepliedSID string          // the message that it quotes; may be empty
	Keyword    string          // stop, review, start, help, or empty; stored as yes when it confirms an opt-in
	Consent    *consent.Entry  // what it says about consent; Org is filled in here
	Review     *NewReview      // it may be an opt-out; Org is filled in here
	Answer     *Confirmation   // of a STOP or HELP, when Twilio does not answer it itself
	Program    bool            // an opt-out is from the program of the message that it answers, when there is one
	Yes        *YesTo          // it is a plain yes
	Alias      address.Address // another address of the person, as Twilio says; may be empty
	Received   time.Time
	Seq        uint64 // its sequence in CALLBACKS
}

// Media is a picture or file of a reply, by reference.
type Media struct {
	URL         string `json:"url"`
	ContentType string `json:"content_type"`
}

// Linked says what a reply was joined to; the zero value when nothing was ever sent to its address.
type Linked struct {
	New       bool // false: the reply had been stored before
	Org       notification.OrgID
	MessageID string
	RecordID  notification.ID
	Contact   string
	Rule      string // of the message
	Language  string // of that message; may be empty

	Confirmed    bool   // it is the YES to the question about an opt-in
	Confirmation string // what became of the answer to it; empty when there was none to give
}

// ApplyReply stores a reply with its conversation, links it to the message that it answers and to that message's
// Salesforce record, and adds what it says about consent to the ledger or the review queue, in one transaction under the address lock. A
// repeated call changes nothing.
func (s *Store) ApplyReply(ctx context.Context, r Reply) (Linked, error) {
	var linked Linked
	err := s.inTx(ctx, "store a reply", func(tx pgx.Tx) error {
		if err := s.checkMark(ctx, tx); err != nil {
			return err
		}
		people := []string{string(r.From)}
		if r.Alias != "" {
			people = append(people, string(r.Alias))
		}
		if err := lockPeople(ctx, tx, people); err != nil {
			return err
		}
		if r.Alias != "" {
			if err := s.noteAlias(ctx, tx, alias{r.From, r.Alias, consent.FromWebhook, r.SID}); err != nil {
				return err
			}
		}
		known, err := findReply(ctx, tx, r.SID)
		if err != nil {
			return err
		}
		if known != nil { // perhaps found by a listing, which does not tell all that the webhook says about consent
			linked = *known
			return writeWords(ctx, tx, r, &linked)
		}
		if linked, err = findAnswered(ctx, tx, r, people); err != nil {
			return err
		}
		return applyNew(ctx, tx, r, people, &linked)
	})
	return linked, err
}

// applyNew stores a reply that is new, and makes the answer that it gets.
func applyNew(ctx context.Context, tx pgx.Tx, r Reply, people []string, linked *Linked) error {
	held, err := answerHeld(ctx, tx, r, people, linked) // before its own word is written
	if err != nil {
		return err
	}
	if err := writeReply(ctx, tx, r, linked); err != nil {
		return err
	}
	if r.Answer == nil && (!linked.Confirmed || r.Yes.Answer == nil) {
		return nil
	}
	return confirm(ctx, tx, r, linked, held)
}

// findReply returns what a reply that is stored already was joined to, nil when it is not.
func findReply(ctx context.Context, tx pgx.Tx, sid string) (*Linked, error) {
	var l Linked
	err := tx.QueryRow(ctx, `select i.org, coalesce(i.message_id::text, ''), i.record_id, coalesce(m.contact_id, ''), coalesce(m.rule, ''),
			coalesce(m.language, '')
		from inbound i left join message m on m.id = i.message_id where i.sid = $1`, sid).
		Scan((*string)(&l.Org), &l.MessageID, (*string)(&l.RecordID), &l.Contact, &l.Rule, &l.Language)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil //nolint:nilnil // there is none
	case err != nil:
		return nil, fmt.Errorf("find a reply: %w", err)
	}
	return &l, nil
}

// answered finds the message that the reply quotes, else the newest one from that sender to that person, under any address that
// is known to be theirs: WhatsApp may show a business-scoped id in place of the number that we wrote to. Nobody answers what went out
// after they wrote, which a reply that a listing found may be older than; nor, while there is another one, what did not arrive.
//
// Each part reads as few attempts as it can, by the index, since somebody may have got a hundred thousand messages.
const answered = `with known as materialized (select known from same_person($3)), found as (
		select a.message_id, a.started_at, 0 as part from attempt a
		where a.sid = nullif($4, '') and a.sender = $1 and a.channel = $2 and a.address in (select known from known)
	union all select f.* from known k cross join lateral (
		(select a.message_id, a.started_at, 1 from attempt a where a.address = k.known and a.started_at <= $5::timestamptz + $6::interval
			and a.sender = $1 and a.channel = $2 and a.state not in ('refused', 'canceled', 'absent', 'failed', 'undelivered')
			order by a.started_at desc limit 1)
	union all (select a.message_id, a.started_at, 2 from attempt a where a.address = k.known and a.started_at <= $5::timestamptz + $6::interval
			and a.sender = $1 and a.channel = $2 and a.state not in ('refused', 'canceled', 'absent')
			order by a.started_at desc limit 1)
	union all (select a.message_id, a.started_at, 3 from attempt a where a.address = k.known and a.started_at > $5::timestamptz + $6::interval
			and a.sender = $1 and a.channel = $2 and a.state not in ('refused', 'canceled', 'absent')
			order by a.started_at desc limit 1)) f)
	select m.org, m.id::text, m.record_id, m.contact_id, m.rule, m.language from found f join message m on m.id = f.message_id
	order by f.part, f.started_at desc limit 1`

// findAnswered finds the message that a reply answers; the zero value when there is none.
func findAnswered(ctx context.Context, tx pgx.Tx, r Reply, people []string) (Linked, error) {
	var l Linked
	err := tx.QueryRow(ctx, answered, r.Sender, string(r.Channel), people, r.RepliedSID, r.Received, clockSkew).
		Scan((*string)(&l.Org), &l.MessageID, (*string)(&l.RecordID), &l.Contact, &l.Rule, &l.Language)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Linked{}, fmt.Errorf("find the message that a reply answers: %w", err)
	}
	l.Org = anyOrg(l.Org)
	return l, nil
}

func writeReply(ctx context.Context, tx pgx.Tx, r Reply, linked *Linked) error {
	list := make([]Media, len(r.Media))
	for i, m := range r.Media {
		list[i] = Media{URL: clean(m.URL), ContentType: clean(m.ContentType)}
	}
	media, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("encode the media of a reply: %w", err)
	}
	var conversation string
	// A reply that came late opens the conversation, and does not set it back to what it was about then.
	err = tx.QueryRow(ctx, `insert into conversation as c
			(id, org, sender, channel, address, contact_id, record_id, last_message_id, last_inbound_at)
		values ($1::uuid, $2, $3, $4, $5, $6, $7, nullif($8, '')::uuid, $9)
		on conflict (sender, channel, address) do update set
			org = case when c.last_inbound_at > excluded.last_inbound_at then c.org else excluded.org end,
			contact_id = case when c.last_inbound_at > excluded.last_inbound_at then c.contact_id else excluded.contact_id end,
			record_id = case when c.last_inbound_at > excluded.last_inbound_at then c.record_id else excluded.record_id end,
			last_message_id = case when c.last_inbound_at > excluded.last_inbound_at then c.last_message_id else excluded.last_message_id end,
			last_inbound_at = greatest(c.last_inbound_at, excluded.last_inbound_at), state = 'open'
		returning id::text`,
		uuid.Must(uuid.NewV7()).String(), string(linked.Org), r.Sender, string(r.Channel), string(r.From), linked.Contact,
		string(linked.RecordID), linked.MessageID, r.Received).Scan(&conversation)
	if err != nil {
		return fmt.Errorf("open the conversation: %w", err)
	}
	_, err = tx.Exec(ctx, `insert into inbound (sid, org, conversation_id, sender, channel, address, body, media, keyword, button,
			message_id, record_id, received_at, stream_seq)
		values ($1, $2, $3::uuid, $4, $5, $6, $7, $8::jsonb, $9, $10, nullif($11, '')::uuid, $12, $13, $14)`,
		r.SID, string(linked.Org), conversation, r.Sender, string(r.Channel), string(r.From), clean(r.Body), string(media), r.Keyword,
		clean(r.Button), linked.MessageID, string(linked.RecordID), r.Received, int64(r.Seq))
	if err != nil {
		return fmt.Errorf("insert a reply: %w", err)
	}
	linked.New = true
	if err := writeWords(ctx, tx, r, linked); err != nil {
		return err
	}
	if forRules(&r) && !linked.Confirmed {
		_, err = tx.Exec(ctx, `insert into reply_task (sid, conversation_id, seq) values ($1, $2::uuid, $3)`, r.SID, conversation, int64(r.Seq))
		if err != nil {
			return fmt.Errorf("queue a reply for the reply rules: %w", err)
		}
	}
	return nil
}

// forRules tells whether the reply rules are asked about a reply: it says nothing about consent, or it is a plain yes. Twilio takes
// YES for START, but people confirm an appointment with it.
func forRules(r *Reply) bool {
	return r.Keyword == "" || yesAsStart(r)
}

// writeWords adds what a reply says about consent.
func writeWords(ctx context.Context, tx pgx.Tx, r Reply, linked *Linked) error {
	yes, err := confirmedBy(ctx, tx, r, linked)
	if err != nil {
		return err
	}
	var p pipeline
	if err := queueWord(ctx, tx, &p, r, linked); err != nil {
		return err
	}
	if linked.Confirmed = yes != nil; linked.Confirmed {
		queueEntry(&p, *yes)
		p.exec(`update inbound set keyword = 'yes' where sid = $1 and keyword = ''`, r.SID)
	}
	if r.Review != nil {
		review := *r.Review
		review.Org = linked.Org
		queueReview(&p, review)
	}
	if err := p.run(ctx, tx); err != nil {
		return fmt.Errorf("add a reply's consent: %w", err)
	}
	return nil
}
