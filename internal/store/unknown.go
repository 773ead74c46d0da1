package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
)

// ExpireLeases moves attempts whose dispatcher died while sending to unknown, to be looked up after a wait, and returns
// how many there were.
func (s *Store) ExpireLeases(ctx context.Context, lookupAfter time.Duration) (int, error) {
	expired := 0
	err := s.inTx(ctx, "expire leases", func(tx pgx.Tx) error {
		expired = 0
		rows, err := tx.Query(ctx, `select a.id::text, a.message_id::text from live_attempt l join attempt a on a.id = l.attempt_id
			where l.phase = 'sending' and l.lease_until < now() order by a.id for update of a, l skip locked`)
		if err != nil {
			return err
		}
		var ids, messages []string
		var id, messageID string
		err = each(rows, []any{&id, &messageID}, func() error {
			ids, messages = append(ids, id), append(messages, messageID)
			return nil
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		expired = len(ids)
		var p pipeline
		queueMessageLocks(&p, messages)
		p.exec(`update message m set state = 'unknown', reason = $2, updated_at = now() from attempt a
			where a.id = any ($1::text[]::uuid[]) and m.attempt_id = a.id and m.state = 'sending'`, ids, string(message.ReasonUnclear))
		p.exec(`update attempt set state = 'unknown', detail = 'the dispatcher stopped while sending', updated_at = now()
			where id = any ($1::text[]::uuid[]) and state = 'sending'`, ids)
		p.exec(`update live_attempt set phase = 'unknown', lookup_at = now() + $2::interval
			where attempt_id = any ($1::text[]::uuid[])`, ids, lookupAfter)
		return p.run(ctx, tx)
	})
	return expired, err
}

// Lookup is an attempt whose outcome is to be looked up at Twilio.
type Lookup struct {
	AttemptID   string
	MessageID   string
	Sender      string
	Channel     message.Channel
	Address     address.Address
	Content     message.Content
	StartedAt   time.Time
	LeaseUntil  time.Time
	Absences    int // earlier listings in a row that did not show it
	NextChannel int
	Left        time.Duration // of the message's validity; may be negative
	Gap         int64         // not 0: the attempt made no call, it looks for one that was made in this gap
}

// DueLookups returns up to limit unknown attempts whose look-up is due, and keeps other dispatchers off them for the time
// again.
func (s *Store) DueLookups(ctx context.Context, limit int, again time.Duration) ([]Lookup, error) {
	rows, err := s.pool.Query(ctx, `with due as (
			select attempt_id from live_attempt where phase = 'unknown' and lookup_at <= now()
			order by lookup_at limit $1 for update skip locked
		), kept as (
			update live_attempt l set lookup_at = now() + $2::interval
			where l.attempt_id = any (array(select attempt_id from due)) returning l.*)
		select a.id::text, m.id::text, a.sender, a.channel, a.address, m.content, a.started_at, k.lease_until, k.absences,
			m.next_channel, coalesce(m.permitted_at, m.not_before) + m.expires_after - now(), coalesce(a.gap_id, 0)
		from kept k join attempt a on a.id = k.attempt_id join message m on m.id = a.message_id`, limit, again)
	if err != nil {
		return nil, fmt.Errorf("find unknown attempts: %w", err)
	}
	lookups, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Lookup, error) {
		var l Lookup
		err := row.Scan(&l.AttemptID, &l.MessageID, &l.Sender, (*string)(&l.Channel), (*string)(&l.Address), &l.Content,
			&l.StartedAt, &l.LeaseUntil, &l.Absences, &l.NextChannel, &l.Left, &l.Gap)
		return l, err
	})
	if err != nil {
		return nil, fmt.Errorf("find unknown attempts: %w", err)
	}
	return lookups, nil
}

// NoteAbsence notes that a listing did not show an unknown attempt; the next look-up comes after a wait.
func (s *Store) NoteAbsence(ctx context.Context, attemptID string, next time.Duration) error {
	_, err := s.pool.Exec(ctx, `update live_attempt set absences = absences + 1, lookup_at = now() + $2::interval
		where attempt_id = $1::uuid and phase = 'unknown'`, attemptID, next)
	if err != nil {
		return fmt.Errorf("note the absence of attempt %s: %w", attemptID, err)
	}
	return nil
}

// NoteInDoubt notes that a look-up could not tell; the next one comes after a wait and begins anew.
func (s *Store) NoteInDoubt(ctx context.Context, attemptID, why string, next time.Duration) error {
	return s.inTx(ctx, "note an unclear look-up", func(tx pgx.Tx) error {
		var p pipeline
		p.exec(`update attempt set detail = $2, updated_at = now() where id = $1::uuid and state = 'unknown'`, attemptID, why)
		p.exec(`update live_attempt set absences = 0, lookup_at = now() + $2::interval
			where attempt_id = $1::uuid and phase = 'unknown'`, attemptID, next)
		return p.run(ctx, tx)
	})
}

// KnownSIDs returns those of the SIDs that belong to an attempt already.
func (s *Store) KnownSIDs(ctx context.Context, sids []string) (map[string]bool, error) {
	rows, err := s.pool.Query(ctx, `select sid from attempt where sid = any ($1)`, sids)
	if err != nil {
		return nil, fmt.Errorf("read known SIDs: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read known SIDs: %w", err)
	}
	known := make(map[string]bool, len(found))
	for _, sid := range found {
		known[sid] = true
	}
	return known, nil
}

// CountUnknown returns how many attempts are in state unknown.
func (s *Store) CountUnknown(ctx context.Context) (int, error) {
	var n int
	if err := s.pool.QueryRow(ctx, `select count(*) from live_attempt where phase = 'unknown'`).Scan(&n); err != nil {
		return 0, fmt.Errorf("count unknown attempts: %w", err)
	}
	return n, nil
}
