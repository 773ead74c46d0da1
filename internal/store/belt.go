package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

// beltCheck is how long a message is left alone that is on the belt, or that the router is about to put there, before the
// scheduler looks whether it travels.
const beltCheck = 30 * time.Second

// Travelling notes on which stream sequences fresh messages travel. epoch names the stream's life: it changes when the
// stream is created anew. Messages that were claimed meanwhile are left out, also those that wait or are queued again since.
func (s *Store) Travelling(ctx context.Context, refs []BeltRef, seqs []uint64, epoch string) error {
	return s.inTx(ctx, "note the sequences of messages on the belt", func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, travellingSQL, beltIDs(refs), signed(seqs), epoch)
		return err
	})
}

// travellingSQL waits for nobody: a row that is locked is being claimed. It leaves due_at alone, so that no index changes:
// whoever puts a row on the belt has set it to the time of the next check.
const travellingSQL = `with fresh as (
		select b.message_id, u.seq from unnest($1::text[]::uuid[], $2::bigint[]) u (id, seq)
		join belt b on b.message_id = u.id where b.seq is null for update of b skip locked)
	update belt b set seq = fresh.seq, epoch = $3 from fresh where b.message_id = fresh.message_id`

// SweepRequest says whose rows to look at, and what their consumer has finished.
type SweepRequest struct {
	Sender string
	Floor  uint64        // the sequence up to which the sender's consumer is done
	Epoch  string        // names the stream's life
	Limit  int           // most rows
	Pace   time.Duration // the sender's rate, as in ClaimRequest; 0 for none
}

// longestCheck bounds how long a row far back in the line of a sender with a rate is left alone.
const longestCheck = 10 * time.Minute

// Sweep finds up to Limit queued messages of a sender that are due and do not travel: never put on the belt, or on a sequence
// at or below Floor (the consumer is done with it), or on a stream of another epoch. publish puts them on the belt and returns
// their sequences. Messages whose time is over are expired instead. Rows that travel are looked at again later: those of a
// sender with a rate, all the later the more of the stream is before them, since a long line would otherwise be read and
// written again and again while it moves slowly.
//
// No lock is held while publish runs, since what it publishes may be claimed at once. A crash in between leaves the rows
// for a later sweep.
func (s *Store) Sweep(
	ctx context.Context, request SweepRequest, publish func(context.Context, []BeltRef) ([]uint64, error),
) (Swept, error) {
	refs, late, looked, err := s.takeLying(ctx, request)
	swept := Swept{Looked: looked}
	if err != nil {
		return swept, err
	}
	if swept.Expired, err = s.expire(ctx, late); err != nil {
		return swept, errors.Join(err, s.giveBack(ctx, refs))
	}
	if len(refs) == 0 {
		return swept, nil
	}
	seqs, err := publish(ctx, refs)
	if err != nil {
		return swept, errors.Join(fmt.Errorf("put %d messages on the belt: %w", len(refs), err), s.giveBack(ctx, refs))
	}
	return swept, s.Travelling(ctx, refs, seqs, request.Epoch)
}

// Swept says what a sweep did. Looked is how many due rows it looked at: fewer than its limit means that no more are due now.
type Swept struct{ Looked, Expired int }

// takeLying finds what is due, marks what does not travel as fresh, and keeps other sweepers off all of it for a while. late
// are those for which it is too late; looked is how many rows were due, up to limit.
func (s *Store) takeLying(ctx context.Context, request SweepRequest) (refs []BeltRef, late []string, looked int, err error) {
	err = s.inTx(ctx, "sweep the belt", func(tx pgx.Tx) error {
		refs, late, looked = nil, nil, 0
		rows, err := tx.Query(ctx, `with due as (
				select message_id, seq is null or seq <= $1 or epoch <> $2 as lying from belt
				where sender = $5 and due_at <= now() order by due_at limit $3 for update skip locked
			), aged as (
				-- what may have been sent in a gap is looked up first
				select due.*, coalesce(m.permitted_at, m.not_before) + m.expires_after <= now()
					and m.created_at > coalesce((select max(coalesce(replayed_at, now())) from gap), '-infinity') as late
				from due join message m on m.id = due.message_id)
			update belt b set seq = case when due.lying then null else b.seq end,
				due_at = now() + $4::interval
					+ case when due.lying then interval '0' else least(least(b.seq - $1, 1000000) * $6::interval, $7::interval) end
			from aged due where b.message_id = due.message_id
			returning b.message_id::text, b.org, due.lying, due.late`,
			int64(request.Floor), request.Epoch, request.Limit, beltCheck, request.Sender, request.Pace, longestCheck)
		if err != nil {
			return err
		}
		var id, org string
		var lying, over bool
		return each(rows, []any{&id, &org, &lying, &over}, func() error {
			looked++
			switch {
			case over:
				late = append(late, id)
			case lying:
				refs = append(refs, BeltRef{Org: notification.OrgID(org), ID: id, Sender: request.Sender})
			}
			return nil
		})
	})
	return refs, late, looked, err
}

// giveBack makes rows that could not be published due again.
func (s *Store) giveBack(ctx context.Context, refs []BeltRef) error {
	_, err := s.pool.Exec(ctx, `update belt set due_at = now() where message_id in (
		select message_id from belt where message_id = any ($1::text[]::uuid[]) and seq is null for update skip locked)`, beltIDs(refs))
	if err != nil {
		return fmt.Errorf("make %d messages due again: %w", len(refs), err)
	}
	return nil
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

// Unserved counts the queued messages, up to ten thousand, whose sender is none of the names: nobody takes them.
func (s *Store) Unserved(ctx context.Context, senders []string) (map[string]int, error) {
	rows, err := s.pool.Query(ctx, `select sender, count(*) from
		(select sender from belt where sender <> all ($1) limit 10000) b group by sender`, senders)
	if err != nil {
		return nil, fmt.Errorf("look for messages of unknown senders: %w", err)
	}
	counts := map[string]int{}
	var sender string
	var n int
	if err := each(rows, []any{&sender, &n}, func() error { counts[sender] = n; return nil }); err != nil {
		return nil, fmt.Errorf("look for messages of unknown senders: %w", err)
	}
	return counts, nil
}

// Held counts the queued messages, up to ten thousand, that were made longer ago than age and that a gate still holds back, by the
// reason. Nothing but a decision of somebody, or room under a cap, lets some of them go: their time has not begun, so they do not expire.
func (s *Store) Held(ctx context.Context, age time.Duration) (map[message.Reason]int, error) {
	rows, err := s.pool.Query(ctx, `select reason, count(*) from (
			select m.reason from belt b join message m on m.id = b.message_id
			where b.message_id < `+fmt.Sprintf(uuidAt, "now() - $1::interval")+` and m.reason <> '' limit 10000) held group by reason`, age)
	if err != nil {
		return nil, fmt.Errorf("look for messages that are held back: %w", err)
	}
	counts := map[message.Reason]int{}
	var reason string
	var n int
	if err := each(rows, []any{&reason, &n}, func() error { counts[message.Reason(reason)] = n; return nil }); err != nil {
		return nil, fmt.Errorf("look for messages that are held back: %w", err)
	}
	return counts, nil
}
