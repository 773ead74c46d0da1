package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// The states of a webhook: it waits, was taken by its server, or was given up.
const (
	WebhookQueued    = "queued"
	WebhookDelivered = "delivered"
	WebhookFailed    = "failed"
)

// StoredWebhook is a notice of a reply rule with what became of it.
type StoredWebhook struct {
	Webhook // Tries: made so far

	SID       string // of the reply, or timeout/ and the number of the question
	State     string
	Error     string // of the last try; erased or too old when its content is gone
	DueAt     time.Time
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Gone tells whether the content of a webhook was erased, or cleared after its time: there is nothing left to post.
func (w *StoredWebhook) Gone() bool { return w.Body == "" }

// WebhookFilter narrows a listing; zero values do not. ID is a UUID.
type WebhookFilter struct {
	ID    string
	State string
	Limit int // the newest so many
}

// Webhooks lists notices of reply rules with their content, oldest first.
func (s *Store) Webhooks(ctx context.Context, filter WebhookFilter) ([]StoredWebhook, error) {
	var limit *int
	if filter.Limit > 0 {
		limit = &filter.Limit
	}
	rows, err := s.pool.Query(ctx, `select id::text, url, host, body, tries, sid, state, error, due_at, created_at, updated_at from (
			select * from webhook where ($1 = '' or id = nullif($1, '')::uuid) and ($2 = '' or state = $2)
			order by created_at desc, id desc limit $3) newest order by created_at, id`, filter.ID, filter.State, limit)
	if err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (w StoredWebhook, err error) {
		err = row.Scan(&w.ID, &w.URL, &w.Host, &w.Body, &w.Tries, &w.SID, &w.State, &w.Error, &w.DueAt, &w.CreatedAt, &w.UpdatedAt)
		return w, err
	})
	if err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	return found, nil
}

// RetryWebhooks lets the webhooks of these ids that were given up be posted again, at once and with all their tries, and gives the
// ids of those. One that waits, was delivered, or has no content any more is left as it is. Its id stays, so that a receiver that took
// it after all can tell. Who did it goes into the audit trail in the same transaction.
func (s *Store) RetryWebhooks(ctx context.Context, ids []string, by string) ([]string, error) {
	var again []string
	err := s.inTx(ctx, "post webhooks again", func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `select id::text, host, tries from webhook
			where id = any ($1::text[]::uuid[]) and state = 'failed' and body <> '' order by id for update`, ids)
		if err != nil {
			return err
		}
		var p pipeline
		var id, host string
		var tries int
		err = each(rows, []any{&id, &host, &tries}, func() error {
			detail, err := json.Marshal(map[string]any{"host": host, "tries": tries})
			if err != nil {
				return err
			}
			again = append(again, id)
			p.exec(`update webhook set state = 'queued', tries = 0, error = '', due_at = now(), updated_at = now() where id = $1::uuid`, id)
			p.exec(`insert into audit (operator, action, subject, detail) values ($1, 'webhooks.retry', $2, $3)`, by, id, detail)
			return nil
		})
		if err != nil || len(again) == 0 {
			return err
		}
		return p.run(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	return again, nil
}
