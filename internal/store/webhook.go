package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Webhook is a notice of a reply rule that is to be posted.
type Webhook struct {
	ID    string
	URL   string
	Host  string // of the URL, with its port
	Body  string
	Tries int // before this one
}

// TakeWebhook returns the webhook that has been due for the longest time and does not go to one of the hosts, and keeps others off it
// for the lease; nil when there is none. Whoever dies with it leaves
// it to the next try: its id is the same, so that the receiver can tell.
func (s *Store) TakeWebhook(ctx context.Context, lease time.Duration, not []string) (*Webhook, error) {
	var w Webhook
	err := s.pool.QueryRow(ctx, `update webhook set tries = tries + 1, due_at = now() + $1::interval, updated_at = now()
		where id = any (array(select id from webhook where state = 'queued' and due_at <= now() and host <> all (coalesce($2::text[], '{}'))
			order by due_at limit 1 for update skip locked))
		returning id::text, url, host, body, tries - 1`, lease, not).Scan(&w.ID, &w.URL, &w.Host, &w.Body, &w.Tries)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // none is due
	}
	if err != nil {
		return nil, fmt.Errorf("take a webhook: %w", err)
	}
	return &w, nil
}

// EndWebhook notes what became of a try: delivered when why is empty, else due again after the wait, or failed for good with a
// wait of 0. A failure that is told after the lease, when somebody else has taken the webhook, says nothing: theirs counts.
func (s *Store) EndWebhook(ctx context.Context, w *Webhook, why string, wait time.Duration) error {
	_, err := s.pool.Exec(ctx, `update webhook set error = $2, updated_at = now(), due_at = now() + $3::interval,
			state = case when $2 = '' then 'delivered' when $3::interval = '0' then 'failed' else 'queued' end
		where id = $1::uuid and state = 'queued' and ($2 = '' or tries = $4)`, w.ID, clean(why), wait, w.Tries+1)
	if err != nil {
		return fmt.Errorf("note what became of a webhook: %w", err)
	}
	return nil
}
