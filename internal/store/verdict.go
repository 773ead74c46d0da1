package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/message"
)

// rivalLimit is how many older messages to one person a claim looks at. The oldest ones come first, so that one at least goes.
const rivalLimit = 20

// queueRivals reads the queued messages that are due, older than the newest candidate to the same person by the same
// sender, and not candidates: they go first. Ids are in the order of age. They are only read: whoever holds them waits for our address locks, or we for his.
func queueRivals(p *pipeline, sender string, candidates []*Candidate, got func(*Candidate)) {
	newest := map[string]string{}
	ids := make([]string, len(candidates))
	for i, c := range candidates {
		ids[i] = c.Message.ID
		newest[string(c.Message.To)] = max(newest[string(c.Message.To)], c.Message.ID)
	}
	var recipients, before []string
	for recipient, id := range newest {
		recipients, before = append(recipients, recipient), append(before, id)
	}
	p.query(`select `+candidateColumns+` from unnest($1::text[], $2::text[]) r (recipient, newest)
		cross join lateral (
			select o.* from belt b join message o on o.id = b.message_id
			where b.recipient = r.recipient and b.sender = $5 and b.message_id < r.newest::uuid and b.message_id <> all ($3::text[]::uuid[])
				and o.state = 'queued' and o.not_before <= now()
			order by b.message_id limit $4) m`,
		func(rows pgx.Rows) error {
			found, err := pgx.CollectRows(rows, scanCandidate)
			for _, c := range found {
				c.rival = true
				got(c)
			}
			return err
		}, recipients, before, ids, rivalLimit, sender)
}

// inOrder merges candidates and their rivals, oldest first.
func inOrder(candidates, rivals []*Candidate) []*Candidate {
	all := slices.Concat(candidates, rivals)
	slices.SortFunc(all, func(x, y *Candidate) int { return cmp.Compare(x.Message.ID, y.Message.ID) })
	return all
}

// verdicts are what a claim writes.
type verdicts struct {
	sent                           attemptColumns
	suppressed, reasons, details   []string
	expired, causes, circumstances []string
	waiting, behind                []string
	waits                          []time.Duration
	defers                         []bool
	gates                          gateColumns
	looked                         suspectColumns
}

func writeVerdicts(ctx context.Context, tx pgx.Tx, request ClaimRequest, candidates []*Candidate, result *ClaimResult) error {
	var v verdicts
	taken := map[liveKey]bool{} // by an attempt of this claim, or by an older message that waits for the channel
	for _, c := range candidates {
		verdict := request.caps.judge(c, request.Judge(*c))
		of := c.lookFirst(&verdict)
		key := liveKey{cmp.Or(verdict.Send, verdict.On), c.Message.To}
		if !c.rival {
			if err := v.gates.add(c.Message.ID, verdict.Answers); err != nil {
				return err
			}
			v.add(c, ruled{verdict, of, taken[key]}, request, result)
		}
		if key.channel != "" && !verdict.Defer && (c.rival || taken[key] || verdict.Wait > 0) {
			request.caps.hold(c, key.channel)
		}
		if key.channel != "" && !verdict.Defer {
			taken[key] = true
		}
	}
	var p pipeline
	v.queue(&p, request)
	if err := p.run(ctx, tx); err != nil {
		return fmt.Errorf("write attempts: %w", err)
	}
	if len(result.Held) > 0 {
		result.HeldFor = request.rate.wait()
	}
	return nil
}

// ruled is a verdict with what else decides: that the message may have been sent in a gap, that its address is taken.
type ruled struct {
	Verdict

	of    *suspicion
	taken bool
}

