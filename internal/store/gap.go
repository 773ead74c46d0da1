package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/message"
)

// clockSkew is how far the clocks of the door, of the database and of NATS may be apart.
const clockSkew = time.Minute

// Gap is a time of which this ledger lacks what was sent. Replay names the consumers that were set back, and up to which
// sequence each must be done before anything is claimed.
type Gap struct {
	ID         int64
	Began      time.Time
	Ended      time.Time
	Operator   string
	Note       string // for the audit, when it is noted
	Replay     map[string]uint64
	Recovered  time.Time
	ReplayedAt time.Time // zero while the replay goes on
}

// OpenGap notes a gap, with an entry of the audit. From then on messages that may have been sent in it are looked up first. A
// gap that is noted already is returned as it is, with its replay begun again.
func (s *Store) OpenGap(ctx context.Context, g Gap) (Gap, error) {
	replay, err := json.Marshal(g.Replay)
	if err != nil {
		return Gap{}, fmt.Errorf("encode the replay of a gap: %w", err)
	}
	detail, err := json.Marshal(map[string]any{"began": g.Began, "ended": g.Ended, "note": g.Note})
	if err != nil {
		return Gap{}, fmt.Errorf("encode the audit of a gap: %w", err)
	}
	err = s.inTx(ctx, "note a gap", func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `insert into gap (began, ended, operator, replay) values ($1, $2, $3, $4::jsonb)
			on conflict (began, ended) do update set replay = excluded.replay, replayed_at = null
			returning id, recovered_at`, g.Began, g.Ended, g.Operator, string(replay)).Scan(&g.ID, &g.Recovered)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `insert into audit (operator, action, subject, detail) values ($1, 'recover', 'ledger', $2::jsonb)`,
			g.Operator, string(detail))
		return err
	})
	return g, err
}

// Reach moves the position above another one, which ends the hold that a lower one was.
func (s *Store) Reach(ctx context.Context, position int64) (Mark, error) {
	m, err := scanMark(s.pool.QueryRow(ctx, `update ledger_mark set position = greatest(position, $1) + 1,
			incarnation = ledger_incarnation(), marked_at = now()
		returning ledger::text, position, ledger_incarnation(), incarnation, marked_at`, position))
	if err != nil {
		return Mark{}, fmt.Errorf("advance the ledger's mark: %w", err)
	}
	return m, nil
}

// OpenReplays returns the gaps whose replay is not done.
func (s *Store) OpenReplays(ctx context.Context) ([]Gap, error) {
	return s.gaps(ctx, `where replayed_at is null`)
}

// Gaps returns all gaps, oldest first.
func (s *Store) Gaps(ctx context.Context) ([]Gap, error) { return s.gaps(ctx, "") }

func (s *Store) gaps(ctx context.Context, where string) ([]Gap, error) {
	rows, err := s.pool.Query(ctx, `select id, began, ended, operator, replay, recovered_at, coalesce(replayed_at, '0001-01-01')
		from gap `+where+` order by id`)
	if err != nil {
		return nil, fmt.Errorf("read gaps: %w", err)
	}
	gaps, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Gap, error) {
		var g Gap
		err := row.Scan(&g.ID, &g.Began, &g.Ended, &g.Operator, &g.Replay, &g.Recovered, &g.ReplayedAt)
		return g, err
	})
	if err != nil {
		return nil, fmt.Errorf("read gaps: %w", err)
	}
	return gaps, nil
}

// Replayed notes that the replay of a gap is done.
func (s *Store) Replayed(ctx context.Context, id int64) error {
	if _, err := s.pool.Exec(ctx, `update gap set replayed_at = now() where id = $1 and replayed_at is null`, id); err != nil {
		return fmt.Errorf("note the end of a replay: %w", err)
	}
	return nil
}

// suspicion says that a message may have been sent in a gap, in the time from Began to Ended.
type suspicion struct {
	gap          int64
	began, ended time.Time
	cleared      []string // channels on which it has been looked up
}

// readStanding compares the database with the one that is expected, and finds which candidates may have been sent in a gap.
func (s *Store) readStanding(ctx context.Context, tx pgx.Tx, candidates []*Candidate) error {
	var p pipeline
	moved := s.queueMarkCheck(&p)
	queueSuspicions(&p, candidates)
	replaying, unknown := false, 0
	p.query(`select exists (select from gap where replayed_at is null),
			case when exists (select from gap) then (select count(*) from live_attempt where phase = 'unknown') else 0 end`,
		func(rows pgx.Rows) error {
			return each(rows, []any{&replaying, &unknown}, func() error { return nil })
		})
	if err := p.run(ctx, tx); err != nil {
		return fmt.Errorf("read the ledger's mark and gaps: %w", err)
	}
	for _, c := range candidates {
		c.crowded = unknown >= mostLookups
	}
	if replaying && s.expected.Load() != nil {
		return ErrReplaying
	}
	return moved()
}

