package store

import (
	"time"

	"github.com/jackc/pgx/v5"
)

// TalkTrace is what the reply rules decided about a reply or about a question without an answer.
type TalkTrace struct {
	Outcome   string
	Rule      string // that acted; may be empty
	Held      string // why its answer was not made, else empty
	MadeID    string // of the message that was made, else empty
	Webhook   string // queued, delivered or failed; empty when there is none
	Tries     int    // to post the webhook
	Problem   string // of the webhook
	DecidedAt time.Time
}

// QuestionTrace is a question of a reply rule that a message asked.
type QuestionTrace struct {
	Name      string
	Answers   []string
	Asked     int // how often, with this time
	State     string
	Answer    string
	ExpiresAt time.Time
	TimeOut   *TalkTrace // nil: its time is not over, or it ended otherwise
}

// queueTalk reads, for replies to a message and the question that it asked, what became of them.
func queueTalk(p *pipeline, m *MessageTrace) {
	const decided = `d.outcome, d.rule, coalesce(d.detail ->> 'held', ''), coalesce(made.id::text, ''), coalesce(w.state, ''),
		coalesce(w.tries, 0), coalesce(w.error, ''), d.decided_at
		from reply_decision d left join webhook w on w.sid = d.sid
			left join message made on made.origin = 'reply_rule' and made.origin_key = d.sid`
	p.query(`select d.sid, `+decided+` where d.sid in (select sid from inbound where message_id = $1::uuid)`, func(rows pgx.Rows) error {
		var sid string
		var t TalkTrace
		return each(rows, append([]any{&sid}, t.targets()...), func() error {
			for i := range m.Replies {
				if m.Replies[i].SID == sid {
					m.Replies[i].Decided = new(t)
				}
			}
			return nil
		})
	}, m.ID)
	const asked = `from question q where $1 = 'reply_rule' and q.asked_by = $2`
	p.query(`select q.name, q.answers, q.asked, q.state, q.answer, q.expires_at `+asked, func(rows pgx.Rows) error {
		var q QuestionTrace
		return each(rows, []any{&q.Name, &q.Answers, &q.Asked, &q.State, &q.Answer, &q.ExpiresAt}, func() error { m.Question = new(q); return nil })
	}, string(m.Origin), m.OriginKey)
	p.query(`select `+decided+` where d.sid = (select 'timeout/' || q.id `+asked+`)`, func(rows pgx.Rows) error {
		var t TalkTrace
		return each(rows, t.targets(), func() error { m.Question.TimeOut = new(t); return nil })
	}, string(m.Origin), m.OriginKey)
}

func (t *TalkTrace) targets() []any {
	return []any{&t.Outcome, &t.Rule, &t.Held, &t.MadeID, &t.Webhook, &t.Tries, &t.Problem, &t.DecidedAt}
}
