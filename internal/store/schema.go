package store

import (
	"context"
	"fmt"
	"path"

	"github.com/pressly/goose/v3"

	"github.com/beckonhq/beckon/migrations"
)

// Schema says which server there is and how far its schema is.
type Schema struct {
	Server          string // version of Postgres, for example 17.2
	Applied, Newest int64  // numbers of the last migration that was applied (0: none), and of the last one that there is
}

// Schema looks at the server without changing anything.
func (s *Store) Schema(ctx context.Context) (Schema, error) {
	var found Schema
	var there bool
	err := s.pool.QueryRow(ctx, "select current_setting('server_version'), to_regclass('goose_db_version') is not null").
		Scan(&found.Server, &there)
	if err != nil {
		return found, fmt.Errorf("ask Postgres: %w", err)
	}
	if there {
		err := s.pool.QueryRow(ctx, "select coalesce(max(version_id), 0) from goose_db_version where is_applied").Scan(&found.Applied)
		if err != nil {
			return found, fmt.Errorf("read the state of the migrations: %w", err)
		}
	}
	files, err := migrations.Files().ReadDir(".")
	if err != nil {
		return found, fmt.Errorf("list the migrations: %w", err)
	}
	for _, file := range files {
		number, err := goose.NumericComponent(path.Base(file.Name()))
		if err != nil {
			return found, fmt.Errorf("list the migrations: %w", err)
		}
		found.Newest = max(found.Newest, number)
	}
	return found, nil
}
