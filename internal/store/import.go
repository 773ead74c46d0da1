package store

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
)

// importBatch is how many entries are added in one transaction.
const importBatch = 500

// ImportConsent adds entries, some hundreds in each transaction, and returns how many were new. What is there already is left: after
// a failure, or with the same file again, it goes on where it was. With dry everything is rolled back.
func (s *Store) ImportConsent(ctx context.Context, entries []consent.Entry, dry bool) (added int, err error) {
	entries = once(entries)
	for len(entries) > 0 {
		n := min(importBatch, len(entries))
		some, err := s.importSome(ctx, entries[:n], dry)
		if err != nil {
			return added, err
		}
		added, entries = added+some, entries[n:]
	}
	return added, nil
}

// once leaves out what stands in a file twice, so that a rehearsal counts as the real run does.
func once(entries []consent.Entry) []consent.Entry {
	type key struct {
		address  address.Address
		evidence string
		action   consent.Action
		channel  message.Channel
		scope    consent.Scope
	}
	seen := make(map[key]bool, len(entries))
	return slices.DeleteFunc(slices.Clone(entries), func(e consent.Entry) bool {
		k := key{e.Address, e.Evidence, e.Action, e.Channel, e.Scope.Clean()}
		repeated := e.Evidence != "" && seen[k]
		seen[k] = true
		return repeated
	})
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
