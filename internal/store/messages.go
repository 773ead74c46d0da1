package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
)

// MessageFilter narrows a listing; zero values do not.
type MessageFilter struct {
	State          message.State
	To             address.Address
	ID             string // of the message
	NotificationID string
	RecordID       string
	Limit          int
}

// Messages calls each for every message that fits, oldest first: their ids are in the order of time. The rows are streamed: a
// listing of millions needs little memory. An error of each ends the listing and is returned.
func (s *Store) Messages(ctx context.Context, filter MessageFilter, each func(message.Message) error) error {
	var limit *int
	if filter.Limit > 0 {
		limit = &filter.Limit
	}
	if filter.ID != "" && uuid.Validate(filter.ID) != nil {
		return nil // no message has such an id
	}
	where, args := filter.where()
	args = append(args, limit)
	rows, err := s.pool.Query(ctx, fmt.Sprintf(`select m.id::text, m.org, m.notification_id, m.record_id, m.object, m.contact_id, m.rule,
			m.template, m.language, m.purpose, m.channels, m.sender, m.recipient, m.content, m.state, m.reason, m.detail, m.error_code, m.channel,
			coalesce(a.sid, ''), m.attempts, m.not_before, m.created_at, m.updated_at,
			m.origin, m.origin_key
		from message m left join attempt a on a.id = m.attempt_id
		where %s order by m.id limit $%d`, where, len(args)), args...)
	if err != nil {
		return fmt.Errorf("list messages: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		m, err := scanMessage(rows)
		if err != nil {
			return fmt.Errorf("read a message: %w", err)
		}
		if err := each(m); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("list messages: %w", err)
	}
	return nil
}

// where has a condition for each value that is set, so that the plan of a listing by one of them uses its index.
func (f MessageFilter) where() (conditions string, args []any) {
	var all []string
	for _, c := range []struct{ condition, value string }{
		{"m.state = $%d", string(f.State)},
		{"m.recipient = $%d", string(f.To)},
		{"m.id = $%d::uuid", f.ID},
		{"m.notification_id = $%d", f.NotificationID},
		{"m.record_id = $%d", f.RecordID},
	} {
		if c.value != "" {
			args = append(args, c.value)
			all = append(all, fmt.Sprintf(c.condition, len(args)))
		}
	}
	if len(all) == 0 {
		return "true", nil
	}
	return strings.Join(all, " and "), args
}

func scanMessage(row pgx.Row) (message.Message, error) {
	var m message.Message
	var content []byte
	err := row.Scan(&m.ID, (*string)(&m.Org), (*string)(&m.NotificationID), (*string)(&m.RecordID), &m.Object, &m.ContactID, &m.Rule,
		&m.Template, &m.Language, (*string)(&m.Purpose), &m.Channels, &m.Sender, (*string)(&m.To), &content, (*string)(&m.State),
		(*string)(&m.Reason), &m.Detail, &m.ErrorCode, (*string)(&m.Channel), &m.SID, &m.Attempts, &m.NotBefore, &m.CreatedAt, &m.UpdatedAt,
		(*string)(&m.Origin), &m.OriginKey)
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(content, &m.Content)
}

// CountMessages returns how many messages there are in each state.
func (s *Store) CountMessages(ctx context.Context) (map[message.State]int, error) {
	rows, err := s.pool.Query(ctx, `select state, count(*) from message group by state`)
	if err != nil {
		return nil, fmt.Errorf("count messages: %w", err)
	}
	counts := map[message.State]int{}
	var state string
	var n int
	if err := each(rows, []any{&state, &n}, func() error { counts[message.State(state)] = n; return nil }); err != nil {
		return nil, fmt.Errorf("count messages: %w", err)
	}
	return counts, nil
}
