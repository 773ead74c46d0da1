package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

// Envelope is an envelope with its sequence in the stream NOTIFICATIONS.
type Envelope struct {
	*notification.Envelope

	Seq    uint64
	Replay *notification.Replay // when an operator brought it again
}

// Snapshot is the last-known copy of a record: its fields that are not null. Seen is false before the first notification.
type Snapshot struct {
	Seen   bool
	Fields map[string]string
}

// Pending is a notification that waits for its decision, with what the decision may depend on. Known has the fields that
// this outbound message definition has ever carried.
type Pending struct {
	Envelope     *notification.Envelope
	Notification *notification.Notification
	Known        map[string]struct{}
	Previous     Snapshot
	// Earlier is the Detail of the decision that is made again, nil when it is the first one. Previous is empty then: what the
	// first decision knew of the record is in its Detail.
	Earlier json.RawMessage
}

// Decided is the answer: how the notification ended, what is known of the record from now on (when Moved), and the
// messages to make.
type Decided struct {
	Outcome  notification.Outcome
	RuleSet  string
	Detail   json.RawMessage
	Moved    bool
	Next     map[string]string
	Messages []NewMessage
	Consent  []consent.Entry // what the record says about consent
}

// NewMessage is a message to make. Its State is Queued, or final when it can't be sent at all. A Queued one whose Once key
// is taken is not made.
type NewMessage struct {
	message.Message

	Once          OnceKey
	Breaker       *Breaker       // of its rule; nil for none
	OptOutBreaker *OptOutBreaker // the same
	salt          string
}

// OnceKey is what a rule's `once` counts: the zero key counts nothing.
type OnceKey struct {
	Scope string // record or recipient
	Value string
}

// BeltRef names a message for the belt.
type BeltRef struct {
	Org    notification.OrgID
	ID     string
	Sender string
}

// DecideResult says what a call of Decide did.
type DecideResult struct {
	Outcomes   map[notification.Outcome]int // of the notifications decided now
	Duplicates int                          // repetitions, counted once for each envelope that brought one
	Made       []message.State              // one for each message made
	Skipped    int                          // messages not made because of `once`
	Belt       []BeltRef                    // queued messages to put on the belt now
	ByRule     map[string]int               // queued messages made
	Paused     []string                     // rules that their breakers paused now
	Replayed   map[ReplayResult]int         // notifications that a replay brought
	Held       int                          // messages that a replay did not make, since they were made before
}

// Decide decides every notification of the envelopes that has not been decided before, exactly once: duplicate check,
// last-known copies under lock, the decisions and their messages are one transaction. decide is called in document order,
// must be pure, and sees the effect of the notifications before it. A repeated call finds duplicates and returns in Belt
// what an earlier one may have left lying.
func (s *Store) Decide(ctx context.Context, envelopes []Envelope, decide func(Pending) Decided) (*DecideResult, error) {
	var result *DecideResult
	err := s.inTx(ctx, "decide notifications", func(tx pgx.Tx) (err error) {
		if err := s.checkMark(ctx, tx); err != nil {
			return err
		}
		result, err = decideIn(ctx, tx, envelopes, decide)
		return err
	})
	return result, err
}

func decideIn(ctx context.Context, tx pgx.Tx, envelopes []Envelope, decide func(Pending) Decided) (*DecideResult, error) {
	d := newDecision(envelopes)
	for _, step := range []func(context.Context, pgx.Tx) error{
		d.takeKeys, d.takeAgain, d.countDuplicates, d.lockRecords,
		func(context.Context, pgx.Tx) error { d.fold(decide); return nil },
		d.takeOnceKeys, d.holdBack, d.lockPeople, d.write, d.countRules,
	} {
		if err := step(ctx, tx); err != nil {
			return nil, err
		}
	}
	return d.result, nil
}

// decision is one run of Decide.
type decision struct {
	items   []*item // in document order
	fresh   map[notification.Key]*item
	actions map[actionKey]map[string]struct{}
	records map[recordKey]*recordState
	result  *DecideResult
}

type item struct {
	envelope *Envelope
	n        *notification.Notification
	first    bool // the first of its key in this run
	repeated bool // its envelope has it before this place, too
	decided  *Decided
	skipped  []string // rules whose once key was taken
	again    *again   // the decision before, when this one is not the first
	held     int      // messages not made, since they were made before
}

type actionKey struct {
	org    notification.OrgID
	id     notification.ID
	object string
}

type recordKey struct {
	org notification.OrgID
	id  notification.ID
}

type recordState struct {
	object   string
	snapshot Snapshot
	moved    bool
}

