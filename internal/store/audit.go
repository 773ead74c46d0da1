package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// AuditEntry is one deed of an operator. Subject names what it was done to, an id where there is one. Detail holds no personal
// value; it may be nil.
type AuditEntry struct {
	ID       int64
	At       time.Time
	Operator string
	Action   string
	Subject  string
	Detail   json.RawMessage
}

// AuditFilter narrows a listing; zero values do not.
type AuditFilter struct {
	Action  string
	Subject string
	Since   time.Time
	Limit   int // the newest so many
}

// AddAudit notes a deed. It is never changed or removed: the database refuses that.
func (s *Store) AddAudit(ctx context.Context, entry AuditEntry) error {
	detail := entry.Detail
	if len(detail) == 0 {
		detail = json.RawMessage(`{}`)
	}
	_, err := s.pool.Exec(ctx, `insert into audit (operator, action, subject, detail) values ($1, $2, $3, $4)`,
		entry.Operator, entry.Action, entry.Subject, detail)
	if err != nil {
		return fmt.Errorf("write the audit trail: %w", err)
	}
	return nil
}

// Audit lists deeds, oldest first.
func (s *Store) Audit(ctx context.Context, filter AuditFilter) ([]AuditEntry, error) {
	var since *time.Time
	if !filter.Since.IsZero() {
		since = &filter.Since
	}
	var limit *int
	if filter.Limit > 0 {
		limit = &filter.Limit
	}
	rows, err := s.pool.Query(ctx, `select * from (
			select id, at, operator, action, subject, detail from audit
			where ($1 = '' or action = $1) and ($2 = '' or subject = $2) and ($3::timestamptz is null or at >= $3)
			order by id desc limit $4) newest order by id`, filter.Action, filter.Subject, since, limit)
	if err != nil {
		return nil, fmt.Errorf("read the audit trail: %w", err)
	}
	entries, err := pgx.CollectRows(rows, pgx.RowToStructByPos[AuditEntry])
	if err != nil {
		return nil, fmt.Errorf("read the audit trail: %w", err)
	}
	return entries, nil
}
