package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// MediaOf returns the reference of the n-th (from 0) picture or file of a reply, and the sender that the reply came to.
// ErrNotFound: there is none.
func (s *Store) MediaOf(ctx context.Context, sid string, n int) (media Media, sender string, err error) {
	var one []byte
	err = s.pool.QueryRow(ctx, `select sender, media -> $2::integer from inbound where sid = $1 and $2::integer >= 0`, sid, n).Scan(&sender, &one)
	switch {
	case errors.Is(err, pgx.ErrNoRows) || err == nil && one == nil:
		return Media{}, "", fmt.Errorf("read the media of a reply: %w", ErrNotFound)
	case err == nil:
		err = json.Unmarshal(one, &media)
	}
	if err != nil {
		return Media{}, "", fmt.Errorf("read the media of a reply: %w", err)
	}
	return media, sender, nil
}
