package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/message"
)

// paceBurst is how much time's worth of segments a sender with a rate may send at once after a rest.
const paceBurst = time.Second

// pacer lets segments through at a sender's rate, by the generic cell rate algorithm (ITU-T I.371; in its virtual scheduling
// form): arrival is when all that was let through so far would have gone at an even pace. A message passes when arrival is not
// further ahead than the tolerance, whatever its own size, and then moves it by its segments: so a long message never starves,
// and what it takes too much is paid back by those after it. Over any time t at most t+paceBurst worth of segments pass, and
// one message. The nil pacer lets everything through.
type pacer struct {
	pace    time.Duration // for each segment
	arrival time.Time
	now     time.Time
}

func (p *pacer) take(segments int) bool {
	if p == nil {
		return true
	}
	if p.wait() > 0 {
		return false
	}
	if p.arrival.Before(p.now) {
		p.arrival = p.now
	}
	p.arrival = p.arrival.Add(time.Duration(segments) * p.pace)
	return true
}

// wait is the time until a message passes, 0 when one does now.
func (p *pacer) wait() time.Duration {
	tolerance := max(paceBurst-p.pace, 0)
	return max(p.arrival.Add(-tolerance).Sub(p.now), 0)
}

// queue stores what was let through.
func (p *pacer) queue(q *pipeline, sender string) {
	if p != nil {
		q.exec(`update sender_rate set arrival = $2 where sender = $1`, sender, p.arrival)
	}
}

// lockRate takes the sender's row until the end of the transaction, so that all dispatchers share one rate; nil without a rate,
// and then no row is touched. It is the last lock that a claim waits for. The clock is read after the wait for it.
func lockRate(ctx context.Context, tx pgx.Tx, request ClaimRequest) (*pacer, error) {
	if request.Pace <= 0 {
		return nil, nil //nolint:nilnil // the nil pacer is a good one
	}
	rate := &pacer{pace: request.Pace}
	var p pipeline
	read := func(at *time.Time) func(pgx.Rows) error {
		return func(rows pgx.Rows) (err error) {
			*at, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[time.Time])
			return err
		}
	}
	p.exec(`insert into sender_rate (sender, arrival) values ($1, now()) on conflict do nothing`, request.Sender)
	p.query(`select arrival from sender_rate where sender = $1 for update`, read(&rate.arrival), request.Sender)
	p.query(`select clock_timestamp()`, read(&rate.now))
	if err := p.run(ctx, tx); err != nil {
		return nil, fmt.Errorf("take the rate of sender %s: %w", request.Sender, err)
	}
	return rate, nil
}

// segments is what a message takes of its sender's rate.
func segments(c *Candidate, channel message.Channel) int {
	if channel == message.SMS {
		return max(c.Message.Segments(), 1)
	}
	return 1
}
