package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/consent"
)

// importBatch is how many entries are added in one transaction.
const importBatch = 500

// ImportConsent adds entries, some hundreds in each transaction, and returns how many there were and how many were new. What is there
// already is left: after a failure, or with the same entries again, it goes on where it was. With dry everything is rolled back.
func (s *Store) ImportConsent(ctx context.Context, entries iter.Seq[consent.Entry], dry bool) (rows, added int, err error) {
	seen := map[[sameSize]byte]bool{}
	some := make([]consent.Entry, 0, importBatch)
	add := func() error {
		if len(some) == 0 {
			return nil
		}
		n, err := s.importSome(ctx, some, dry)
		added, some = added+n, some[:0]
		return err
	}
	for e := range entries {
		rows++
		if key := sameEntry(&e); e.Evidence == "" || !seen[key] {
			seen[key] = true
			some = append(some, e)
		}
		if len(some) == importBatch {
			if err := add(); err != nil {
				return rows, added, err
			}
		}
	}
	return rows, added, add()
}

// sameSize is that of a key by which an entry is known again; a part of a hash will do, and a file may have millions.
const sameSize = 16

// sameEntry is the same for what stands in a file twice, so that a rehearsal counts as the real run does.
func sameEntry(e *consent.Entry) [sameSize]byte {
	scope := e.Scope.Clean()
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", []string{
		string(e.Address), e.Evidence, string(e.Action), string(e.Channel), string(scope.Kind), scope.Name,
	}))
	return [sameSize]byte(sum[:])
}

func (s *Store) importSome(ctx context.Context, entries []consent.Entry, dry bool) (int, error) {
	added := 0
	err := s.inTx(ctx, "import consent", func(tx pgx.Tx) error {
		added = 0
		if err := s.checkMark(ctx, tx); err != nil {
			return err
		}
		addresses := make([]string, len(entries))
		for i, e := range entries {
			addresses[i] = string(e.Address)
		}
		if err := lockPeople(ctx, tx, addresses); err != nil {
			return err
		}
		var p pipeline
		for _, e := range entries {
			p.query(insertEntry, func(rows pgx.Rows) error {
				return each(rows, []any{new(int64)}, func() error { added++; return nil })
			}, entryArgs(e)...)
			if e.Channel == consent.AllChannels && e.Scope.KindOrAll() == consent.ScopeAll {
				queueSettle(&p, string(e.Address))
			}
		}
		if err := p.run(ctx, tx); err != nil {
			return err
		}
		if dry {
			return errRehearsal
		}
		return nil
	})
	if errors.Is(err, errRehearsal) {
		err = nil
	}
	return added, err
}
