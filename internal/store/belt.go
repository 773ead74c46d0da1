package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/notification"
)

// beltCheck is how long a travelling message is left alone before the scheduler looks whether it still travels.
const beltCheck = 30 * time.Second

// Travelling notes on which stream sequences messages travel. epoch names the stream's life: it changes when the stream is
// created anew. Messages that were claimed meanwhile are left out.
func (s *Store) Travelling(ctx context.Context, refs []BeltRef, seqs []uint64, epoch string) error {
	_, err := s.pool.Exec(ctx, travellingSQL, beltIDs(refs), signed(seqs), epoch, beltCheck)
	if err != nil {
		return fmt.Errorf("note the sequences of %d messages on the belt: %w", len(refs), err)
	}
	return nil
}

const travellingSQL = `update belt b set seq = u.seq, epoch = $3, due_at = now() + $4::interval
	from unnest($1::text[], $2::bigint[]) u (id, seq) where b.message_id = u.id::uuid`

// Sweep finds up to limit queued messages that are due and do not travel: never put on the belt, or on a sequence at or
// below floor (the consumer is done with it), or on a stream of another epoch. publish puts them on the belt and returns
// their sequences. It returns how many there were. Rows that travel are looked at again later.
func (s *Store) Sweep(
	ctx context.Context, floor uint64, epoch string, limit int, publish func(context.Context, []BeltRef) ([]uint64, error),
) (int, error) {
	swept := 0
	err := s.inTx(ctx, "sweep the belt", func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `select message_id::text, org, seq is null or seq <= $1 or epoch <> $2 from belt
			where due_at <= now() order by due_at limit $3 for update skip locked`, int64(floor), epoch, limit)
		if err != nil {
			return err
		}
		var refs []BeltRef
		var travelling []string
		var id, org string
		var lying bool
		err = each(rows, []any{&id, &org, &lying}, func() error {
			if lying {
				refs = append(refs, BeltRef{Org: notification.OrgID(org), ID: id})
			} else {
				travelling = append(travelling, id)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `update belt set due_at = now() + $2::interval where message_id = any ($1::text[]::uuid[])`,
			travelling, beltCheck); err != nil || len(refs) == 0 {
			return err
		}
		seqs, err := publish(ctx, refs)
		if err != nil {
			return fmt.Errorf("put %d messages on the belt: %w", len(refs), err)
		}
		swept = len(refs)
		_, err = tx.Exec(ctx, travellingSQL, beltIDs(refs), signed(seqs), epoch, beltCheck)
		return err
	})
	return swept, err
}

func beltIDs(refs []BeltRef) []string {
	ids := make([]string, len(refs))
	for i, ref := range refs {
		ids[i] = ref.ID
	}
	return ids
}

func signed(seqs []uint64) []int64 {
	out := make([]int64, len(seqs))
	for i, seq := range seqs {
		out[i] = int64(seq)
	}
	return out
}