func newDecision(envelopes []Envelope) *decision {
	d := &decision{
		fresh:   map[notification.Key]*item{},
		actions: map[actionKey]map[string]struct{}{},
		records: map[recordKey]*recordState{},
		result:  &DecideResult{Outcomes: map[notification.Outcome]int{}},
	}
	seen := map[notification.Key]bool{}
	for i := range envelopes {
		envelope := &envelopes[i]
		inside := map[notification.Key]bool{}
		for j := range envelope.Notifications {
			it := &item{envelope: envelope, n: &envelope.Notifications[j]}
			it.first = !seen[it.key()]
			it.repeated = inside[it.key()]
			seen[it.key()], inside[it.key()] = true, true
			d.items = append(d.items, it)
		}
	}
	return d
}

func (it *item) key() notification.Key {
	return notification.Key{Org: it.envelope.Org, ID: it.n.ID}
}

func (it *item) actionKey() actionKey {
	return actionKey{it.envelope.Org, it.envelope.Action, it.envelope.Object}
}

func (it *item) recordKey() recordKey { return recordKey{it.envelope.Org, it.n.RecordID} }

// takeKeys inserts the notification keys in sorted order; the ones inserted are ours to decide.
func (d *decision) takeKeys(ctx context.Context, tx pgx.Tx) error {
	firsts := slices.DeleteFunc(slices.Clone(d.items), func(it *item) bool { return !it.first })
	slices.SortFunc(firsts, func(a, b *item) int {
		return cmp.Or(cmp.Compare(a.envelope.Org, b.envelope.Org), cmp.Compare(a.n.ID, b.n.ID))
	})
	byKey := map[notification.Key]*item{}
	var orgs, ids, objects, records, actions []string
	var received []time.Time
	var seqs []int64
	for _, it := range firsts {
		byKey[it.key()] = it
		orgs, ids = append(orgs, string(it.envelope.Org)), append(ids, string(it.n.ID))
		objects, records = append(objects, it.envelope.Object), append(records, string(it.n.RecordID))
		actions, received = append(actions, string(it.envelope.Action)), append(received, it.envelope.Received)
		seqs = append(seqs, int64(it.envelope.Seq))
	}
	var p pipeline
	p.query(`insert into notification (org, id, object, record_id, action_id, received_at, stream_seq)
		select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::bigint[])
		on conflict do nothing returning org, id`,
		func(rows pgx.Rows) error {
			var org, id string
			return each(rows, []any{&org, &id}, func() error {
				key := notification.Key{Org: notification.OrgID(org), ID: notification.ID(id)}
				d.fresh[key] = byKey[key]
				return nil
			})
		}, orgs, ids, objects, records, actions, received, seqs)
	d.queueActions(&p)
	if err := p.run(ctx, tx); err != nil {
		return fmt.Errorf("insert notification keys: %w", err)
	}
	return nil
}

// queueActions reads the known fields of each action, after adding those that this run carries.
func (d *decision) queueActions(p *pipeline) {
	carried := map[actionKey]map[string]bool{}
	for _, it := range d.items {
		names := carried[it.actionKey()]
		if names == nil {
			names = map[string]bool{}
			carried[it.actionKey()] = names
		}
		for _, field := range it.n.Fields {
			names[field.Name] = true
		}
	}
	keys := make([]actionKey, 0, len(carried))
	for key := range carried {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b actionKey) int {
		return cmp.Or(cmp.Compare(a.org, b.org), cmp.Compare(a.id, b.id), cmp.Compare(a.object, b.object))
	})
	for _, key := range keys {
		names := make([]string, 0, len(carried[key]))
		for name := range carried[key] {
			names = append(names, name)
		}
		slices.Sort(names)
		p.query(`with grown as (
				insert into action as a (org, id, object, fields) select $1, $2, $3, $4::text[]
				where not exists (select from action where org = $1 and id = $2 and object = $3 and fields @> $4::text[])
				on conflict (org, id, object) do update
				set fields = array(select distinct f from unnest(a.fields || excluded.fields) f order by f)
				returning fields)
			select fields from grown
			union all select fields from action where org = $1 and id = $2 and object = $3 limit 1`,
			func(rows pgx.Rows) error {
				fields, err := pgx.CollectOneRow(rows, pgx.RowTo[[]string])
				known := make(map[string]struct{}, len(fields))
				for _, name := range fields {
					known[name] = struct{}{}
				}
				d.actions[key] = known
				return err
			}, string(key.org), string(key.id), key.object, names)
	}
}

