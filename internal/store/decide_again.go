package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

// count adds one to a counter of a map that is made when it is needed.
func count[K comparable](counters *map[K]int, key K) {
	if *counters == nil {
		*counters = map[K]int{}
	}
	(*counters)[key]++
}

// ReplayResult is what came of a notification that a replay brought.
type ReplayResult string

// The results.
const (
	ReplayDecided      ReplayResult = "decided"       // it never was before
	ReplayDecidedAgain ReplayResult = "decided_again" // besides the decisions before
	ReplayDuplicate    ReplayResult = "duplicate"     // its decision stands
)

// again is the decision before the one to make. detail is nil when that one was a dead letter: then the notification is decided
// as if it came now.
type again struct{ detail json.RawMessage }

// redecided tells whether the item is decided with what an earlier decision knew.
func (it *item) redecided() bool { return it.again != nil && it.again.detail != nil }

// takeAgain finds among the notifications of a replay those to decide again. Their keys are locked, so that two replays do not
// decide one at the same time; a replay that has done so already (a redelivery) does not do it twice.
func (d *decision) takeAgain(ctx context.Context, tx pgx.Tx) error {
	byKey := map[notification.Key]*item{}
	var orgs, ids, replays []string
	for _, it := range d.items {
		if it.envelope.Replay == nil || !it.first || d.fresh[it.key()] != nil {
			continue
		}
		byKey[it.key()] = it
		orgs, ids = append(orgs, string(it.envelope.Org)), append(ids, string(it.n.ID))
		replays = append(replays, it.envelope.Replay.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	var p pipeline
	p.exec(`select from notification n join unnest($1::text[], $2::text[]) u (org, id) on n.org = u.org and n.id = u.id
		order by n.org, n.id for update of n`, orgs, ids)
	var org, id, outcome string
	var detail []byte
	p.query(`select u.org, u.id, newest.outcome, newest.detail from unnest($1::text[], $2::text[], $3::text[]) u (org, id, replay)
		cross join lateral (
			select d.outcome, d.detail, d.decided_at from decision d where d.org = u.org and d.notification_id = u.id
			union all
			select r.outcome, r.detail, r.decided_at from replayed r
			where r.org = u.org and r.notification_id = u.id and r.result = 'decided_again'
			order by decided_at desc limit 1) newest
		where not exists (select from replayed r where r.org = u.org and r.notification_id = u.id and r.replay_id = u.replay)`,
		func(rows pgx.Rows) error {
			return each(rows, []any{&org, &id, &outcome, &detail}, func() error {
				it := byKey[notification.Key{Org: notification.OrgID(org), ID: notification.ID(id)}]
				dead := notification.Outcome(outcome) == notification.DeadLetter
				if !dead && it.envelope.Replay.Mode == notification.ReplayMissing {
					return nil
				}
				it.again = &again{}
				if !dead {
					it.again.detail = slices.Clone(detail)
				}
				d.fresh[it.key()] = it
				return nil
			})
		}, orgs, ids, replays)
	if err := p.run(ctx, tx); err != nil {
		return fmt.Errorf("find earlier decisions: %w", err)
	}
	return nil
}

// ownOnceKeys adds to taken the `once` keys that the same notification took when it was decided before.
func (d *decision) ownOnceKeys(ctx context.Context, tx pgx.Tx, owners map[onceRow]*item, taken map[onceRow]bool) error {
	var orgs, rules, scopes, values, ids []string
	for row, owner := range owners {
		if owner.again == nil {
			continue
		}
		orgs, rules, scopes = append(orgs, string(row.org)), append(rules, row.rule), append(scopes, row.key.Scope)
		values, ids = append(values, row.key.Value), append(ids, string(owner.n.ID))
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `select k.org, k.rule, k.scope, k.value from once_key k
		join unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) u (org, rule, scope, value, id)
			on k.org = u.org and k.rule = u.rule and k.scope = u.scope and k.value = u.value and k.notification_id = u.id`,
		orgs, rules, scopes, values, ids)
	if err != nil {
		return err
	}
	var row onceRow
	return each(rows, []any{(*string)(&row.org), &row.rule, &row.key.Scope, &row.key.Value}, func() error {
		taken[row] = true
		return nil
	})
}

// reached is what is there of a rule's message to a recipient.
type reached struct {
	org          notification.OrgID
	id           notification.ID
	rule         string
	recipient    address.Address
	onlyInVain   bool // all of them failed before anything was sent: the template or the number was wrong
	stillWaiting bool // one has not been sent yet
}

// holdBack drops from the messages of a decision made again those that were made before. A message that could not even be
// made properly then (a template or number that was wrong) has reached nobody and holds nothing back. A forced replay makes
// the others again, under its own salt, unless the first one still waits to be sent.
func (d *decision) holdBack(ctx context.Context, tx pgx.Tx) error {
	var orgs, ids []string
	for _, it := range d.items {
		if it.again != nil && it.decided != nil && len(it.decided.Messages) > 0 {
			orgs, ids = append(orgs, string(it.envelope.Org)), append(ids, string(it.n.ID))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `select m.org, m.notification_id, m.rule, m.recipient,
			bool_and(m.state = 'failed' and m.attempts = 0), bool_or(m.state in ('queued', 'sending', 'unknown'))
		from unnest($1::text[], $2::text[]) u (org, id) join message m on m.org = u.org and m.notification_id = u.id
		group by 1, 2, 3, 4`, orgs, ids)
	if err != nil {
		return fmt.Errorf("find messages made before: %w", err)
	}
	before, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r reached, err error) {
		err = row.Scan((*string)(&r.org), (*string)(&r.id), &r.rule, (*string)(&r.recipient), &r.onlyInVain, &r.stillWaiting)
		return r, err
	})
	if err != nil {
		return fmt.Errorf("read messages made before: %w", err)
	}
	for _, it := range d.items {
		if it.again != nil && it.decided != nil {
			it.holdBack(before)
			d.result.Held += it.held
		}
	}
	return nil
}

func (it *item) holdBack(before []reached) {
	replay := it.envelope.Replay
	it.decided.Messages = slices.DeleteFunc(it.decided.Messages, func(m NewMessage) bool {
		at := slices.IndexFunc(before, func(r reached) bool {
			return r.org == it.envelope.Org && r.id == it.n.ID && r.rule == m.Rule && r.recipient == m.To
		})
		forced := at >= 0 && replay.Mode == notification.ReplayForce && !before[at].stillWaiting
		if at >= 0 && !forced && (!before[at].onlyInVain || m.State != message.Queued) {
			it.held++
			return true
		}
		return false
	})
	for i := range it.decided.Messages {
		m := &it.decided.Messages[i]
		if slices.ContainsFunc(before, func(r reached) bool { return r.id == it.n.ID && r.rule == m.Rule && r.recipient == m.To }) {
			m.salt = replay.ID
		}
	}
}

// queueReplayed notes what came of each notification that a replay brought, once for each replay.
func (d *decision) queueReplayed(p *pipeline) error {
	var orgs, ids, replays, modes, results, outcomes, sets, details, skipped []string
	var made, held []int32
	var seqs []int64
	for _, it := range d.items {
		replay := it.envelope.Replay
		if replay == nil || !it.first {
			continue
		}
		result, decided := it.replayResult()
		count(&d.result.Replayed, result)
		orgs, ids = append(orgs, string(it.envelope.Org)), append(ids, string(it.n.ID))
		replays, modes = append(replays, replay.ID), append(modes, string(replay.Mode))
		results, outcomes = append(results, string(result)), append(outcomes, string(decided.Outcome))
		sets, skipped = append(sets, decided.RuleSet), append(skipped, strings.Join(it.skipped, ","))
		details = append(details, cmp.Or(string(decided.Detail), "{}"))
		made, held = append(made, int32(len(decided.Messages))), append(held, int32(it.held))
		seqs = append(seqs, int64(it.envelope.Seq))
	}
	if len(ids) == 0 {
		return nil
	}
	if slices.Contains(replays, "") {
		return errors.New("a replay has no id")
	}
	p.exec(`insert into replayed (org, notification_id, replay_id, mode, result, outcome, rule_set, detail, once_skipped, made, held,
			stream_seq)
		select org, id, replay, mode, result, outcome, rule_set, detail::jsonb, string_to_array(skipped, ','), made, held, seq
		from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
			$10::integer[], $11::integer[], $12::bigint[])
			u (org, id, replay, mode, result, outcome, rule_set, detail, skipped, made, held, seq)
		on conflict (org, notification_id, replay_id) do nothing`,
		orgs, ids, replays, modes, results, outcomes, sets, details, skipped, made, held, seqs)
	return nil
}

func (it *item) replayResult() (ReplayResult, Decided) {
	switch {
	case it.decided == nil:
		return ReplayDuplicate, Decided{}
	case it.again == nil:
		return ReplayDecided, *it.decided
	}
	return ReplayDecidedAgain, *it.decided
}

// errRehearsal ends the transaction of a rehearsal.
var errRehearsal = errors.New("it was a rehearsal")

// Rehearse says what Decide would do, and does nothing: its transaction is rolled back. Each call looks at the ledger as it is:
// what one envelope would change is not seen by the next.
func (s *Store) Rehearse(ctx context.Context, envelopes []Envelope, decide func(Pending) Decided) (*DecideResult, error) {
	var result *DecideResult
	err := s.inTx(ctx, "rehearse decisions", func(tx pgx.Tx) (err error) {
		if result, err = decideIn(ctx, tx, envelopes, decide); err != nil {
			return err
		}
		return errRehearsal
	})
	if errors.Is(err, errRehearsal) {
		return result, nil
	}
	return nil, err
}

// ReplayCounts is what came of the notifications that a replay brought so far.
type ReplayCounts struct {
	Results  map[ReplayResult]int         `json:"results"`
	Outcomes map[notification.Outcome]int `json:"outcomes"` // of those decided or decided again
	Made     int                          `json:"messages_made"`
	Held     int                          `json:"messages_held"` // not made, since they were made before
}

// CountReplay counts what a replay did so far.
func (s *Store) CountReplay(ctx context.Context, id string) (ReplayCounts, error) {
	counts := ReplayCounts{Results: map[ReplayResult]int{}, Outcomes: map[notification.Outcome]int{}}
	rows, err := s.pool.Query(ctx, `select result, outcome, count(*), sum(made), sum(held) from replayed where replay_id = $1 group by 1, 2`, id)
	if err != nil {
		return counts, fmt.Errorf("count a replay: %w", err)
	}
	var result, outcome string
	var n, made, held int
	err = each(rows, []any{&result, &outcome, &n, &made, &held}, func() error {
		counts.Results[ReplayResult(result)] += n
		if outcome != "" {
			counts.Outcomes[notification.Outcome(outcome)] += n
		}
		counts.Made, counts.Held = counts.Made+made, counts.Held+held
		return nil
	})
	if err != nil {
		return counts, fmt.Errorf("count a replay: %w", err)
	}
	return counts, nil
}
