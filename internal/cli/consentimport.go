package cli

import (
	"encoding/json"
	"fmt"
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
			if with.By == "" && !dry {
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
			entries, err := readImport(args[0], with)
			if err != nil {
				return err
			}
			return r.withLedger(cmd.Context(), func(ledger *store.Store, _ *config.Config) error {
				added, err := ledger.ImportConsent(cmd.Context(), entries, dry)
				if err != nil {
					return fmt.Errorf("%d of %d entries were added, give the file again for the others: %w", added, len(entries), err)
				}
				if dry {
					r.printf("%s, %d of them new; nothing was imported\n", plural(len(entries), "row"), added)
					return nil
				}
				detail, err := json.Marshal(map[string]any{"source": with.Source, "program": with.Program, "rows": len(entries), "added": added})
				if err != nil {
					return err
				}
				r.printf("%s, %d of them new and imported\n", plural(len(entries), "row"), added)
				return ledger.AddAudit(cmd.Context(), store.AuditEntry{
					Operator: with.By, Action: "consent.import", Subject: filepath.Base(args[0]), Detail: detail,
				})
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

// readImport gives the entries of a file, or one error with every mistake.
func readImport(path string, with consent.Import) ([]consent.Entry, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	entries, wrong, err := consent.ReadCSV(file, with)
	if err != nil || len(wrong) == 0 {
		return entries, err
	}
	lines := make([]string, len(wrong))
	for i, w := range wrong {
		lines[i] = "  " + w.Error()
	}
	return nil, fmt.Errorf("%s in %s, nothing is imported:\n%s", plural(len(wrong), "mistake"), path, strings.Join(lines, "\n"))
}
