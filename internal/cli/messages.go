package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/view"
)

func (r *root) messages() *cobra.Command {
	return group("messages", "List messages, and settle those whose outcome is unknown", r.messagesList(), r.messagesSettle())
}

func (r *root) messagesList() *cobra.Command {
	var asJSON bool
	var state, to string
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List messages, oldest first",
		Example: "  beckon messages list --state failed\n  beckon messages list --to +14155550123 --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if state != "" && !slices.Contains(message.States(), message.State(state)) {
				return usagef("there is no state %q: the states are %s", state, strings.Trim(fmt.Sprint(message.States()), "[]"))
			}
			if limit < 0 {
				return usagef("--limit must be 0 (all) or more")
			}
			return r.withLedger(cmd.Context(), func(ledger *store.Store, cfg *config.Config) error {
				filter := store.MessageFilter{State: message.State(state), Limit: limit}
				if to != "" {
					number, err := address.Parse(to, cfg.DefaultRegion)
					if err != nil {
						number = address.Address(to) // messages to numbers that are none are kept as written
					}
					filter.To = number
				}
				if asJSON {
					return ledger.Messages(cmd.Context(), filter, func(m message.Message) error { return r.printJSON(view.NewMessage(m)) })
				}
				return r.messageTable(cmd, ledger, filter)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	cmd.Flags().StringVar(&state, "state", "", "only messages in this state")
	cmd.Flags().StringVar(&to, "to", "", "only messages to this number")
	cmd.Flags().IntVar(&limit, "limit", 0, "most messages to list (0: all)")
	return cmd
}

func (r *root) messageTable(cmd *cobra.Command, ledger *store.Store, filter store.MessageFilter) error {
	table := tabwriter.NewWriter(r.streams.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "CREATED\tSTATE\tREASON\tRULE\tCHANNEL\tLANGUAGE\tTO\tRECORD\tATTEMPTS\tID")
	n := 0
	err := ledger.Messages(cmd.Context(), filter, func(m message.Message) error {
		v := view.NewMessage(m)
		n++
		reason := v.Reason
		if v.ErrorCode != 0 {
			reason = fmt.Sprintf("%s %d", reason, v.ErrorCode)
		}
		_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", v.CreatedAt.Local().Format(time.DateTime), v.State,
			dash(reason), cmp.Or(v.Rule, "("+v.Origin+")"), v.Channel, dash(v.Language), v.To, dash(v.RecordID), v.Attempts, v.ID)
		return err
	})
	if err := errors.Join(err, table.Flush()); err != nil {
		return err
	}
	_, err = fmt.Fprintln(r.streams.Out, plural(n, "message"))
	return err
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
