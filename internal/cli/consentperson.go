package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/view"
)

// consentExport prints all that is held on a person.
func (r *root) consentExport() *cobra.Command {
	var by, note string
	var limit int
	cmd := &cobra.Command{
		Use:   "export <address>",
		Short: "Print everything that is held on a person, as JSON",
		Long: "Print everything that is held on a person, as one JSON object: the rows of the ledger about them, and what the streams keep of\n" +
			"notifications, webhooks and dead letters that carry the address. The call is noted in the audit trail.",
		Example: "  beckon consent export +14155550123 --by ana > person.json",
		Args:    exactlyOne("one phone number or WhatsApp id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.withAddress(cmd.Context(), args[0], func(ledger *store.Store, a address.Address, cfg *config.Config) error {
				return r.withStreams(cmd.Context(), cfg, func(belt *stream.Client) error {
					return r.export(cmd.Context(), ledger, belt, exported{a, cmp.Or(by, operator()), note, limit})
				})
			})
		},
	}
	cmd.Flags().StringVar(&by, "by", "", "who asks (default: the account that calls)")
	cmd.Flags().StringVar(&note, "note", "", "why, for whoever reads the record later")
	scanFlag(cmd, &limit)
	return cmd
}

func scanFlag(cmd *cobra.Command, limit *int) {
	cmd.Flags().IntVar(limit, "scan", 1_000_000, "how many messages of each stream are looked at, the newest")
}

// exported is who an export is about, and who asks why.
type exported struct {
	address  address.Address
	by, note string
	scan     int
}

func (r *root) export(ctx context.Context, ledger *store.Store, belt *stream.Client, p exported) error {
	addresses, held, err := ledger.ExportPerson(ctx, p.address)
	if err != nil {
		return err
	}
	fits, err := anyOf(addresses)
	if err != nil {
		return err
	}
	kept, bounded := []view.Held{}, false
	for _, name := range personalStreams() {
		more, err := belt.Find(ctx, name, p.scan, fits, func(found stream.Found) error {
			kept = append(kept, view.NewHeld(found, fits))
			return nil
		})
		if err != nil {
			return err
		}
		bounded = bounded || more
	}
	counts := map[string]int{"streams": len(kept)}
	for kind, rows := range held {
		counts[kind] = len(rows)
	}
	detail, err := json.Marshal(map[string]any{"note": p.note, "rows": counts})
	if err != nil {
		return err
	}
	err = ledger.AddAudit(ctx, store.AuditEntry{Operator: p.by, Action: "consent.export", Subject: p.address.Masked(), Detail: detail})
	if err != nil {
		return err
	}
	return r.printJSON(map[string]any{"address": string(p.address), "held": held, "streams": kept, "older_not_searched": bounded})
}

// personalStreams are those whose messages say something about people.
func personalStreams() []stream.Name {
	return []stream.Name{stream.Notifications, stream.Callbacks, stream.DeadLetters}
}

// anyOf tells whether a text has one of the addresses in it.
func anyOf(addresses []address.Address) (func(text string) bool, error) {
	patterns := make([]string, len(addresses))
	for i, a := range addresses {
		patterns[i] = a.Pattern()
	}
	pattern, err := regexp.Compile(strings.Join(patterns, "|"))
	if err != nil {
		return nil, err
	}
	return pattern.MatchString, nil
}

// consentErase takes a person's data out.
func (r *root) consentErase() *cobra.Command {
	var by, note string
	var limit int
	cmd := &cobra.Command{
		Use:   "erase <address>",
		Short: "Erase a person's data; nothing is sent to the address afterwards",
		Long: "Erase a person's data: contents and addresses go from the ledger's rows, from snapshots, and from what the streams keep. A keyed\n" +
			"hash of the address stays, so that nothing is sent to it until the person's next word. It can't be undone.",
		Example: "  beckon consent erase +14155550123 --by ana --note 'request of 3 May'",
		Args:    exactlyOne("one phone number or WhatsApp id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(by) == "" || strings.TrimSpace(note) == "" {
				return usagef("--by and --note are needed: an erasure can't be undone, and somebody has to answer for it")
			}
			if cfg, err := r.load(); err != nil {
				return err
			} else if len(cfg.Erasure()) == 0 {
				return store.ErrNoErasureKey
			}
			return r.withAddress(cmd.Context(), args[0], func(ledger *store.Store, a address.Address, cfg *config.Config) error {
				return r.withStreams(cmd.Context(), cfg, func(belt *stream.Client) error {
					done, err := ledger.ErasePerson(cmd.Context(), a, by, note)
					for _, one := range done.Addresses { // nothing else tells afterwards that they were one person's
						r.printf("%-12s %s\n", "address", string(one))
					}
					for _, place := range slices.Sorted(maps.Keys(done.Changed)) {
						r.printf("%-12s %s\n", place, plural(int(done.Changed[place]), "row"))
					}
					if err != nil {
						return err
					}
					return r.eraseFromStreams(cmd.Context(), belt, done.Addresses, limit)
				})
			})
		},
	}
	cmd.Flags().StringVar(&by, "by", "", "who erases (required)")
	cmd.Flags().StringVar(&note, "note", "", "why (required); not the address, since it is kept")
	scanFlag(cmd, &limit)
	return cmd
}

func (r *root) eraseFromStreams(ctx context.Context, belt *stream.Client, addresses []address.Address, limit int) error {
	fits, err := anyOf(addresses)
	if err != nil {
		return err
	}
	for _, name := range personalStreams() {
		done, err := belt.Erase(ctx, name, limit, fits)
		if err != nil {
			return err
		}
		r.printf("%-12s %d of %s removed\n", strings.ToLower(string(name)), done.Removed, plural(done.Looked, "message"))
		if done.Waiting > 0 {
			r.printf("             %s not worked on yet: run the command again later, for each address\n", plural(done.Waiting, "message"))
		}
		if done.Bounded {
			r.printf("             older messages were not looked at: retention removes them, or --scan\n")
		}
	}
	return nil
}
