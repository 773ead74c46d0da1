package store

import (
	"context"
	"fmt"
	"time"
)

// OldestWaiting tells how long the reply waits that has waited the longest for the reply rules, and how old the oldest webhook is that is
// neither delivered nor given up; 0 when there is none. Each is one look at an index.
func (s *Store) OldestWaiting(ctx context.Context) (reply, webhook time.Duration, err error) {
	var replySeconds, webhookSeconds float64
	err = s.pool.QueryRow(ctx, `select coalesce(extract(epoch from now() - (select min(created_at) from reply_task)), 0)::float8,
		coalesce(extract(epoch from now() - (select min(created_at) from webhook where state = 'queued')), 0)::float8`).
		Scan(&replySeconds, &webhookSeconds)
	if err != nil {
		return 0, 0, fmt.Errorf("look for the oldest reply and webhook: %w", err)
	}
	seconds := func(n float64) time.Duration { return time.Duration(max(n, 0) * float64(time.Second)) }
	return seconds(replySeconds), seconds(webhookSeconds), nil
}
