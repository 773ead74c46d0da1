package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/notification"
)

// queueConsent reads the state of the people behind addresses: the newest entries under each address that is known to be theirs,
// and whether a reply is under review. got is called with the address that was asked for.
func queueConsent(p *pipeline, addresses []string, got func(address string, mark consent.Mark)) {
	asked := map[string][]string{} // by the address that is known
	var from, to string
	p.query(`select asked, known from same_person($1)`, func(rows pgx.Rows) error {
		return each(rows, []any{&from, &to}, func() error {
			asked[to] = append(asked[to], from)
			return nil
		})
	}, addresses)
	p.query(`select address, channel, scope, program, action, occurred_at, seq from consent_state
			where address = any (array(select known from same_person($1)))
		union all
		select address, $2, 'all', '', '', said_at, seq from review
			where address = any (array(select known from same_person($1))) and decided_at is null`,
		func(rows pgx.Rows) error {
			var known string
			var m consent.Mark
			return each(rows, []any{
				&known, (*string)(&m.Channel), (*string)(&m.Scope.Kind), &m.Scope.Name, (*string)(&m.Action), &m.At, &m.Seq,
			}, func() error {
				mark := m
				mark.Scope = mark.Scope.Clean()
				for _, a := range asked[known] {
					got(a, mark)
				}
				return nil
			})
		}, addresses, string(consent.ReviewChannel))
}

