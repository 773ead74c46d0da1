package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// fetch puts the Postgres programs of the embedded-postgres project into dir, and gives them to the account.
func fetch(ctx context.Context, dir string, account *Account) error {
	return fetchWith(ctx, embeddedpostgres.DefaultConfig(), dir, account)
}

// fetchWith uses only the first half of what the library does. Its one call fetches, unpacks, makes a cluster and
// starts a server, as this user and on a TCP port, which we do not want. So it is given a place for the cluster that
// cannot be (below a file): after unpacking it fails, and what counts is whether the programs are there.
func fetchWith(ctx context.Context, cfg embeddedpostgres.Config, dir string, account *Account) error {
	work, err := os.MkdirTemp("", "beckon-fetch-")
	if err != nil {
		return fmt.Errorf("fetch Postgres: %w", err)
	}
	file := filepath.Join(work, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return errors.Join(fmt.Errorf("fetch Postgres: %w", err), os.RemoveAll(work))
	}
	cfg = cfg.Logger(io.Discard).Port(0).CachePath(filepath.Join(work, "cache")).
		RuntimePath(filepath.Join(work, "run")).BinariesPath(dir).DataPath(filepath.Join(file, "none"))
	result := make(chan error, 1)
	go func() { // the library takes no context; its HTTP client gives up by itself when there is no connection
		err := embeddedpostgres.NewDatabase(cfg).Start()
		result <- errors.Join(err, os.RemoveAll(work))
	}()
	select {
	case <-ctx.Done():
		return fmt.Errorf("fetch Postgres: %w", ctx.Err())
	case err = <-result:
	}
	if _, missing := os.Stat(filepath.Join(dir, "bin", "postgres")); missing != nil {
		return fmt.Errorf("fetch Postgres: %w", errors.Join(err, missing))
	}
	return ownAll(dir, account)
}

func ownAll(dir string, account *Account) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("fetch Postgres: %w", err)
		}
		return account.Own(path)
	})
}