// mostLookups is how many attempts may wait for their look-up before messages that may have been sent in a gap wait themselves:
// after a fail-over that can be everything that is queued.
const mostLookups = 500

// ErrReplaying says that the streams are worked on again after a recovery, opt-outs among them: nothing is claimed meanwhile. It
// is temporary.
var ErrReplaying = errors.New("after a recovery the streams are worked on again before anything is sent")

// cameOf joins what a message m came of: a notification, a reply, or an opt-in that is to be confirmed, which itself may be that of a
// notification. cameAt is when that came. It stays when the message is made anew.
const (
	cameOf = `left join notification n on n.org = m.org and n.id = m.notification_id
		left join inbound i on m.origin in ('compliance', 'reply_rule', 'double_opt_in')
			and i.sid = case m.origin when 'double_opt_in' then substr(m.origin_key, length('` + yesKey + `') + 1) else m.origin_key end
		left join opt_in_question q on q.message_id = m.id
		left join consent c on c.id = q.consent_id
		left join notification said on c.source = 'salesforce' and said.org = c.org and said.id = split_part(c.evidence, ' ', 1)`
	cameAt = `coalesce(n.received_at, i.received_at, said.received_at, q.created_at, m.created_at)`
)

// queueSuspicions finds which candidates may have been sent in a gap: those that came of something that was received before the gap's
// end. A message cannot have been sent before that was received, which narrows the time.
func queueSuspicions(p *pipeline, candidates []*Candidate) {
	byID := make(map[string]*Candidate, len(candidates))
	ids := make([]string, 0, len(candidates))
	for _, c := range candidates {
		byID[c.Message.ID] = c
		ids = append(ids, c.Message.ID)
	}
	p.query(`select m.id::text, g.id, greatest(g.began, `+cameAt+` - $2::interval), g.ended,
			array(select a.channel from attempt a where a.message_id = m.id and a.gap_id = g.id)
		from gap g join message m on m.id = any ($1::text[]::uuid[]) `+cameOf+`
		where `+cameAt+` <= g.ended + $2::interval order by g.id`,
		func(rows pgx.Rows) error {
			var id string
			var found suspicion
			return each(rows, []any{&id, &found.gap, &found.began, &found.ended, &found.cleared}, func() error {
				one := found
				one.cleared = slices.Clone(found.cleared)
				byID[id].suspicions = append(byID[id].suspicions, one)
				return nil
			})
		}, ids, clockSkew)
}

// behindLookup is how long a message waits for the look-up of another one to the same address.
const behindLookup = 5 * time.Second

// lookFirst turns a verdict to send, or never to send, into one to look up, as long as there is a gap and a channel of the message on which it has
// not been looked up: it may have been sent on another channel than it would be now. It returns the suspicion, nil when there is none.
func (c *Candidate) lookFirst(verdict *Verdict) *suspicion {
	if verdict.Send == "" && verdict.Suppress == "" && !verdict.Expire {
		return nil
	}
	for i := range c.suspicions {
		for index, channel := range c.Message.Channels {
			if slices.Contains(c.suspicions[i].cleared, string(channel)) || !c.Message.Content.Has(channel) {
				continue
			}
			verdict.Suppress, verdict.Expire = "", false // what it is depends on whether it was sent
			verdict.Send, verdict.Index, verdict.Wait = channel, index, behindLookup
			if c.crowded {
				*verdict = Verdict{Wait: behindLookup}
			}
			if c.Live[channel] == message.Unknown {
				verdict.Behind = message.ReasonBehindUnknown
			}
			return &c.suspicions[i]
		}
	}
	return nil
}

// suspectColumns holds attempts that make no call, but look for one that was made in a gap.
type suspectColumns struct {
	attemptColumns

	gaps         []int64
	began, ended []time.Time
}

func (s *suspectColumns) add(c Claimed, of *suspicion) {
	s.attemptColumns.add(c)
	s.gaps, s.began, s.ended = append(s.gaps, of.gap), append(s.began, of.began), append(s.ended, of.ended)
}

