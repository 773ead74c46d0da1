package cli

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/view"
)

func (r *root) audit() *cobra.Command {
	return group("audit", "Look at what operators did", r.auditList())
}

func (r *root) auditList() *cobra.Command {
	var asJSON bool
	var since string
	var filter store.AuditFilter
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List what operators did, oldest first",
		Example: "  beckon audit list --since 7d\n  beckon audit list --action replay.force --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if filter.Limit < 0 {
				return usagef("--limit must be 0 (all) or more")
			}
			if since != "" {
				var err error
				if filter.Since, err = parseWhen("since", since, time.Now()); err != nil {
					return err
				}
			}
			return r.withLedger(cmd.Context(), func(ledger *store.Store, _ *config.Config) error {
				entries, err := ledger.Audit(cmd.Context(), filter)
				if err != nil {
					return err
				}
				if asJSON {
					for _, e := range entries {
						if err := r.printJSON(view.NewAudit(e)); err != nil {
							return err
						}
					}
					return nil
				}
				return r.auditTable(entries)
			})
		},
	}
	cmd.Flags().StringVar(&filter.Action, "action", "", "only this action, for example deadletters.drop")
	cmd.Flags().StringVar(&filter.Subject, "subject", "", "only what was done to this id")
	cmd.Flags().StringVar(&since, "since", "", "only since: how long ago (90m, 2h, 7d) or a time")
	cmd.Flags().IntVar(&filter.Limit, "limit", 0, "the newest so many (0: all)")
	jsonFlag(cmd, &asJSON, "one JSON object a line")
	return cmd
}

func (r *root) auditTable(entries []store.AuditEntry) error {
	table := tabwriter.NewWriter(r.streams.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "WHEN\tBY\tACTION\tSUBJECT\tDETAIL")
	for _, e := range entries {
		detail := string(e.Detail)
		if !json.Valid(e.Detail) || detail == "{}" {
			detail = ""
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", e.At.Local().Format(time.DateTime), oneLine(e.Operator), e.Action, dash(oneLine(e.Subject)),
			dash(oneLine(detail)))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	r.printf("%s\n", entriesCount(len(entries)))
	return nil
}

func entriesCount(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}
