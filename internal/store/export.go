package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/address"
)

// export is a query for each kind of thing that is held on a person: $1 has the addresses, $2 a pattern for each.
type export struct{ kind, query string }

func exports() []export {
	const about = `(select id from message where recipient = any ($1))`
	const wrote = `(select sid from inbound where address = any ($1))`
	const said = `(select org, notification_id from message where recipient = any ($1))`
	const talk = `(select sid from inbound where address = any ($1) union all select 'timeout/' || q.id
		from question q join conversation c on c.id = q.conversation_id where c.address = any ($1))`
	return []export{
		{"consent", `select to_jsonb(t) from consent t where address = any ($1) order by occurred_at, seq, id`},
		{"aliases", `select to_jsonb(t) from alias t where address = any ($1) order by recorded_at, same_as`},
		{"messages", `select to_jsonb(t) from message t where recipient = any ($1) order by id`},
		{"double_opt_in", `select to_jsonb(t) from opt_in_question t where consent_id in (select id from consent where address = any ($1)) order by consent_id`},
		{"belt", `select to_jsonb(t) from belt t where recipient = any ($1) order by message_id`},
		{"gate_answers", `select to_jsonb(t) from gate_answer t where message_id in ` + about + ` order by id`},
		{"attempts", `select to_jsonb(t) from attempt t where address = any ($1) order by started_at, id`},
		{"live_attempts", `select to_jsonb(t) from live_attempt t where address = any ($1) order by attempt_id`},
		{"events", `select to_jsonb(t) from delivery_event t where sid in (select sid from attempt where address = any ($1)) order by id`},
		{"replies", `select to_jsonb(t) from inbound t where address = any ($1) order by received_at, sid`},
		{"reply_tasks", `select to_jsonb(t) from reply_task t where sid in ` + wrote + ` order by seq`},
		{"conversations", `select to_jsonb(t) from conversation t where address = any ($1) order by created_at, id`},
		{"reply_decisions", `select to_jsonb(t) from reply_decision t where sid in ` + talk + ` order by decided_at, sid`},
		{"questions", `select to_jsonb(t) from question t where conversation_id in (select id from conversation where address = any ($1)) order by id`},
		{"webhooks", `select to_jsonb(t) from webhook t where sid in ` + talk + ` order by created_at, id`},
		{"reviews", `select to_jsonb(t) from review t where address = any ($1) order by id`},
		{"once_keys", `select to_jsonb(t) from once_key t where scope = 'recipient' and value = any ($1) order by rule, value`},
		{"notifications", `select to_jsonb(t) from notification t where (org, id) in ` + said + ` order by received_at, id`},
		{"duplicates", `select to_jsonb(t) from duplicate t where (org, id) in ` + said + ` order by stream_seq`},
		{"decisions", `select to_jsonb(t) from decision t
			where (org, notification_id) in ` + said + ` or detail::text ~ any ($2) order by decided_at, notification_id`},
		{"replayed", `select to_jsonb(t) from replayed t
			where (org, notification_id) in ` + said + ` or detail::text ~ any ($2) order by decided_at, notification_id`},
		{"snapshots", `select to_jsonb(t) from record t
			where exists (select from jsonb_each_text(fields) f, unnest($2::text[]) p where f.value ~ p) order by id`},
		{"audit", `select to_jsonb(t) from audit t where subject in (
			select 'conversation/' || id from conversation where address = any ($1)
			union all select 'review/' || id from review where address = any ($1)
			union all select id::text from message where recipient = any ($1)) order by id`},
	}
}

// ExportPerson returns everything that the ledger holds on a person, under all addresses that are known to be theirs, as rows of
// each kind; the records, decisions and replays are those that carry an address or made a message to one. The rows are of one
// moment.
func (s *Store) ExportPerson(ctx context.Context, a address.Address) (known []address.Address, held map[string][]json.RawMessage, err error) {
	held = map[string][]json.RawMessage{}
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, s.pool, options, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `select distinct known from same_person(array[$1::text])`, string(a))
		if err != nil {
			return err
		}
		addresses, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		patterns := make([]string, len(addresses))
		for i, one := range addresses {
			known = append(known, address.Address(one))
			patterns[i] = address.Address(one).Pattern()
		}
		for _, e := range exports() {
			// Each query names both: a parameter that is not used has no type.
			rows, err := tx.Query(ctx, `with asked as (select $1::text[], $2::text[]) `+e.query, addresses, patterns)
			if err != nil {
				return fmt.Errorf("%s: %w", e.kind, err)
			}
			if held[e.kind], err = pgx.CollectRows(rows, pgx.RowTo[json.RawMessage]); err != nil {
				return fmt.Errorf("%s: %w", e.kind, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("export a person: %w", err)
	}
	return known, held, nil
}
