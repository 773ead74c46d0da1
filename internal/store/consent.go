package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

// queueConsent reads the newest entry per address and channel, and whether a reply is under review.
func queueConsent(p *pipeline, addresses []string, got func(address string, channel message.Channel, mark consent.Mark)) {
	p.query(`(select distinct on (address, channel) address, channel, action, occurred_at, seq, id from consent
			where address = any ($1) order by address, channel, occurred_at desc, seq desc, id desc)
		union all
		select address, $2, '', said_at, seq, id from review where address = any ($1) and decided_at is null`,
		func(rows pgx.Rows) error {
			var a, channel string
			var mark consent.Mark
			return each(rows, []any{&a, &channel, (*string)(&mark.Action), &mark.At, &mark.Seq, &mark.Position}, func() error {
				got(a, message.Channel(channel), mark)
				return nil
			})
		}, addresses, string(consent.ReviewChannel))
}

// Consent returns what the ledger says of each address; an address without an entry has an empty state. A server that takes no
// writes is not believed: a standby may lag, and not know of an opt-out yet.
func (s *Store) Consent(ctx context.Context, addresses []address.Address) (map[address.Address]consent.State, error) {
	states := make(map[address.Address]consent.State, len(addresses))
	plain := make([]string, len(addresses))
	for i, a := range addresses {
		states[a], plain[i] = consent.State{}, string(a)
	}
	var p pipeline
	queueConsent(&p, plain, func(a string, channel message.Channel, mark consent.Mark) {
		states[address.Address(a)][channel] = mark
	})
	var readOnly bool
	p.query("select "+isReadOnly, func(rows pgx.Rows) error {
		return each(rows, []any{&readOnly}, func() error { return nil })
	})
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := s.pool.SendBatch(ctx, &p.batch).Close(); err != nil {
		return nil, fmt.Errorf("read consent: %w", err)
	}
	if readOnly {
		s.pool.Reset()
		return nil, fmt.Errorf("read consent: %w", errReadOnly)
	}
	return states, nil
}

// AddConsent adds an entry to the ledger, under the lock of its address. An entry about the same address with the same source,
// evidence and action is taken as the same one, and is not added again; an operator's entry is always added, since an
// operator may change his mind.
func (s *Store) AddConsent(ctx context.Context, entry consent.Entry) error {
	return s.inTx(ctx, "add to the consent ledger", func(tx pgx.Tx) error {
		if err := s.checkMark(ctx, tx); err != nil {
			return err
		}
		var p pipeline
		queueEntries(&p, []consent.Entry{entry})
		return p.run(ctx, tx)
	})
}

// queueEntries adds entries under the locks of their addresses, which are taken together and in order.
func queueEntries(p *pipeline, entries []consent.Entry) {
	if len(entries) == 0 {
		return
	}
	addresses := make([]string, len(entries))
	for i, e := range entries {
		addresses[i] = string(e.Address)
	}
	queueAddressLocks(p, addresses)
	for _, e := range entries {
		queueEntry(p, e)
	}
}

// queueEntry also settles the reviews of older replies: the person's, or an operator's, newer word counts.

func queueEntry(p *pipeline, e consent.Entry) {
	// The clocks of Postgres and NATS are two, and either may be set back: what is said now is newer than all that was said
	// before, and of a person's words the later one in the stream.
	p.exec(`insert into consent (org, address, channel, action, source, evidence, note, occurred_at, seq)
		select $1, $2, $3, $4, $5, $6, $7, greatest(coalesce($8, now()), (
			select max(occurred_at) + interval '1 microsecond' from consent
			where address = $2 and ($8::timestamptz is null or seq > 0 and seq < $9::bigint))), $9 on conflict do nothing`,
		string(e.Org), string(e.Address), string(e.Channel), string(e.Action), string(e.Source), e.Evidence, clean(e.Note),
		orNull(e.OccurredAt), int64(e.Seq))
	if e.Channel == consent.AllChannels {
		queueSettle(p, string(e.Address))
	}
}

// ConsentHistory returns every entry about an address, oldest first.
func (s *Store) ConsentHistory(ctx context.Context, a address.Address) ([]consent.Entry, error) {
	rows, err := s.pool.Query(ctx, `select org, address, channel, action, source, evidence, note, occurred_at, seq, recorded_at
		from consent where address = $1 order by occurred_at, seq, id`, string(a))
	if err != nil {
		return nil, fmt.Errorf("read the consent ledger: %w", err)
	}
	entries, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (consent.Entry, error) {
		var e consent.Entry
		err := row.Scan((*string)(&e.Org), (*string)(&e.Address), (*string)(&e.Channel), (*string)(&e.Action), (*string)(&e.Source),
			&e.Evidence, &e.Note, &e.OccurredAt, &e.Seq, &e.RecordedAt)
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the consent ledger: %w", err)
	}
	return entries, nil
}

// clean drops what a Postgres text can't hold, so that no oddity in a person's words keeps them from being stored.
func clean(text string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\ufffd")
}

// orNull is nil for the zero time.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// anyOrg is the organisation of an entry that belongs to no single one.
func anyOrg(org notification.OrgID) notification.OrgID {
	if org == "" {
		return consent.AnyOrg
	}
	return org
}
