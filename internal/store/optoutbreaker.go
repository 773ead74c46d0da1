package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// OptOutBreaker says at which share of opt-outs a rule is paused: of the people whom its messages reached within the time Per, at
// least AtLeast have opted out in answer to one of these, and more than the share Above.
type OptOutBreaker struct {
	Above   float64       `json:"above"` // from 0 to 1
	Per     time.Duration `json:"per"`   // nanoseconds
	AtLeast int           `json:"at_least"`
}

// longestPer is the longest OptOutBreaker.Per; opt-outs are kept for this time.
const longestPer = 30 * 24 * time.Hour

// ruleLockClass sets the locks of rules apart from any other advisory lock in the database. Who decides whether a rule is paused, and
// who lets it go on, holds it: else a share that was computed before a human let the rule go on could pause it after that.
const ruleLockClass = 0x72756c65

func queueRuleLock(p *pipeline, rule string) {
	p.exec(`select pg_advisory_xact_lock($1, hashtext($2))`, ruleLockClass, rule)
}

// queueRuleOptOut notes that a stored reply, by which a person opted out, answers a message of a rule with an OptOutBreaker. The share
// is looked at later, by CheckOptOuts: to count the people may take time, and this is a transaction that sending waits for.
func queueRuleOptOut(p *pipeline, sid string) {
	p.exec(`insert into rule_opt_out (message_id, rule) select m.id, m.rule from inbound i join message m on m.id = i.message_id
		where i.sid = $1 and m.opt_out_breaker is not null on conflict do nothing`, sid)
}

// CheckOptOuts looks at the rules with an OptOutBreaker whose messages were answered with an opt-out since the last look, pauses those
// with too many, and returns their names. It may run in several processes at once: a rule is paused once.
func (s *Store) CheckOptOuts(ctx context.Context) (paused []string, err error) {
	if _, err := s.pool.Exec(ctx, `delete from rule_opt_out where checked and said_at < now() - $1::interval`, longestPer); err != nil {
		return nil, fmt.Errorf("drop old opt-outs of rules: %w", err)
	}
	rows, err := s.pool.Query(ctx, `select o.rule, array_agg(o.message_id::text),
			(select m.opt_out_breaker from rule_opt_out l join message m on m.id = l.message_id where l.rule = o.rule order by m.id desc limit 1),
			coalesce((select resumed_at from rule_resume r where r.rule = o.rule), 'epoch')
		from rule_opt_out o where not o.checked group by o.rule order by o.rule`)
	if err != nil {
		return nil, fmt.Errorf("find the rules that people opted out of: %w", err)
	}
	looks, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l optOutLook, err error) {
		err = row.Scan(&l.rule, &l.messages, &l.limit, &l.resumed)
		return l, err
	})
	if err != nil {
		return nil, fmt.Errorf("find the rules that people opted out of: %w", err)
	}
	for _, l := range looks {
		tripped, err := s.lookAtOptOuts(ctx, l)
		if err != nil {
			return paused, fmt.Errorf("look at the opt-outs of the rule %s: %w", l.rule, err)
		}
		if tripped {
			paused = append(paused, l.rule)
		}
	}
	return paused, nil
}

// optOutLook is a look at the share of one rule.
type optOutLook struct {
	rule     string
	messages []string      // answered with an opt-out since the last look
	limit    OptOutBreaker // of the newest message that was ever answered so
	resumed  time.Time
}

// lookAtOptOuts counts without a lock, and then decides under one, unless a human has let the rule go on meanwhile. A process that dies
// in between has changed nothing: the look is due still.
func (s *Store) lookAtOptOuts(ctx context.Context, l optOutLook) (paused bool, err error) {
	optedOut, reached, err := s.optOutShare(ctx, l)
	if err != nil {
		return false, err
	}
	tooMany := optedOut >= l.limit.AtLeast && float64(optedOut) > l.limit.Above*float64(reached)
	err = s.inTx(ctx, "pause a rule", func(tx pgx.Tx) (err error) {
		paused = false
		var p pipeline
		resumed := l.resumed
		queueRuleLock(&p, l.rule)
		p.exec(`update rule_opt_out set checked = true where message_id = any ($1::uuid[])`, l.messages)
		p.query(`select resumed_at from rule_resume where rule = $1`, func(rows pgx.Rows) error {
			return each(rows, []any{&resumed}, func() error { return nil })
		}, l.rule)
		if err := p.run(ctx, tx); err != nil || !tooMany || !resumed.Equal(l.resumed) {
			return err
		}
		note := fmt.Sprintf("%d of %d people opted out, of those reached in %s", optedOut, reached, l.limit.Per)
		paused, err = RuleSwitch{Rule: l.rule, By: PausedByBreaker, Note: note}.pause(ctx, tx)
		return err
	})
	return paused, err
}

// optOutShare counts people, not messages, and those alone to whom a message of the rule went since the beginning of the limit's time,
// or since a human let the rule go on: an opt-out in answer to an older message counts on neither side. Who was reached is counted only
// when there are enough opt-outs.
func (s *Store) optOutShare(ctx context.Context, l optOutLook) (optedOut, reached int, err error) {
	err = s.pool.QueryRow(ctx, `select count(distinct m.recipient) from rule_opt_out o join message m on m.id = o.message_id
		where o.rule = $1 and exists (select from attempt a
			where a.message_id = o.message_id and a.sid is not null and a.started_at > greatest($2, now() - $3::interval))`,
		l.rule, l.resumed, l.limit.Per).Scan(&optedOut)
	if err != nil || optedOut < l.limit.AtLeast {
		return optedOut, 0, err
	}
	err = s.pool.QueryRow(ctx, `select count(distinct m.recipient) from attempt a join message m on m.id = a.message_id
		where m.rule = $1 and a.sid is not null and a.started_at > greatest($2, now() - $3::interval)`,
		l.rule, l.resumed, l.limit.Per).Scan(&reached)
	return optedOut, reached, err
}
