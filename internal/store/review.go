package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

// Decision is what a reply under review was found to be.
type Decision string

// The decisions.
const (
	DecideOptOut Decision = "opt_out" // the person wants no more messages
	DecideKeep   Decision = "keep"    // it meant something else
)

// DecidedByTime and DecidedByPerson are who decided when no operator did.
const (
	DecidedByTime   = "beckon"     // the set time
	DecidedByPerson = "newer word" // a later opt-out or opt-in
)

// NewReview is a reply that is probably an opt-out.
type NewReview struct {
	Org      notification.OrgID
	Address  address.Address
	Channel  message.Channel
	SID      string // of the reply
	Text     string
	Pattern  string // the word or pattern that made us ask
	Language string
	SaidAt   time.Time // when its stream stored it
	Seq      uint64    // in that stream
	After    time.Duration
}

// Review is a row of the review queue.
type Review struct {
	NewReview

	ID        int64
	CreatedAt time.Time
	DecideBy  time.Time
	DecidedAt time.Time // zero while it is open
	DecidedBy string
	Decision  Decision // empty while it is open
	Note      string
}

// Ruling is an operator's decision.
type Ruling struct {
	As   Decision
	By   string // the operator's name
	Note string
}

// AddReview puts a reply on the review queue, which pauses sending to its address. A repeated call changes nothing. A reply of a
// person who has opted out or in since is decided by that; one of a person who had opted out before stays open, since an older
// opt-in may still be found.
func (s *Store) AddReview(ctx context.Context, r NewReview) error {
	return s.inTx(ctx, "add to the review queue", func(tx pgx.Tx) error {
		if err := s.checkMark(ctx, tx); err != nil {
			return err
		}
		if err := lockPeople(ctx, tx, []string{string(r.Address)}); err != nil {
			return err
		}
		var p pipeline
		queueReview(&p, r)
		return p.run(ctx, tx)
	})
}

// queueReview is for a caller that holds the address lock.
func queueReview(p *pipeline, r NewReview) {
	p.exec(`insert into review (org, address, channel, inbound_sid, text, pattern, language, said_at, seq, decide_by)
		values ($1, $2, $3, $4, $5, $6, $7, $8::timestamptz, $9::bigint, now() + $10::interval) on conflict do nothing`,
		string(r.Org), string(r.Address), string(r.Channel), r.SID, clean(r.Text), r.Pattern, r.Language, r.SaidAt, int64(r.Seq), r.After)
	queueSettle(p, string(r.Address))
}

// queueSettle closes the open reviews of a person, under any of their addresses, after which a newer word was received, whatever came
// first here.
func queueSettle(p *pipeline, a string) {
	p.exec(`with settled as (
			update review r set decided_at = now(), decided_by = $2, decision = case c.action when 'opt_out' then 'opt_out' else 'keep' end
			from (select action, occurred_at, seq from consent where address = any (array(select known from same_person(array[$1::text])))
				and channel = 'all' and scope = 'all' order by occurred_at desc, seq desc, id desc limit 1) c
			where r.address = any (array(select known from same_person(array[$1::text]))) and r.decided_at is null and (c.occurred_at, c.seq) > (r.said_at, r.seq)
			returning r.address)
		`+release, a, DecidedByPerson)
}

// release lets the messages go that waited for the reviews in settled, a part of the same statement. It takes none that
// somebody else has locked: that is a claim, which waits for our address lock and then reads what we wrote.
const release = `, due as (
			select m.id from message m
			where m.recipient = any (array(select known from same_person(array(select address from settled)))) and m.state = 'queued'
				and m.reason = '` + string(message.ReasonUnderReview) + `' for update skip locked
		), now_due as (
			update message m set not_before = least(m.not_before, now()), updated_at = now() from due where m.id = due.id)
		update belt b set due_at = now() from due where b.message_id = due.id`

// DecideReview stores an operator's decision, with an entry of the ledger if it is an opt-out, and an audit row. An opt-out
// decides every open review of the person. ErrNotFound: there is no such review; ErrDecided: it is decided already.
func (s *Store) DecideReview(ctx context.Context, id int64, ruling Ruling) error {
	return s.inTx(ctx, "decide a review", func(tx pgx.Tx) error {
		var a string
		err := tx.QueryRow(ctx, `select address from review where id = $1`, id).Scan(&a)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		if err := lockPeople(ctx, tx, []string{a}); err != nil {
			return err
		}
		return decideReview(ctx, tx, id, ruling)
	})
}