// Consent returns what the ledger says of the person behind each address; an address without an entry has an empty state. A server
// that takes no writes is not believed: a standby may lag, and not know of an opt-out yet.
func (s *Store) Consent(ctx context.Context, addresses []address.Address) (map[address.Address]consent.State, error) {
	states := make(map[address.Address]consent.State, len(addresses))
	plain := make([]string, len(addresses))
	for i, a := range addresses {
		states[a], plain[i] = nil, string(a)
	}
	slices.Sort(plain)
	plain = slices.Compact(plain)
	var p pipeline
	queueConsent(&p, plain, func(a string, mark consent.Mark) {
		states[address.Address(a)] = append(states[address.Address(a)], mark)
	})
	checked := s.queueErased(&p, plain, func(a string, mark consent.Mark) {
		states[address.Address(a)] = append(states[address.Address(a)], mark)
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
	if err := checked(); err != nil {
		return nil, fmt.Errorf("read consent: %w", err)
	}
	return states, nil
}

// AddConsent adds an entry to the ledger, under the locks of the person's addresses. An entry about the same address, channel and
// scope with the same source, evidence and action is taken as the same one, and is not added again; an operator's entry is always
// added, since an operator may change his mind.
func (s *Store) AddConsent(ctx context.Context, entry consent.Entry) error {
	return s.inTx(ctx, "add to the consent ledger", func(tx pgx.Tx) error {
		if err := s.checkMark(ctx, tx); err != nil {
			return err
		}
		if err := lockPeople(ctx, tx, []string{string(entry.Address)}); err != nil {
			return err
		}
		var p pipeline
		queueEntry(&p, entry)
		return p.run(ctx, tx)
	})
}

// lockPeople takes the locks of addresses, and of all that are known to belong to the same people: a word about one address counts
// for the others.
func lockPeople(ctx context.Context, tx pgx.Tx, addresses []string) error {
	rows, err := tx.Query(ctx, `select known from same_person($1)`, addresses)
	if err != nil {
		return fmt.Errorf("find a person's addresses: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("find a person's addresses: %w", err)
	}
	var p pipeline
	queueAddressLocks(&p, all)
	return p.run(ctx, tx)
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

// queueEntry also settles the reviews of older replies: the person's, or an operator's, newer word about everything counts.
func queueEntry(p *pipeline, e consent.Entry) {
	p.exec(insertEntry, entryArgs(e)...)
	if e.Channel == consent.AllChannels && e.Scope.KindOrAll() == consent.ScopeAll {
		queueSettle(p, string(e.Address))
	}
}

// The clocks of Postgres and NATS are two, and either may be set back: what is said now is newer than all that was said before,
// and of a person's words the later one in the stream.
const insertEntry = `with added as (insert into consent (org, address, channel, action, source, evidence, note, occurred_at, seq, scope, program, purpose,
		disclosure, disclosure_hash, source_url, ip, operator)
	values ($1, $2, $3, $4, $5, $6, $7, greatest(coalesce($8, now()), (
			select max(occurred_at) + interval '1 microsecond' from consent
			where address = $2 and ($8::timestamptz is null or seq > 0 and seq < $9::bigint))), $9, $10, $11, $12, $13, $14, $15, $16, $17) on conflict do nothing returning id),
	due as (insert into opt_in_question (consent_id, language) select id, $19 from added where $18::boolean)
	select id from added`

func entryArgs(e consent.Entry) []any {
	proof := consent.Proof{
		Disclosure: clean(e.Proof.Disclosure), SourceURL: clean(e.Proof.SourceURL), IP: clean(e.Proof.IP), Operator: clean(e.Proof.Operator),
	}
	return []any{
		string(e.Org), string(e.Address), string(e.Channel), string(e.Action), string(e.Source), clean(e.Evidence), clean(e.Note),
		orNull(e.OccurredAt), int64(e.Seq), string(e.Scope.KindOrAll()), e.Scope.Name, string(e.Purpose),
		proof.Disclosure, proof.Hash(), proof.SourceURL, proof.IP, proof.Operator,
		e.Ask && e.Action == consent.OptIn, clean(e.AskIn),
	}
}

// AddAlias notes that two addresses belong to one person. A repeated call changes nothing.
func (s *Store) AddAlias(ctx context.Context, a, same address.Address, source consent.Source, evidence string) error {
	return s.inTx(ctx, "note two addresses of a person", func(tx pgx.Tx) error {
		if err := lockPeople(ctx, tx, []string{string(a), string(same)}); err != nil {
			return err
		}
		return s.noteAlias(ctx, tx, alias{a, same, source, evidence})
	})
}

// alias says that two addresses belong to one person.
type alias struct {
	address, same address.Address
	source        consent.Source
	evidence      string
}

// noteAlias is AddAlias for a caller that holds the locks. Where one of the two was erased, the other is suppressed like it.
func (s *Store) noteAlias(ctx context.Context, tx pgx.Tx, a alias) error {
	var p pipeline
	queueAlias(&p, a)
	if err := p.run(ctx, tx); err != nil {
		return fmt.Errorf("note two addresses of a person: %w", err)
	}
	return s.shareErasure(ctx, tx, a.address)
}

func queueAlias(p *pipeline, a alias) {
	if a.address == a.same || a.address == "" || a.same == "" || len(a.address) > address.MaxLength || len(a.same) > address.MaxLength {
		return
	}
	p.exec(`insert into alias (address, same_as, source, evidence) values ($1, $2, $3, $4), ($2, $1, $3, $4) on conflict do nothing`,
		string(a.address), string(a.same), string(a.source), a.evidence)
}

// ConsentHistory returns every entry about a person, under any of the addresses that are known to be theirs, oldest first.
func (s *Store) ConsentHistory(ctx context.Context, a address.Address) ([]consent.Entry, error) {
	rows, err := s.pool.Query(ctx, `select org, address, channel, action, source, evidence, note, occurred_at, seq, recorded_at,
			scope, program, purpose, disclosure, source_url, ip, operator
		from consent where address = any (array(select known from same_person(array[$1::text]))) order by occurred_at, seq, id`, string(a))
	if err != nil {
		return nil, fmt.Errorf("read the consent ledger: %w", err)
	}
	entries, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (consent.Entry, error) {
		var e consent.Entry
		err := row.Scan((*string)(&e.Org), (*string)(&e.Address), (*string)(&e.Channel), (*string)(&e.Action), (*string)(&e.Source),
			&e.Evidence, &e.Note, &e.OccurredAt, &e.Seq, &e.RecordedAt, (*string)(&e.Scope.Kind), &e.Scope.Name, (*string)(&e.Purpose),
			&e.Proof.Disclosure, &e.Proof.SourceURL, &e.Proof.IP, &e.Proof.Operator)
		e.Scope = e.Scope.Clean()
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the consent ledger: %w", err)
	}
	return entries, nil
}

// PersonConsent is all that is held on what a person agreed to.
type PersonConsent struct {
	Address   address.Address
	State     consent.State
	History   []consent.Entry // oldest first
	Questions []OptInQuestion // of the double opt-in, oldest first
	Now       time.Time       // by the clock of the database
}

// ConsentOf reads all that is held on what a person agreed to.
func (s *Store) ConsentOf(ctx context.Context, a address.Address) (*PersonConsent, error) {
	held := &PersonConsent{Address: a}
	states, err := s.Consent(ctx, []address.Address{a})
	if err != nil {
		return nil, err
	}
	held.State = states[a]
	if held.History, err = s.ConsentHistory(ctx, a); err != nil {
		return nil, err
	}
	if held.Questions, err = s.OptInQuestions(ctx, a); err != nil {
		return nil, err
	}
	if err := s.pool.QueryRow(ctx, `select now()`).Scan(&held.Now); err != nil {
		return nil, fmt.Errorf("read the time: %w", err)
	}
	return held, nil
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