func (v *verdicts) add(c *Candidate, verdict ruled, request ClaimRequest, result *ClaimResult) {
	late := verdict.Expire || verdict.Defer && c.Permitted && !c.Now.Add(verdict.Wait).Before(c.ExpiresAt)
	switch {
	case late:
		v.expire(c, verdict.Verdict)
		result.Expired++
	case verdict.Suppress != "":
		v.suppressed, v.reasons = append(v.suppressed, c.Message.ID), append(v.reasons, string(verdict.Suppress))
		v.details = append(v.details, verdict.Detail)
		result.Suppressed = append(result.Suppressed, verdict.Suppress)
	case verdict.Send != "" && !verdict.taken && c.Live[verdict.Send] == "" && verdict.of == nil && !request.rate.take(segments(c, verdict.Send)):
		result.Held = append(result.Held, c.Message.ID)
	case verdict.Send != "" && !verdict.taken && c.Live[verdict.Send] == "":
		claimed := Claimed{
			Message: c.Message, AttemptID: uuid.Must(uuid.NewV7()).String(),
			Channel: verdict.Send, Index: verdict.Index, FreeText: verdict.FreeText, Tries: c.Tries,
			Expires: time.Now().Add(c.ExpiresAt.Sub(c.Now)),
		}
		if !verdict.Closes.IsZero() {
			claimed.Closes = time.Now().Add(verdict.Closes.Sub(c.Now))
		}
		if verdict.FreeText {
			claimed.WindowAt = c.LastInbound[verdict.Send]
		}
		if c.Channel != verdict.Send { // each channel has its own budget
			claimed.Tries = 0
		}
		claimed.Message.Attempts++
		if verdict.of != nil {
			v.looked.add(claimed, verdict.of)
			result.Suspect++
			return
		}
		request.caps.take(c, verdict.Send)
		v.sent.add(claimed)
		result.Claimed = append(result.Claimed, claimed)
	default: // told to wait, or behind an older message to the same address
		v.waiting, v.waits = append(v.waiting, c.Message.ID), append(v.waits, verdict.Wait)
		v.behind, v.defers = append(v.behind, string(verdict.Behind)), append(v.defers, verdict.Defer)
		result.Waiting++
	}
}

func (v *verdicts) queue(p *pipeline, request ClaimRequest) {
	v.gates.queue(p)
	request.caps.queuePlaces(p)
	if len(v.sent.ids) > 0 {
		v.sent.queue(p, request)
		request.rate.queue(p, request.Sender)
		request.caps.queue(p)
	}
	if len(v.looked.ids) > 0 {
		v.looked.queue(p, request)
	}
	if len(v.suppressed) > 0 {
		p.exec(`with done as (delete from belt where message_id = any ($1::text[]::uuid[]))
			update message m set state = 'suppressed', reason = u.reason, detail = u.detail, updated_at = now()
			from unnest($1::text[], $2::text[], $3::text[]) u (id, reason, detail) where m.id = u.id::uuid`,
			v.suppressed, v.reasons, v.details)
	}
	if len(v.expired) > 0 {
		queueExpired(p, v.expired, v.causes, v.circumstances)
	}
	if len(v.waiting) > 0 {
		p.exec(`update belt b set seq = 0, due_at = now() + u.wait from unnest($1::text[], $2::interval[]) u (id, wait)
			where b.message_id = u.id::uuid`, v.waiting, v.waits)
		p.exec(`update message m set reason = case when u.reason = '' then m.reason else u.reason end,
				not_before = case when u.defer then now() + u.wait else m.not_before end,
				permitted_at = case when u.defer then m.permitted_at else coalesce(m.permitted_at, m.not_before) end, updated_at = now()
			from unnest($1::text[], $2::text[], $3::interval[], $4::boolean[]) u (id, reason, wait, defer)
			where m.id = u.id::uuid and (u.defer or m.permitted_at is null or u.reason not in ('', m.reason))`,
			v.waiting, v.behind, v.waits, v.defers)
	}
}

// expire ends a message that is too late, or will be when a cap has room for it.
func (v *verdicts) expire(c *Candidate, verdict Verdict) {
	cause, circumstance := message.ReasonValidity, ""
	if verdict.Behind == message.ReasonFrequencyCap {
		cause, circumstance = verdict.Behind, verdict.Detail
	}
	v.expired, v.causes = append(v.expired, c.Message.ID), append(v.causes, string(cause))
	v.circumstances = append(v.circumstances, circumstance)
}

// queueExpired ends queued messages, which are locked, since it is too late for them. reasons and details go with the ids.
func queueExpired(p *pipeline, ids, reasons, details []string) {
	p.exec(`with done as (delete from belt where message_id = any ($1::text[]::uuid[]))
		update message m set state = 'expired', reason = u.reason, detail = case u.detail when '' then m.detail else u.detail end,
			updated_at = now()
		from unnest($1::text[], $2::text[], $3::text[]) u (id, reason, detail) where m.id = u.id::uuid`,
		ids, reasons, details)
}

// expire ends those of the messages that are still queued and too late. Rows that a claim holds are left to it.
func (s *Store) expire(ctx context.Context, ids []string) (int, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	n := 0
	err := s.inTx(ctx, "expire messages", func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `select id::text from message m where id = any ($1::text[]::uuid[]) and state = 'queued'
			and coalesce(permitted_at, not_before) + expires_after <= now() order by id for update skip locked`, ids)
		if err != nil {
			return err
		}
		late, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if n = len(late); err != nil || n == 0 {
			return err
		}
		var p pipeline
		queueExpired(&p, late, slices.Repeat([]string{string(message.ReasonValidity)}, n), make([]string, n))
		return p.run(ctx, tx)
	})
	return n, err
}
