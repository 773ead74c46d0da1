package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/message"
)

// PausedByBreaker is who paused a rule when no human did.
const PausedByBreaker = "beckon"

// habitSpan is how far back a rule's habit is looked for.
const habitSpan = 7 * 24 * time.Hour

// Breaker says when a rule makes so many messages that something must be wrong: AtLeast in one of the spans of length Per, and
// Above times as many as in its busiest span of the last seven days.
type Breaker struct {
	Above   float64
	Per     time.Duration
	AtLeast int
}

// RulePause is a rule whose messages wait.
type RulePause struct {
	Rule     string
	PausedAt time.Time
	PausedBy string
	Note     string
}

// RuleSwitch is who pauses a rule or lets it go on, and why.
type RuleSwitch struct {
	Rule, By, Note string
}

// countRules counts the messages of rules with a breaker, and pauses those that made too many. It comes last in its transaction: a
// counter is locked to the end.
func (d *decision) countRules(ctx context.Context, tx pgx.Tx) error {
	breakers, made := map[string]*Breaker{}, map[string]int32{}
	for _, it := range d.items {
		if it.decided == nil {
			continue
		}
		for _, m := range it.decided.Messages {
			if m.Breaker != nil && m.State == message.Queued {
				breakers[m.Rule] = m.Breaker
				made[m.Rule]++
			}
		}
	}
	if len(breakers) == 0 {
		return nil
	}
	var rules []string
	for rule := range breakers {
		rules = append(rules, rule)
	}
	slices.Sort(rules)
	var counts, least []int32
	var spans []time.Duration
	var above []float64
	for _, rule := range rules {
		b := breakers[rule]
		counts, least = append(counts, made[rule]), append(least, int32(b.AtLeast))
		spans, above = append(spans, b.Per), append(above, b.Above)
	}
	rows, err := tx.Query(ctx, `with asked as (
			select rule, made, at_least, above, to_timestamp(floor(extract(epoch from now()) / extract(epoch from per)) * extract(epoch from per)) as span
			from unnest($1::text[], $2::integer[], $3::integer[], $4::interval[], $5::double precision[]) u (rule, made, at_least, per, above)),
		counted as (
			insert into rule_count as c (rule, span, messages) select rule, span, made from asked order by rule
			on conflict (rule, span) do update set messages = c.messages + excluded.messages returning rule, span, messages),
		paused as (
		insert into rule_pause (rule, paused_by, note)
		select c.rule, $6, format('%s messages since %s, at most %s before', c.messages, c.span, h.most)
		from counted c join asked a on a.rule = c.rule cross join lateral (
			select coalesce(max(messages), 0) as most from rule_count o where o.rule = c.rule and o.span < c.span and o.span > now() - $7::interval) h
		where c.messages >= greatest(a.at_least, a.above * h.most)
		on conflict (rule) do nothing returning rule, note)
		insert into audit (operator, action, subject, detail)
		select $6, 'rules.pause', rule, jsonb_build_object('note', note) from paused returning subject`, rules, counts, least, spans, above, PausedByBreaker, habitSpan)
	if err == nil {
		d.result.Paused, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err == nil {
		_, err = tx.Exec(ctx, `delete from rule_count where rule = any ($1) and span < now() - $2::interval`, rules, habitSpan)
	}
	if err != nil {
		return fmt.Errorf("count the messages of rules: %w", err)
	}
	return nil
}

// RuleWaits tells whether a message of a rule is queued, also of a rule that is in no file any more.
func (s *Store) RuleWaits(ctx context.Context, rule string) (waits bool, err error) {
	err = s.pool.QueryRow(ctx, `select exists (select from belt b join message m on m.id = b.message_id where m.rule = $1)`, rule).Scan(&waits)
	if err != nil {
		return false, fmt.Errorf("look for messages of a rule: %w", err)
	}
	return waits, nil
}

// PauseRule lets the messages of a rule wait, from the next claim on. It tells whether they did not before.
func (s *Store) PauseRule(ctx context.Context, by RuleSwitch) (changed bool, err error) {
	err = s.inTx(ctx, "pause a rule", func(tx pgx.Tx) (err error) {
		changed, err = by.pause(ctx, tx)
		return err
	})
	return changed, err
}

func (by RuleSwitch) pause(ctx context.Context, tx pgx.Tx) (changed bool, err error) {
	tag, err := tx.Exec(ctx, `insert into rule_pause (rule, paused_by, note) values ($1, $2, $3) on conflict (rule) do nothing`, by.Rule, by.By, by.Note)
	if err != nil || tag.RowsAffected() == 0 {
		return false, err
	}
	return true, by.audit(ctx, tx, "rules.pause")
}

// ResumeRule lets the messages of a rule go on, at once. An error after it is resumed says that some of them have to wait a little. What it has made in this span is part of its habit from now on, and who opts
// out in answer to what it sent before is not held against it again. It tells whether the rule was paused.
func (s *Store) ResumeRule(ctx context.Context, by RuleSwitch) (changed bool, err error) {
	err = s.inTx(ctx, "resume a rule", func(tx pgx.Tx) error {
		var lock pipeline
		queueRuleLock(&lock, by.Rule)
		// The router counts a rule's messages before it pauses the rule. In another order the two could wait for one another.
		lock.exec(`select from rule_count where rule = $1 order by span for update`, by.Rule)
		if err := lock.run(ctx, tx); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `delete from rule_pause where rule = $1`, by.Rule)
		if changed = err == nil && tag.RowsAffected() == 1; !changed {
			return err
		}
		var p pipeline
		// Beside the span that goes on, which may have one from an earlier resumption.
		p.exec(`with newest as (delete from rule_count where rule = $1 and span = (select max(span) from rule_count where rule = $1)
				returning rule, span, messages)
			insert into rule_count as c (rule, span, messages) select rule, span - interval '1 microsecond', messages from newest
			on conflict (rule, span) do update set messages = c.messages + excluded.messages`, by.Rule)
		p.exec(`insert into rule_resume (rule, resumed_at) values ($1, clock_timestamp())
			on conflict (rule) do update set resumed_at = excluded.resumed_at`, by.Rule)
		if err := p.run(ctx, tx); err != nil {
			return err
		}
		return by.audit(ctx, tx, "rules.resume")
	})
	if !changed || err != nil {
		return changed, err
	}
	return true, s.freeRule(ctx, by.Rule)
}

