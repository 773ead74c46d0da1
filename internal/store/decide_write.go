package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

type onceRow struct {
	org   notification.OrgID
	rule  string
	key   OnceKey
	owner *item
}

func (r onceRow) id() onceRow { return onceRow{org: r.org, rule: r.rule, key: r.key} }

// takeOnceKeys inserts the `once` keys of the messages that could be sent and drops the messages whose key was taken
// by an earlier notification. Messages of one notification share a key: a rule with two recipients reaches both. A message
// that can't be sent at all (an invalid number) takes no key, so that a corrected record still gets its message.
func (d *decision) takeOnceKeys(ctx context.Context, tx pgx.Tx) error {
	owners := d.onceOwners()
	if len(owners) == 0 {
		return nil
	}
	var orgs, rules, scopes, values, ids []string
	for _, row := range sortedOnce(owners) {
		orgs, rules = append(orgs, string(row.org)), append(rules, row.rule)
		scopes, values = append(scopes, row.key.Scope), append(values, row.key.Value)
		ids = append(ids, string(row.owner.n.ID))
	}
	taken := map[onceRow]bool{}
	rows, err := tx.Query(ctx, `insert into once_key (org, rule, scope, value, notification_id)
		select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
		on conflict do nothing returning org, rule, scope, value`, orgs, rules, scopes, values, ids)
	if err == nil {
		var org string
		var row onceRow
		err = each(rows, []any{&org, &row.rule, &row.key.Scope, &row.key.Value}, func() error {
			row.org = notification.OrgID(org)
			taken[row] = true
			return nil
		})
	}
	if err == nil {
		err = d.ownOnceKeys(ctx, tx, owners, taken)
	}
	if err != nil {
		return fmt.Errorf("take once keys: %w", err)
	}
	for _, it := range d.items {
		d.dropTaken(it, owners, taken)
	}
	return nil
}

// onceOwners maps each key to the first notification, in document order, that wants it.
func (d *decision) onceOwners() map[onceRow]*item {
	owners := map[onceRow]*item{}
	for _, it := range d.items {
		if it.decided == nil {
			continue
		}
		for _, m := range it.decided.Messages {
			row := onceRow{org: it.envelope.Org, rule: m.Rule, key: m.Once}
			if m.Once.Scope == "" || m.State != message.Queued || owners[row] != nil {
				continue
			}
			owners[row] = it
		}
	}
	return owners
}

func sortedOnce(owners map[onceRow]*item) []onceRow {
	rows := make([]onceRow, 0, len(owners))
	for row, owner := range owners {
		row.owner = owner
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b onceRow) int {
		return cmp.Or(cmp.Compare(a.org, b.org), cmp.Compare(a.rule, b.rule),
			cmp.Compare(a.key.Scope, b.key.Scope), cmp.Compare(a.key.Value, b.key.Value))
	})
	return rows
}

func (d *decision) dropTaken(it *item, owners map[onceRow]*item, taken map[onceRow]bool) {
	if it.decided == nil {
		return
	}
	it.decided.Messages = slices.DeleteFunc(it.decided.Messages, func(m NewMessage) bool {
		row := onceRow{org: it.envelope.Org, rule: m.Rule, key: m.Once}
		if m.Once.Scope == "" || m.State != message.Queued || owners[row] == it && taken[row.id()] {
			return false
		}
		if !slices.Contains(it.skipped, m.Rule) {
			it.skipped = append(it.skipped, m.Rule)
		}
		d.result.Skipped++
		return true
	})
}

// write stores the decisions, the messages with their place on the belt, and the moved records.
func (d *decision) write(ctx context.Context, tx pgx.Tx) error {
	var p pipeline
	d.queueDecisions(&p)
	if err := d.queueReplayed(&p); err != nil {
		return err
	}
	if err := d.queueMessages(&p); err != nil {
		return err
	}
	if err := d.queueRecords(&p); err != nil {
		return err
	}
	for _, e := range d.words() {
		queueEntry(&p, e)
	}
	if err := p.run(ctx, tx); err != nil {
		return fmt.Errorf("write decisions: %w", err)
	}
	return nil
}