// countDuplicates counts those that were there as duplicates, unless this very envelope brought them (a redelivery) or an
// operator did, and puts their messages that are queued and not travelling back on the belt.
func (d *decision) countDuplicates(ctx context.Context, tx pgx.Tx) error {
	var orgs, ids []string
	var seqs []int64
	var repeated, replays []bool
	for _, it := range d.items {
		if d.fresh[it.key()] == it {
			continue
		}
		orgs, ids, seqs = append(orgs, string(it.envelope.Org)), append(ids, string(it.n.ID)), append(seqs, int64(it.envelope.Seq))
		repeated, replays = append(repeated, it.repeated), append(replays, it.envelope.Replay != nil)
	}
	if len(ids) == 0 {
		return nil
	}
	var p pipeline
	p.query(`with counted as (
			insert into duplicate (org, id, stream_seq)
			select distinct u.org, u.id, u.seq
			from unnest($1::text[], $2::text[], $3::bigint[], $4::boolean[], $5::boolean[]) u (org, id, seq, repeated, replay)
			join notification n on n.org = u.org and n.id = u.id and (n.stream_seq <> u.seq or u.repeated)
			where not u.replay order by 1, 2, 3 on conflict do nothing returning 1)
		select count(*) from counted`,
		func(rows pgx.Rows) (err error) {
			d.result.Duplicates, err = pgx.CollectOneRow(rows, pgx.RowTo[int])
			return err
		}, orgs, ids, seqs, repeated, replays)
	p.query(`select distinct b.org, b.message_id::text, b.sender from unnest($1::text[], $2::text[]) u (org, id)
		join message m on m.org = u.org and m.notification_id = u.id
		join belt b on b.message_id = m.id where b.seq is null and m.not_before <= now()`,
		func(rows pgx.Rows) error {
			var org, id, sender string
			return each(rows, []any{&org, &id, &sender}, func() error {
				d.result.Belt = append(d.result.Belt, BeltRef{Org: notification.OrgID(org), ID: id, Sender: sender})
				return nil
			})
		}, orgs, ids)
	if err := p.run(ctx, tx); err != nil {
		return fmt.Errorf("count duplicates: %w", err)
	}
	return nil
}

// lockRecords makes sure that each record has a row, and locks and reads the rows in the order of their keys.
func (d *decision) lockRecords(ctx context.Context, tx pgx.Tx) error {
	for _, it := range d.fresh {
		if it.n.RecordID != "" && !it.redecided() {
			d.records[it.recordKey()] = &recordState{object: it.envelope.Object}
		}
	}
	if len(d.records) == 0 {
		return nil
	}
	var orgs, ids, objects []string
	for _, key := range d.recordKeys() {
		orgs, ids = append(orgs, string(key.org)), append(ids, string(key.id))
		objects = append(objects, d.records[key].object)
	}
	var p pipeline
	p.exec(`insert into record (org, id, object) select * from unnest($1::text[], $2::text[], $3::text[])
		on conflict do nothing`, orgs, ids, objects)
	p.query(`select r.org, r.id, r.fields from record r
		join unnest($1::text[], $2::text[]) u (org, id) on r.org = u.org and r.id = u.id
		order by r.org, r.id for update of r`,
		func(rows pgx.Rows) error {
			var org, id string
			var fields []byte
			return each(rows, []any{&org, &id, &fields}, func() error {
				state := d.records[recordKey{notification.OrgID(org), notification.ID(id)}]
				if fields == nil {
					return nil
				}
				state.snapshot.Seen = true
				return json.Unmarshal(fields, &state.snapshot.Fields)
			})
		}, orgs, ids)
	if err := p.run(ctx, tx); err != nil {
		return fmt.Errorf("lock records: %w", err)
	}
	return nil
}

func (d *decision) recordKeys() []recordKey {
	keys := make([]recordKey, 0, len(d.records))
	for key := range d.records {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b recordKey) int {
		return cmp.Or(cmp.Compare(a.org, b.org), cmp.Compare(a.id, b.id))
	})
	return keys
}

// fold decides the fresh notifications in document order, each on top of what the ones before it left.
func (d *decision) fold(decide func(Pending) Decided) {
	for _, it := range d.items {
		if d.fresh[it.key()] != it {
			continue
		}
		state := d.records[it.recordKey()]
		if state == nil { // Salesforce sent no record id
			state = &recordState{}
		}
		pending := Pending{
			Envelope: it.envelope.Envelope, Notification: it.n,
			Known: d.actions[it.actionKey()], Previous: state.snapshot,
		}
		if it.redecided() {
			pending.Previous, pending.Earlier = Snapshot{}, it.again.detail
		}
		decided := decide(pending)
		it.decided = &decided
		d.result.Outcomes[decided.Outcome]++
		if decided.Moved && !it.redecided() { // else the copy has moved on since
			state.snapshot, state.moved = Snapshot{Seen: true, Fields: decided.Next}, true
		}
	}
}