// queue writes the attempts in state unknown, as of the gap: the look-up of unknown outcomes does the rest.
func (s *suspectColumns) queue(p *pipeline, request ClaimRequest) {
	p.exec(`insert into attempt (id, message_id, number, org, sender, channel, address, state, detail, started_at, gap_id, country,
			segments, category)
		select id::uuid, message_id::uuid, number, org, $7, channel, address, 'unknown', 'no call: it may have been sent before', began, gap,
			country, segments, category
		from unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $8::timestamptz[], $9::bigint[],
			$10::text[], $11::integer[], $12::text[]) u (id, message_id, number, org, channel, address, began, gap, country, segments, category)`,
		s.ids, s.messages, s.numbers, s.orgs, s.channels, s.addresses, request.Sender, s.began, s.gaps,
		s.countries, s.segments, s.categories)
	p.exec(`insert into live_attempt (attempt_id, sender, channel, address, phase, lease_until, lookup_at)
		select id::uuid, $4, channel, address, 'unknown', ended, greatest(ended, now())
		from unnest($1::text[], $2::text[], $3::text[], $5::timestamptz[]) u (id, channel, address, ended)`,
		s.ids, s.channels, s.addresses, request.Sender, s.ended)
	p.exec(`with done as (delete from belt where message_id = any ($1::text[]::uuid[]))
		update message m set state = 'unknown', reason = $5, detail = '', error_code = 0, channel = u.channel,
			attempt_id = u.attempt_id::uuid, attempts = u.number, permitted_at = coalesce(m.permitted_at, m.not_before), updated_at = now()
		from unnest($1::text[], $2::text[], $3::text[], $4::integer[]) u (id, attempt_id, channel, number)
		where m.id = u.id::uuid`,
		s.messages, s.ids, s.channels, s.numbers, string(message.ReasonMayBeSent))
}

// GapFacts is what the ledger knows that helps to tell messages at Twilio apart.
type GapFacts struct {
	Own    map[string]bool   // SIDs that a status callback says are the message's
	Others map[string]bool   // SIDs that a status callback says are another message's
	Texts  []message.Content // of other messages to the same address
	Alone  bool              // no other message to this address may have been sent in the gap on this channel and is not looked up
}

// GapFacts reads them for a look-up in a gap and the SIDs that may be its.
func (s *Store) GapFacts(ctx context.Context, l Lookup, sids []string) (GapFacts, error) {
	facts := GapFacts{Own: map[string]bool{}, Others: map[string]bool{}}
	err := s.inTx(ctx, "read what is known of a gap", func(tx pgx.Tx) error {
		var p pipeline
		var sid string
		var own, other bool
		// A message that was in the restored ledger had its id when it was sent. One that was made anew had another id: then an
		// id that is not in the ledger may stand for it.
		p.query(`select e.sid, bool_or(e.message_id = m.id),
				bool_or(e.message_id <> m.id and (m.created_at < g.recovered_at or exists (select from message o where o.id = e.message_id)))
			from delivery_event e, attempt a join message m on m.id = a.message_id join gap g on g.id = a.gap_id
			where a.id = $1::uuid and e.sid = any ($2) and e.message_id is not null group by e.sid`,
			func(rows pgx.Rows) error {
				return each(rows, []any{&sid, &own, &other}, func() error {
					facts.Own[sid], facts.Others[sid] = own, other && !own
					return nil
				})
			}, l.AttemptID, sids)
		p.query(`select content from message where recipient = $1 and id <> $2::uuid order by created_at desc limit 1000`,
			func(rows pgx.Rows) (err error) {
				facts.Texts, err = pgx.CollectRows(rows, pgx.RowTo[message.Content])
				return err
			}, string(l.Address), l.MessageID)
		p.query(`select not exists (select from message m join gap g on g.id = $4
				`+cameOf+`
				where m.recipient = $1 and m.id <> $2::uuid and $3 = any (m.channels) and m.state in ('queued', 'sending', 'unknown')
				and `+cameAt+` <= g.ended + $5::interval
				and not exists (select from attempt a where a.message_id = m.id and a.gap_id = g.id and a.channel = $3 and a.state <> 'unknown'))`,
			func(rows pgx.Rows) (err error) {
				facts.Alone, err = pgx.CollectOneRow(rows, pgx.RowTo[bool])
				return err
			}, string(l.Address), l.MessageID, string(l.Channel), l.Gap, clockSkew)
		return p.run(ctx, tx)
	})
	return facts, err
}