// words are the entries of all that was decided now, in document order.
func (d *decision) words() []consent.Entry {
	var all []consent.Entry
	for _, it := range d.items {
		if it.decided != nil {
			all = append(all, it.decided.Consent...)
		}
	}
	return all
}

// lockPeople locks the people about whom records say something, before anything of theirs is written.
func (d *decision) lockPeople(ctx context.Context, tx pgx.Tx) error {
	words := d.words()
	if len(words) == 0 {
		return nil
	}
	addresses := make([]string, len(words))
	for i, e := range words {
		addresses[i] = string(e.Address)
	}
	return lockPeople(ctx, tx, addresses)
}

func (d *decision) queueDecisions(p *pipeline) {
	var orgs, ids, outcomes, sets, details, skipped []string
	for _, it := range d.items {
		if it.decided == nil || it.again != nil {
			continue
		}
		orgs, ids = append(orgs, string(it.envelope.Org)), append(ids, string(it.n.ID))
		outcomes, sets = append(outcomes, string(it.decided.Outcome)), append(sets, it.decided.RuleSet)
		details = append(details, cmp.Or(string(it.decided.Detail), "{}"))
		skipped = append(skipped, strings.Join(it.skipped, ","))
	}
	if len(ids) == 0 {
		return
	}
	p.exec(`insert into decision (org, notification_id, outcome, rule_set, detail, once_skipped)
		select org, id, outcome, rule_set, detail::jsonb, string_to_array(skipped, ',')
		from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
			u (org, id, outcome, rule_set, detail, skipped)`, orgs, ids, outcomes, sets, details, skipped)
}

func (d *decision) queueMessages(p *pipeline) error {
	var c messageColumns
	for _, it := range d.items {
		if it.decided == nil {
			continue
		}
		for i := range it.decided.Messages {
			m := &it.decided.Messages[i].Message
			if err := c.add(&it.decided.Messages[i]); err != nil {
				return err
			}
			c.received = append(c.received, it.envelope.Received)
			d.result.Made = append(d.result.Made, m.State)
			if m.State == message.Queued {
				count(&d.result.ByRule, m.Rule)
			}
			if m.State == message.Queued && !m.NotBefore.After(m.CreatedAt) {
				d.result.Belt = append(d.result.Belt, BeltRef{Org: m.Org, ID: m.ID, Sender: sender(m)})
			}
		}
	}
	if len(c.ids) == 0 {
		return nil
	}
	p.exec(`with made as (
		insert into message (id, org, notification_id, record_id, object, contact_id, rule, template, language, purpose,
			channels, sender, recipient, content, hours, caps, state, reason, detail, not_before, expires_after, salt, permitted_at, program, opt_out_breaker)
		select id::uuid, org, notification_id, record_id, object, contact_id, rule, template, language, purpose,
			string_to_array(channels, ','), sender, recipient, content::jsonb, nullif(hours, '')::jsonb, nullif(caps, '')::jsonb, state,
			reason, detail, now() + delay, validity, salt,
			-- the time of one that could have been sent before a gap's end began then
			case when exists (select from gap where received <= ended) then received + delay end, program, nullif(breaker, '')::jsonb
		from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
			$10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::interval[],
			$19::interval[], $20::text[], $21::text[], $22::text[], $24::timestamptz[], $25::text[], $26::text[])
			u (id, org, notification_id, record_id, object, contact_id, rule, template, language, purpose,
			   channels, sender, recipient, content, state, reason, detail, delay, validity, salt, hours, caps, received, program, breaker)
		returning id, org, sender, recipient, state, not_before)
		insert into belt (message_id, org, sender, recipient, due_at)
		select id, org, sender, recipient, case when not_before > now() then not_before else now() + $23::interval end
		from made where state = 'queued'`,
		c.ids, c.orgs, c.notifications, c.records, c.objects, c.contacts, c.rules, c.templates, c.languages, c.purposes,
		c.channels, c.senders, c.recipients, c.contents, c.states, c.reasons, c.details, c.delays, c.validities, c.salts, c.hours, c.caps,
		beltCheck, c.received, c.programs, c.breakers)
	return nil
}

