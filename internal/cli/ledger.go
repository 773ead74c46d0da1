package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/embedded"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/telemetry"
)

// withLedger opens the configured database, or the private one of a running `beckon serve`, for one command.
func (r *root) withLedger(ctx context.Context, do func(*store.Store, *config.Config) error) error {
	cfg, err := r.load()
	if err != nil {
		return err
	}
	return r.withConfiguredLedger(ctx, cfg, func(ledger *store.Store) error { return do(ledger, cfg) })
}

// withConfiguredLedger is withLedger for a configuration that is read already. A server that does not answer, or has no schema
// yet, is an error at once.
func (r *root) withConfiguredLedger(ctx context.Context, cfg *config.Config, do func(*store.Store) error) error {
	return r.withAnyLedger(ctx, cfg, func(ledger *store.Store) error {
		asking, cancel := context.WithTimeout(ctx, answerTimeout)
		defer cancel()
		schema, err := ledger.Schema(asking)
		switch {
		case err != nil:
			return fmt.Errorf("the database does not answer: %w", err)
		case schema.Applied < schema.Newest:
			return errors.New("the database does not have this version's schema yet: run beckon migrate, or start beckon serve")
		}
		return do(ledger)
	})
}

// answerTimeout is how long a command waits for the first answer of the database.
const answerTimeout = 5 * time.Second

// withAnyLedger is for a database whatever its schema.
func (r *root) withAnyLedger(ctx context.Context, cfg *config.Config, do func(*store.Store) error) error {
	url := cfg.Database.URL.Reveal()
	if url == "" {
		addresses, err := embedded.ReadAddresses(cfg.DataDir)
		if err != nil {
			return err
		}
		if url = addresses.DatabaseURL; url == "" {
			return fmt.Errorf("the beckon serve that runs on %s has no database: set BECKON_DATABASE_URL", cfg.DataDir)
		}
	}
	ledger, err := store.Open(ctx, url)
	if err != nil {
		return err
	}
	defer ledger.Close()
	ledger.UseErasureKeys(cfg.Erasure())
	return do(ledger)
}

func (r *root) migrate() *cobra.Command {
	return &cobra.Command{
		Use:     "migrate",
		Short:   "Bring the database schema up to date (serve does so too)",
		Example: "  beckon migrate",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := r.load()
			if err != nil {
				return err
			}
			return r.withAnyLedger(cmd.Context(), cfg, func(ledger *store.Store) error {
				names, err := ledger.Migrate(cmd.Context(), telemetry.NewLogger(io.Discard, cfg.Log.Level, cfg.Log.Format))
				if err != nil {
					return err
				}
				for _, name := range names {
					_, _ = fmt.Fprintln(r.streams.Out, "applied", name)
				}
				_, err = fmt.Fprintf(r.streams.Out, "the schema is up to date, %d migrations applied\n", len(names))
				return err
			})
		},
	}
}

// printJSON writes one value on one line.
func (r *root) printJSON(value any) error {
	encoder := json.NewEncoder(r.streams.Out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

func (r *root) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(r.streams.Out, format, args...)
}
