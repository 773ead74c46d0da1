package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
)

// ErrErasureKey says that addresses were erased with a key that this process does not have, so that it can't tell whom nothing may
// be sent to. It is temporary: the key may be given to the process.
var ErrErasureKey = errors.New("addresses were erased with a key that is not among BECKON_ERASURE_KEY: set it in every process")

// ErrNoErasureKey says that there is no key to hash erased addresses with.
var ErrNoErasureKey = errors.New("BECKON_ERASURE_KEY is not set: make a key with `openssl rand -hex 32`, set it in every process, and keep it")

// ErrInFlight says that a call to Twilio about the person is open, or its outcome unknown.
var ErrInFlight = errors.New("a message to the person is being sent, or its outcome is unknown: try again when it is settled")

// codeInFlight is raised by erase_person.
const codeInFlight = "P0004"

// UseErasureKeys gives the keys by which erased addresses are hashed: the first makes hashes, all are looked for. It is to be
// called before the store is used.
func (s *Store) UseErasureKeys(keys []string) { s.erasureKeys = keys }

func keyed(key, text string) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	_, _ = mac.Write([]byte(text))
	return mac.Sum(nil)
}

// keyID is a fingerprint of a key, which no address can have as its hash.
func keyID(key string) []byte { return keyed(key, "the key itself")[:8] }

// queueErased reads which of the addresses were erased. The returned function is to be called when the pipeline has run.
func (s *Store) queueErased(p *pipeline, addresses []string, got func(address string, mark consent.Mark)) (checked func() error) {
	ids, hashes, owner := [][]byte{}, [][]byte{}, map[string]string{}
	for _, key := range s.erasureKeys {
		ids = append(ids, keyID(key))
		for _, a := range addresses {
			hash := keyed(key, a)
			hashes, owner[string(hash)] = append(hashes, hash), a
		}
	}
	lacking := false
	p.query(`select from erasure_key where id <> all ($1) limit 1`, func(rows pgx.Rows) error {
		return each(rows, nil, func() error { lacking = true; return nil })
	}, ids)
	if len(hashes) > 0 {
		mark := consent.Mark{Channel: consent.AllChannels, Action: consent.Erase}
		var hash []byte
		p.query(`select hash, erased_at from erased where hash = any ($1)`, func(rows pgx.Rows) error {
			return each(rows, []any{&hash, &mark.At}, func() error {
				got(owner[string(hash)], mark)
				return nil
			})
		}, hashes)
	}
	return func() error {
		if lacking {
			return ErrErasureKey
		}
		return nil
	}
}

// KnowsErasures is ErrErasureKey when a key is missing without which nobody can tell whether an address was erased.
func (s *Store) KnowsErasures(ctx context.Context) error {
	var p pipeline
	checked := s.queueErased(&p, nil, func(string, consent.Mark) {})
	if err := s.pool.SendBatch(ctx, &p.batch).Close(); err != nil {
		return fmt.Errorf("read the keys of erasures: %w", err)
	}
	return checked()
}

// shareErasure suppresses every address of a person one of whose addresses was erased before it was known to be theirs. It dates that
// back to then, so that it ends by the same word of the person.
func (s *Store) shareErasure(ctx context.Context, tx pgx.Tx, a address.Address) error {
	if len(s.erasureKeys) == 0 {
		return nil
	}
	known, err := samePerson(ctx, tx, []string{string(a)})
	if err != nil {
		return err
	}
	var p pipeline
	for _, key := range s.erasureKeys {
		hashes := make([][]byte, len(known))
		for i, one := range known {
			hashes[i] = keyed(key, one)
		}
		p.exec(`insert into erased as e (hash, erased_at) select h, old.at from unnest($1::bytea[]) h,
				(select max(erased_at) as at from erased where hash = any ($1::bytea[])) old where old.at is not null
			on conflict (hash) do update set erased_at = greatest(e.erased_at, excluded.erased_at)`, hashes)
	}
	if err := p.run(ctx, tx); err != nil {
		return fmt.Errorf("keep the hashes: %w", err)
	}
	return nil
}

// Erasure is what was erased: how many rows of each table changed.
type Erasure struct {
	Addresses []address.Address
	Changed   map[string]int64
}

// erasePasses bounds how often an erasure begins again since something about the person came in meanwhile.
const erasePasses = 5

// ErrStillComing says that something about the person came in during each pass of an erasure.
var ErrStillComing = errors.New("rows about the person keep coming in: what there was is erased, erase again for the rest")

// ErasePerson takes a person's contents and addresses out of every table. What stays are rows without either, and a keyed hash of
// each address: nothing is sent to it until the person's next word.
//
// What no index leads to is found first, without a lock; then, in one transaction under the locks of the addresses, these rows and
// all that indexes lead to are changed; then it looks again, and goes on until nothing is found. ErrInFlight and ErrNoErasureKey say
// why it was not done. A repeated call erases what has come since.
func (s *Store) ErasePerson(ctx context.Context, a address.Address, by, note string) (Erasure, error) {
	if len(s.erasureKeys) == 0 {
		return Erasure{}, ErrNoErasureKey
	}
	all, known := Erasure{Changed: map[string]int64{}}, []string{string(a)}
	for pass := range erasePasses {
		found, more, err := s.findPerson(ctx, known)
		switch {
		case err != nil:
			return all, err
		case pass > 0 && !more:
			return all, nil
		}
		done, err := s.erasePass(ctx, known, found, by, note)
		switch {
		case sqlState(err) == codeInFlight:
			return all, ErrInFlight
		case err != nil:
			return all, err
		}
		all.add(done)
		known = known[:0] // with those that were found to be theirs in the meantime; nothing tells afterwards
		for _, one := range all.Addresses {
			known = append(known, string(one))
		}
	}
	return all, ErrStillComing
}

