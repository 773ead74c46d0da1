package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// CountOptOuts returns how many opt-outs have entered the ledger since it was last asked, by the rule of the message that each answers:
// words of replies, what a review came to, error codes of calls and callbacks. Each is returned once, to one process; those younger than
// lag wait, since an older one may still be on its way. The first call returns none.
func (s *Store) CountOptOuts(ctx context.Context, lag time.Duration) (map[string]int, error) {
	var counts map[string]int
	err := s.inTx(ctx, "count opt-outs", func(tx pgx.Tx) error {
		counts = map[string]int{}
		if _, err := tx.Exec(ctx, `insert into mark (name, at, next_at) values ('opt_outs', now() - $1::interval, now()) on conflict do nothing`, lag); err != nil {
			return err
		}
		var since, until time.Time
		err := tx.QueryRow(ctx, `select at, greatest(at, now() - $1::interval) from mark where name = 'opt_outs' for update skip locked`, lag).
			Scan(&since, &until)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // another process does
		}
		if err != nil {
			return err
		}
		var rule string
		var n int
		rows, err := tx.Query(ctx, `select m.rule, count(*) from consent c
			cross join lateral (
				select i.message_id as id from inbound i where i.sid = c.evidence
				union all select a.message_id from attempt a where a.sid = c.evidence
				union all select a.message_id from attempt a
					where a.id = case when c.source = 'twilio_error' and c.evidence like 'attempt %' then substr(c.evidence, 9)::uuid end) answered
			join message m on m.id = answered.id
			where c.recorded_at > $1 and c.recorded_at <= $2 and c.action = 'opt_out' and m.rule <> ''
				and c.source in ('keyword', 'twilio_opt_out', 'twilio_error', 'review')
			group by m.rule`, since, until)
		if err != nil {
			return err
		}
		if err := each(rows, []any{&rule, &n}, func() error { counts[rule] = n; return nil }); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `update mark set at = $1 where name = 'opt_outs'`, until); err != nil {
			return fmt.Errorf("note how far it was counted: %w", err)
		}
		return nil
	})
	return counts, err
}
