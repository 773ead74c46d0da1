package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/store"
)

func (r *root) webhooks() *cobra.Command {
	return group("webhooks", "List, show and post again the webhooks of reply rules", r.webhooksList(), r.webhooksShow(), r.webhooksRetry())
}

// webhookView is a webhook without what it holds.
type webhookView struct {
	ID        string     `json:"id"`
	Reply     string     `json:"reply"`
	State     string     `json:"state"`
	Host      string     `json:"host"`
	Tries     int        `json:"tries"`
	Error     string     `json:"error,omitempty"`
	Gone      bool       `json:"content_gone,omitempty"`
	DueAt     *time.Time `json:"due_at,omitempty"` // of one that waits
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
}

// wholeWebhookView has what it holds, too: personal data.
type wholeWebhookView struct {
	webhookView

	URL  string `json:"url"`
	Body string `json:"body"`
}

func viewWebhook(w *store.StoredWebhook) webhookView {
	v := webhookView{w.ID, w.SID, w.State, w.Host, w.Tries, w.Error, w.Gone(), nil, w.CreatedAt.UTC(), w.UpdatedAt.UTC()}
	if w.State == store.WebhookQueued {
		due := w.DueAt.UTC()
		v.DueAt = &due
	}
	return v
}

func (r *root) webhooksList() *cobra.Command {
	var filter store.WebhookFilter
	var asJSON bool
	states := []string{store.WebhookQueued, store.WebhookFailed, store.WebhookDelivered}
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the webhooks of reply rules, oldest first, without what they hold",
		Example: "  beckon webhooks list --state failed\n  beckon webhooks list --state queued --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if filter.State != "" && !slices.Contains(states, filter.State) {
				return usagef("--state must be one of %s", strings.Join(states, ", "))
			}
			if filter.Limit < 0 {
				return usagef("--limit must be 0 (all) or more")
			}
			return r.withLedger(cmd.Context(), func(ledger *store.Store, _ *config.Config) error {
				found, err := ledger.Webhooks(cmd.Context(), filter)
				if err != nil {
					return err
				}
				return r.writeWebhooks(found, asJSON)
			})
		},
	}
	cmd.Flags().StringVar(&filter.State, "state", "", "only those in this state: "+strings.Join(states, ", "))
	cmd.Flags().IntVar(&filter.Limit, "limit", 100, "the newest so many (0: all)")
	jsonFlag(cmd, &asJSON, "one JSON object a line")
	return cmd
}

func (r *root) writeWebhooks(found []store.StoredWebhook, asJSON bool) error {
	if asJSON {
		for i := range found {
			if err := r.printJSON(viewWebhook(&found[i])); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(r.streams.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ID\tMADE\tREPLY\tTO\tSTATE\tTRIES\tERROR")
	for i := range found {
		w := &found[i]
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", w.ID, w.CreatedAt.Local().Format(time.DateTime), w.SID, dash(oneLine(w.Host)),
			w.State, w.Tries, dash(oneLine(w.Error)))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	r.printf("%s\n", plural(len(found), "webhook"))
	return nil
}

// oneWebhook reads the webhook that a command was given.
func oneWebhook(ctx context.Context, ledger *store.Store, id string) (*store.StoredWebhook, error) {
	found, err := ledger.Webhooks(ctx, store.WebhookFilter{ID: id})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("there is no webhook %s: beckon webhooks list shows them", id)
	}
	return &found[0], nil
}

func parseWebhookID(text string) (string, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return "", usagef("%q is no id of a webhook: beckon webhooks list shows them", text)
	}
	return id.String(), nil
}

func (r *root) webhooksShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show <id>",
		Short:   "Show a webhook with its URL and what it holds (personal data)",
		Example: "  beckon webhooks show 01a2b3c4-0000-7000-8000-000000000000",
		Args:    exactlyOne("the id of one webhook"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseWebhookID(args[0])
			if err != nil {
				return err
			}
			return r.withLedger(cmd.Context(), func(ledger *store.Store, _ *config.Config) error {
				w, err := oneWebhook(cmd.Context(), ledger, id)
				if err != nil {
					return err
				}
				if asJSON {
					return r.printJSON(wholeWebhookView{viewWebhook(w), w.URL, w.Body})
				}
				r.writeWebhook(w)
				return nil
			})
		},
	}
	jsonFlag(cmd, &asJSON, "as one JSON object")
	return cmd
}