func (e *Erasure) add(more Erasure) {
	for _, one := range more.Addresses {
		if !slices.Contains(e.Addresses, one) {
			e.Addresses = append(e.Addresses, one)
		}
	}
	for place, n := range more.Changed {
		e.Changed[place] += n
	}
}

// findPerson finds the rows about a person to which no index leads, in the form that erase_person takes. It reads tables whole, and
// so must hold no lock that anybody waits for.
func (s *Store) findPerson(ctx context.Context, addresses []string) (found json.RawMessage, more bool, err error) {
	err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `set local enable_seqscan = on`); err != nil {
			return err
		}
		known, err := samePerson(ctx, tx, addresses)
		if err != nil {
			return err
		}
		return tx.QueryRow(ctx, `select coalesce(jsonb_agg(f), '[]'), count(*) > 0 from (
				select 'record' as place, org, id, '' as part from record
					where exists (select from jsonb_each_text(fields) v, unnest($2::text[]) p where v.value ~ p)
				union select 'notification', org, notification_id, '' from decision
					where detail ?| array['previous', 'previous_used'] and detail::text ~ any ($2)
				union select 'notification', org, notification_id, '' from replayed
					where detail ?| array['previous', 'previous_used'] and detail::text ~ any ($2)
				union select 'once_key', org, rule, value from once_key where scope = 'recipient' and value = any ($1)
				union select 'review', '', id::text, '' from review where address = any ($1)) f`, known, patternsOf(known)).Scan(&found, &more)
	})
	if err != nil {
		return nil, false, fmt.Errorf("find what is held on a person: %w", err)
	}
	return found, more, nil
}

func patternsOf(addresses []string) []string {
	patterns := make([]string, len(addresses))
	for i, one := range addresses {
		patterns[i] = address.Address(one).Pattern()
	}
	return patterns
}

// samePerson returns the addresses and all that are known to belong to the same people, in order.
func samePerson(ctx context.Context, tx pgx.Tx, addresses []string) ([]string, error) {
	rows, err := tx.Query(ctx, `select distinct known from same_person($1) order by known`, addresses)
	if err != nil {
		return nil, fmt.Errorf("find a person's addresses: %w", err)
	}
	known, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("find a person's addresses: %w", err)
	}
	return known, nil
}

// erasePass erases once what was found, and what indexes lead to.
func (s *Store) erasePass(ctx context.Context, addresses []string, found json.RawMessage, by, note string) (done Erasure, err error) {
	err = s.inTx(ctx, "erase a person", func(tx pgx.Tx) error { // who sends to the person takes the same locks the other way round
		if err := lockPeople(ctx, tx, addresses); err != nil {
			return err
		}
		var err error
		if done, err = s.erase(ctx, tx, addresses, found); err != nil {
			return err
		}
		detail, err := json.Marshal(map[string]any{"note": clean(note), "rows": done.Changed})
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `insert into audit (operator, action, subject, detail) values ($1, 'consent.erase', $2, $3)`,
			clean(by), s.pseudonym(address.Address(addresses[0])), detail)
		return err
	})
	return done, err
}

func (s *Store) erase(ctx context.Context, tx pgx.Tx, addresses []string, found json.RawMessage) (Erasure, error) {
	plain, err := samePerson(ctx, tx, addresses)
	if err != nil {
		return Erasure{}, err
	}
	done := Erasure{Changed: map[string]int64{}}
	suffix := uuid.NewString()[:8] // the same person may be erased again
	var names []string
	var hashes [][]byte
	for _, text := range plain {
		one := address.Address(text)
		done.Addresses = append(done.Addresses, one)
		names, hashes = append(names, s.pseudonym(one)+"-"+suffix), append(hashes, keyed(s.erasureKeys[0], text))
	}
	var place string
	var changed int64
	count := func(rows pgx.Rows) error {
		return each(rows, []any{&place, &changed}, func() error { done.Changed[place] += changed; return nil })
	}
	var steps pipeline
	steps.query(`select place, changed from erase_questions($1)`, count, plain)
	steps.query(`select place, changed from erase_talk($1)`, count, plain)
	steps.query(`select place, changed from erase_proof($1)`, count, plain)
	steps.query(`select place, changed from erase_person($1, $2, $3, $4)`, count, plain, names, patternsOf(plain), found)
	if err := steps.run(ctx, tx); err != nil {
		return done, err
	}
	var p pipeline
	p.exec(`insert into erasure_key (id) values ($1) on conflict do nothing`, keyID(s.erasureKeys[0]))
	p.exec(`insert into erased (hash) select unnest($1::bytea[]) on conflict (hash) do update set erased_at = now()`, hashes)
	for _, name := range names {
		queueEntry(&p, consent.Entry{
			Org: consent.AnyOrg, Address: address.Address(name), Channel: consent.AllChannels, Action: consent.Erase,
			Source: consent.FromOperator, Evidence: "erasure",
		})
	}
	if err := p.run(ctx, tx); err != nil {
		return done, fmt.Errorf("keep the hashes: %w", err)
	}
	return done, nil
}

// pseudonym stands in the place of an erased address. Who has the key finds the rows of one who asks.
func (s *Store) pseudonym(a address.Address) string {
	return "erased:" + hex.EncodeToString(keyed(s.erasureKeys[0], string(a))[:8])
}