// messageColumns holds messages column by column, as unnest wants them.
type messageColumns struct {
	ids, orgs, notifications, records, objects, contacts, rules, templates, languages, purposes []string
	channels, senders, recipients, contents, states, reasons, details, salts, hours, caps       []string
	programs, breakers                                                                          []string
	delays, validities                                                                          []time.Duration
	received                                                                                    []time.Time // the notification
}

func (c *messageColumns) add(made *NewMessage) error {
	m := &made.Message
	content, err := m.Content.JSON()
	if err != nil {
		return fmt.Errorf("encode the content of a message of rule %s: %w", m.Rule, err)
	}
	hours := ""
	if m.Hours != nil {
		encoded, err := json.Marshal(m.Hours)
		if err != nil {
			return fmt.Errorf("encode the hours of a message of rule %s: %w", m.Rule, err)
		}
		hours = string(encoded)
	}
	caps, err := capsJSON(m.Caps)
	if err != nil {
		return fmt.Errorf("encode the caps of a message of rule %s: %w", m.Rule, err)
	}
	breaker := ""
	if made.OptOutBreaker != nil {
		encoded, err := json.Marshal(made.OptOutBreaker)
		if err != nil {
			return fmt.Errorf("encode the breaker of a message of rule %s: %w", m.Rule, err)
		}
		breaker = string(encoded)
	}
	channels := make([]string, len(m.Channels))
	for i, channel := range m.Channels {
		channels[i] = string(channel)
	}
	c.ids, c.orgs = append(c.ids, m.ID), append(c.orgs, string(m.Org))
	c.notifications, c.records = append(c.notifications, string(m.NotificationID)), append(c.records, string(m.RecordID))
	c.objects, c.contacts = append(c.objects, m.Object), append(c.contacts, m.ContactID)
	c.rules, c.templates = append(c.rules, m.Rule), append(c.templates, m.Template)
	c.languages, c.purposes = append(c.languages, m.Language), append(c.purposes, string(m.Purpose))
	c.channels, c.senders = append(c.channels, strings.Join(channels, ",")), append(c.senders, sender(m))
	c.recipients = append(c.recipients, string(m.To))
	c.contents, c.states = append(c.contents, string(content)), append(c.states, string(m.State))
	c.reasons, c.details = append(c.reasons, string(m.Reason)), append(c.details, m.Detail)
	c.salts, c.hours, c.caps = append(c.salts, made.salt), append(c.hours, hours), append(c.caps, caps)
	c.programs, c.breakers = append(c.programs, cmp.Or(m.Program, message.DefaultProgram)), append(c.breakers, breaker)
	c.delays = append(c.delays, max(m.NotBefore.Sub(m.CreatedAt), 0))
	c.validities = append(c.validities, cmp.Or(m.ExpiresAfter, message.DefaultValidity))
	return nil
}

// sender is who a message goes out by: the default one when the message names none.
func sender(m *message.Message) string { return cmp.Or(m.Sender, message.DefaultSender) }

func (d *decision) queueRecords(p *pipeline) error {
	var orgs, ids, fields []string
	for _, key := range d.recordKeys() {
		state := d.records[key]
		if !state.moved {
			continue
		}
		encoded, err := json.Marshal(state.snapshot.Fields)
		if err != nil {
			return fmt.Errorf("encode a record: %w", err)
		}
		orgs, ids, fields = append(orgs, string(key.org)), append(ids, string(key.id)), append(fields, string(encoded))
	}
	if len(ids) == 0 {
		return nil
	}
	p.exec(`update record r set fields = u.fields::jsonb, updated_at = now()
		from unnest($1::text[], $2::text[], $3::text[]) u (org, id, fields) where r.org = u.org and r.id = u.id`,
		orgs, ids, fields)
	return nil
}