// decideReview is for a caller that holds the address lock.
func decideReview(ctx context.Context, tx pgx.Tx, id int64, ruling Ruling) error {
	r, err := openReview(ctx, tx, id)
	if err != nil {
		return err
	}
	var p pipeline
	p.exec(`with settled as (
			update review set decided_at = now(), decided_by = $3, decision = $4, note = $5
			where decided_at is null and (id = $1 or $4 = 'opt_out' and address = any (array(select known from same_person(array[$2::text]))))
			returning address)
		`+release, id, string(r.Address), clean(ruling.By), string(ruling.As), clean(ruling.Note))
	if ruling.As == DecideOptOut {
		queueEntry(&p, consent.Entry{
			Org: r.Org, Address: r.Address, Channel: consent.AllChannels, Action: consent.OptOut, Source: consent.FromReview,
			Evidence: r.SID, Note: fmt.Sprintf("%s [%s: %s, decided by %s]", r.Text, r.Language, r.Pattern, ruling.By),
			OccurredAt: r.SaidAt, Seq: r.Seq, // the person said it then, not when it was understood
		})
		queueRuleOptOut(&p, r.SID)
	}
	p.exec(`insert into audit (operator, action, subject, detail)
		values ($1, 'review.decide', $2, jsonb_build_object('decision', $3::text, 'inbound_sid', $4::text, 'note', $5::text))`,
		clean(ruling.By), fmt.Sprintf("review/%d", id), string(ruling.As), r.SID, clean(ruling.Note))
	return p.run(ctx, tx)
}

func openReview(ctx context.Context, tx pgx.Tx, id int64) (*Review, error) {
	reviews, err := readReviews(ctx, tx, `where id = $1`, id)
	switch {
	case err != nil:
		return nil, err
	case len(reviews) == 0:
		return nil, ErrNotFound
	case reviews[0].Decision != "":
		return nil, fmt.Errorf("%w as %s by %s", ErrDecided, reviews[0].Decision, reviews[0].DecidedBy)
	}
	return &reviews[0], nil
}

// DecideDueReviews decides up to limit reviews whose time has come, each in a transaction of its own. It returns the SIDs of
// the replies, and how many reviews are open still.
func (s *Store) DecideDueReviews(ctx context.Context, then Decision, limit int) (decided []string, open int, err error) {
	due, err := readReviews(ctx, s.pool, `where decided_at is null and decide_by <= now() order by decide_by limit $1`, limit)
	if err != nil {
		return nil, 0, err
	}
	for _, r := range due {
		err := s.DecideReview(ctx, r.ID, Ruling{As: then, By: DecidedByTime, Note: "nobody decided in time"})
		if errors.Is(err, ErrDecided) || errors.Is(err, ErrNotFound) {
			continue // by somebody else meanwhile, or with an earlier one of this person
		}
		if err != nil {
			return decided, 0, err
		}
		decided = append(decided, r.SID)
	}
	if err := s.pool.QueryRow(ctx, `select count(*) from review where decided_at is null`).Scan(&open); err != nil {
		return decided, 0, fmt.Errorf("count open reviews: %w", err)
	}
	return decided, open, nil
}

// Reviews lists the review queue, oldest first: the open ones, or all.
func (s *Store) Reviews(ctx context.Context, all bool) ([]Review, error) {
	return readReviews(ctx, s.pool, `where $1 or decided_at is null order by id`, all)
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func readReviews(ctx context.Context, q querier, where string, args ...any) ([]Review, error) {
	rows, err := q.Query(ctx, `select id, org, address, channel, inbound_sid, text, pattern, language, said_at, seq, created_at,
		decide_by, coalesce(decided_at, '0001-01-01 00:00:00Z'), decided_by, decision, note from review `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read the review queue: %w", err)
	}
	reviews, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Review, error) {
		var r Review
		err := row.Scan(&r.ID, (*string)(&r.Org), (*string)(&r.Address), (*string)(&r.Channel), &r.SID, &r.Text, &r.Pattern, &r.Language,
			&r.SaidAt, &r.Seq, &r.CreatedAt, &r.DecideBy, &r.DecidedAt, &r.DecidedBy, (*string)(&r.Decision), &r.Note)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the review queue: %w", err)
	}
	return reviews, nil
}
