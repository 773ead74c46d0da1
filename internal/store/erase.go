package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

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

// shareErasure suppresses every address of a person one of whose addresses was erased before it was known to be theirs. It dates that
// back to then, so that it ends by the same word of the person.
func (s *Store) shareErasure(ctx context.Context, tx pgx.Tx, a address.Address) error {
	if len(s.erasureKeys) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `select distinct known from same_person(array[$1::text])`, string(a))
	if err != nil {
		return fmt.Errorf("find a person's addresses: %w", err)
	}
	known, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("find a person's addresses: %w", err)
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

// ErasePerson takes a person's contents and addresses out of every table, in one transaction under the locks of the addresses. What
// stays are rows without either, and a keyed hash of each address: nothing is sent to it until the person's next word. ErrInFlight
// and ErrNoErasureKey say why it was not done. A repeated call erases what has come since.
func (s *Store) ErasePerson(ctx context.Context, a address.Address, by, note string) (Erasure, error) {
	if len(s.erasureKeys) == 0 {
		return Erasure{}, ErrNoErasureKey
	}
	done, err := s.eraseOnce(ctx, a, by, note)
	for try := 1; retryable(err) && try < transactionTries; try++ { // whoever sends to the person takes the same locks the other way round
		done, err = s.eraseOnce(ctx, a, by, note)
	}
	switch {
	case sqlState(err) == codeInFlight:
		return done, ErrInFlight
	case err != nil:
		return done, fmt.Errorf("erase a person: %w", err)
	}
	return done, nil
}

func (s *Store) eraseOnce(ctx context.Context, a address.Address, by, note string) (done Erasure, err error) {
	// Not inTx: the tables are read whole, which may take longer than a call may.
	err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if err := lockPeople(ctx, tx, []string{string(a)}); err != nil {
			return err
		}
		var err error
		if done, err = s.erase(ctx, tx, a); err != nil {
			return err
		}
		detail, err := json.Marshal(map[string]any{"note": clean(note), "rows": done.Changed})
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `insert into audit (operator, action, subject, detail) values ($1, 'consent.erase', $2, $3)`,
			clean(by), s.pseudonym(a), detail)
		return err
	})
	return done, err
}

func (s *Store) erase(ctx context.Context, tx pgx.Tx, a address.Address) (Erasure, error) {
	rows, err := tx.Query(ctx, `select distinct known from same_person(array[$1::text]) order by known`, string(a))
	if err != nil {
		return Erasure{}, err
	}
	plain, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return Erasure{}, err
	}
	done := Erasure{Changed: map[string]int64{}}
	suffix := uuid.NewString()[:8] // the same person may be erased again
	var names, patterns []string
	var hashes [][]byte
	for _, text := range plain {
		one := address.Address(text)
		done.Addresses = append(done.Addresses, one)
		names, patterns, hashes = append(names, s.pseudonym(one)+"-"+suffix), append(patterns, one.Pattern()), append(hashes, keyed(s.erasureKeys[0], text))
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
	steps.query(`select place, changed from erase_person($1, $2, $3)`, count, plain, names, patterns)
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