func (r *root) writeWebhook(w *store.StoredWebhook) {
	r.printf("webhook %s, made %s\n", w.ID, w.CreatedAt.Local().Format(traceTime))
	r.printf("  reply  %s\n", w.SID)
	r.printf("  to     %s\n", oneLine(w.URL))
	r.printf("  state  %s after %s, since %s\n", w.State, countTries(w.Tries), w.UpdatedAt.Local().Format(traceTime))
	if w.State == store.WebhookQueued {
		r.printf("  due    %s\n", w.DueAt.Local().Format(traceTime))
	}
	r.printf("  error  %s\n", dash(oneLine(w.Error)))
	if w.Gone() {
		r.printf("  what it held is gone: it was erased, or its time is over\n")
		return
	}
	r.printf("\n%s\n", visible(w.Body))
}

func countTries(n int) string {
	if n == 1 {
		return "1 try"
	}
	return fmt.Sprintf("%d tries", n)
}

func (r *root) webhooksRetry() *cobra.Command {
	var order orderFlags
	var failed bool
	cmd := &cobra.Command{
		Use:   "retry <id> | --failed",
		Short: "Post webhooks again that were given up",
		Long: "Post webhooks again that were given up, at once and with all their tries, with the webhook-id that they had: a server that took\n" +
			"one after all can tell. Their URL and body stay as the rule made them. Who did it is in the table audit.",
		Example: "  beckon webhooks retry 01a2b3c4-0000-7000-8000-000000000000 --by ana\n  beckon webhooks retry --failed --by ana --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			if failed == (len(args) > 0) || len(args) > 1 {
				return usagef("%s takes either the id of one webhook or --failed", cmd.CommandPath())
			}
			return r.withLedger(cmd.Context(), func(ledger *store.Store, _ *config.Config) error {
				if failed {
					return r.retryFailed(cmd.Context(), ledger, &order)
				}
				id, err := parseWebhookID(args[0])
				if err != nil {
					return err
				}
				return r.retryOne(cmd.Context(), ledger, id, order.operator())
			})
		},
	}
	cmd.Flags().BoolVar(&failed, "failed", false, "all that were given up and still hold something")
	order.add(cmd)
	return cmd
}

func (r *root) retryOne(ctx context.Context, ledger *store.Store, id, by string) error {
	again, err := ledger.RetryWebhooks(ctx, []string{id}, by)
	if err != nil {
		return err
	}
	if len(again) > 0 {
		r.printf("webhook %s is posted again\n", id)
		return nil
	}
	w, err := oneWebhook(ctx, ledger, id)
	switch {
	case err != nil:
		return err
	case w.State != store.WebhookFailed:
		return fmt.Errorf("webhook %s is %s: only one that was given up can be posted again", id, w.State)
	case w.Gone():
		return fmt.Errorf("what webhook %s held is gone (%s): it can't be posted again", id, oneLine(w.Error))
	}
	return errors.New("the webhook was given up this moment: try again")
}

func (r *root) retryFailed(ctx context.Context, ledger *store.Store, order *orderFlags) error {
	found, err := ledger.Webhooks(ctx, store.WebhookFilter{State: store.WebhookFailed})
	if err != nil {
		return err
	}
	var ids []string // those that are counted, not what is given up meanwhile
	for i := range found {
		if !found[i].Gone() {
			ids = append(ids, found[i].ID)
		}
	}
	if len(ids) == 0 {
		r.printf("no webhook was given up that can be posted again\n")
		return nil
	}
	if !order.yes {
		if err := r.confirm(fmt.Sprintf("This will post %s again. Go on?", plural(len(ids), "webhook"))); err != nil {
			return err
		}
	}
	again, err := ledger.RetryWebhooks(ctx, ids, order.operator())
	if err != nil {
		return err
	}
	r.printf("%s posted again\n", plural(len(again), "webhook"))
	return nil
}
