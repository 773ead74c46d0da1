package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/store"
)

// consentImport adds the entries of a file.
func (r *root) consentImport() *cobra.Command {
	var dry, ask bool
	with := consent.Import{}
	cmd := &cobra.Command{
		Use:   "import <file.csv>",
		Short: "Add the entries of a CSV file to the consent ledger",
		Long: "Add the entries of a CSV file to the consent ledger. The first line names the columns: address, action and occurred_at must be there;\n" +
			"channel, program, disclosure, source_url, ip and evidence may be. Every mistake of every line is told, and then nothing is\n" +
			"imported. A row that was imported before is left out, so that the same file can be given again.",
		Example: "  beckon consent import people.csv --dry-run\n  beckon consent import people.csv --program newsletter --source 'web form 2025' --by ana",
		Args:    exactlyOne("the path of one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(with.By) == "" && !dry {
				return usagef("--by is needed: somebody has to answer for what is imported")
			}
			if with.Program != "" && !consent.IsProgram(with.Program) {
				return usagef("program %q must be a name in kebab-case, or brand/name", with.Program)
			}
			cfg, err := r.load()
			if err != nil {
				return err
			}
			if ask && !cfg.AsksToConfirm() {
				return usagef("--ask needs BECKON_DOUBLE_OPT_IN=on: without it nobody is asked to confirm")
			}
			with.Region, with.Now, with.Ask = cfg.DefaultRegion, time.Now(), ask
			file, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = file.Close() }()
			if err := checkImport(file, with); err != nil {
				return err
			}
			return r.withLedger(cmd.Context(), func(ledger *store.Store, _ *config.Config) error {
				if dry {
					return r.rehearseImport(cmd.Context(), ledger, file, with)
				}
				return r.importFile(cmd.Context(), ledger, file, with)
			})
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "check the file against the ledger, and import nothing")
	cmd.Flags().BoolVar(&ask, "ask", false, "with double opt-in: ask the people of new opt-ins to confirm them (default: nobody is written to)")
	cmd.Flags().StringVar(&with.Program, "program", "", "of rows without a program (default: everything)")
	cmd.Flags().StringVar(&with.Source, "source", "", "where the file is from; kept with each entry")
	cmd.Flags().StringVar(&with.By, "by", "", "who imports it (required, but for --dry-run)")
	return cmd
}

// checkImport reads a file for its mistakes: one error tells them all.
func checkImport(file *os.File, with consent.Import) error {
	wrong, err := consent.ReadCSV(file, with, func(consent.Entry) bool { return true })
	if err != nil || len(wrong) == 0 {
		return err
	}
	lines := make([]string, len(wrong))
	for i, w := range wrong {
		lines[i] = "  " + w.Error()
	}
	return fmt.Errorf("%s in %s, nothing is imported:\n%s", plural(len(wrong), "mistake"), file.Name(), strings.Join(lines, "\n"))
}

// entriesOf reads a file again that has no mistakes. A file may be larger than the memory, so its entries are never held all at once. It
// ends early when the file has become another one meanwhile: then read says so.
func entriesOf(file *os.File, with consent.Import) (entries iter.Seq[consent.Entry], read func() error) {
	var failed error
	return func(yield func(consent.Entry) bool) {
		if _, failed = file.Seek(0, io.SeekStart); failed != nil {
			return
		}
		wrong, err := consent.ReadCSV(file, with, yield)
		if failed = err; err == nil && len(wrong) > 0 {
			failed = fmt.Errorf("the file changed while it was read: %w", wrong[0])
		}
	}, func() error { return failed }
}

func (r *root) rehearseImport(ctx context.Context, ledger *store.Store, file *os.File, with consent.Import) error {
	entries, read := entriesOf(file, with)
	rows, added, err := ledger.ImportConsent(ctx, entries, true)
	if err := errors.Join(err, read()); err != nil {
		return err
	}
	r.printf("%s, %d of them new; nothing was imported\n", plural(rows, "row"), added)
	return nil
}

// importFile imports a file. The audit trail has each try, also one that ended half-way.
func (r *root) importFile(ctx context.Context, ledger *store.Store, file *os.File, with consent.Import) error {
	audit := func(ctx context.Context, detail map[string]any) error {
		detail["source"], detail["program"] = with.Source, with.Program
		text, err := json.Marshal(detail)
		if err != nil {
			return err
		}
		return ledger.AddAudit(ctx, store.AuditEntry{
			Operator: with.By, Action: "consent.import", Subject: filepath.Base(file.Name()), Detail: text,
		})
	}
	if err := audit(ctx, map[string]any{"state": "begun"}); err != nil {
		return err
	}
	entries, read := entriesOf(file, with)
	rows, added, err := ledger.ImportConsent(ctx, entries, false)
	if err := errors.Join(err, read()); err != nil {
		return fmt.Errorf("%d of the first %s were added, give the file again for the others: %w", added, plural(rows, "row"), err)
	}
	r.printf("%s, %d of them new and imported\n", plural(rows, "row"), added)
	return audit(ctx, map[string]any{"state": "done", "rows": rows, "added": added})
}