// freePage is how many rows of the belt one step of freeRule looks at.
const freePage = 5000

// freeRule makes the messages due that wait since their rule was paused, page by page along the belt: there may be a million of them,
// which no transaction could hold at once. What a claim has in hand it waits for: that may have found the rule paused still.
// When it ends early, the rest is looked at within the hour all the same.
func (s *Store) freeRule(ctx context.Context, rule string) error {
	for after := uuid.Nil.String(); after != ""; {
		var page []string
		err := s.inTx(ctx, "let the messages of a rule go on", func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, `select message_id::text from belt where message_id > $1::uuid order by message_id limit $2`, after, freePage)
			if err == nil {
				page, err = pgx.CollectRows(rows, pgx.RowTo[string])
			}
			if err != nil || len(page) == 0 {
				return err
			}
			_, err = tx.Exec(ctx, `with freed as (update message set not_before = now(), updated_at = now()
					where id = any (array(select id from message where id = any ($1::text[]::uuid[]) and rule = $2 and state = 'queued' and reason = $3
						order by id for update)) returning id)
				update belt set due_at = now() where message_id in (select id from freed)`, page, rule, string(message.ReasonRulePaused))
			return err
		})
		if err != nil {
			return err
		}
		after = ""
		if len(page) == freePage {
			after = page[freePage-1]
		}
	}
	return nil
}

func (by RuleSwitch) audit(ctx context.Context, tx pgx.Tx, action string) error {
	detail, err := json.Marshal(map[string]string{"note": by.Note})
	if err == nil {
		_, err = tx.Exec(ctx, `insert into audit (operator, action, subject, detail) values ($1, $2, $3, $4::jsonb)`, by.By, action, by.Rule, string(detail))
	}
	return err
}

// RulePauses lists the rules that are paused, by name.
func (s *Store) RulePauses(ctx context.Context) ([]RulePause, error) {
	rows, err := s.pool.Query(ctx, `select rule, paused_at, paused_by, note from rule_pause order by rule`)
	if err != nil {
		return nil, fmt.Errorf("list the paused rules: %w", err)
	}
	pauses, err := pgx.CollectRows(rows, pgx.RowToStructByPos[RulePause])
	if err != nil {
		return nil, fmt.Errorf("list the paused rules: %w", err)
	}
	return pauses, nil
}
