package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/store"
)

func (r *root) reviews() *cobra.Command {
	return group("reviews", "Decide which doubtful replies are opt-outs", r.reviewsList(), r.reviewsDecide())
}

// reviewView is a row of the review queue.
type reviewView struct {
	ID         int64      `json:"id"`
	Address    string     `json:"address"`
	Channel    string     `json:"channel"`
	Org        string     `json:"org"`
	InboundSID string     `json:"inbound_sid"`
	Text       string     `json:"text"`
	Pattern    string     `json:"pattern"`
	Language   string     `json:"language"`
	SaidAt     time.Time  `json:"said_at"`
	DecideBy   time.Time  `json:"decide_by"`
	DecidedAt  *time.Time `json:"decided_at,omitempty"`
	DecidedBy  string     `json:"decided_by,omitempty"`
	Decision   string     `json:"decision,omitempty"`
	Note       string     `json:"note,omitempty"`
}

func viewReview(r store.Review) reviewView {
	v := reviewView{
		r.ID, string(r.Address), string(r.Channel), string(r.Org), r.SID, r.Text, r.Pattern, r.Language, r.SaidAt.UTC(), r.DecideBy.UTC(),
		nil, r.DecidedBy, string(r.Decision), r.Note,
	}
	if r.Decision != "" {
		at := r.DecidedAt.UTC()
		v.DecidedAt = &at
	}
	return v
}

func (r *root) reviewsList() *cobra.Command {
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the replies that wait for a decision, oldest first",
		Example: "  beckon reviews list\n  beckon reviews list --all --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.withLedger(cmd.Context(), func(ledger *store.Store, _ *config.Config) error {
				reviews, err := ledger.Reviews(cmd.Context(), all)
				if err != nil {
					return err
				}
				if asJSON {
					for _, one := range reviews {
						if err := r.printJSON(viewReview(one)); err != nil {
							return err
						}
					}
					return nil
				}
				table := tabwriter.NewWriter(r.streams.Out, 0, 0, 2, ' ', 0)
				_, _ = fmt.Fprintln(table, "ID\tRECEIVED\tDECIDE BY\tFROM\tCHANNEL\tDECISION\tTEXT")
				for _, one := range reviews {
					decision := "-"
					if one.Decision != "" {
						decision = words(string(one.Decision)) + " by " + oneLine(one.DecidedBy)
					}
					_, _ = fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", one.ID, one.SaidAt.Local().Format(time.DateTime),
						one.DecideBy.Local().Format(time.DateTime), string(one.Address), one.Channel, decision, dash(oneLine(one.Text)))
				}
				if err := table.Flush(); err != nil {
					return err
				}
				r.printf("%s\n", plural(len(reviews), "review"))
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "decided ones too")
	jsonFlag(cmd, &asJSON, "one JSON object a line")
	return cmd
}

func (r *root) reviewsDecide() *cobra.Command {
	var as string
	ruling := store.Ruling{}
	choices := map[string]store.Decision{"opt-out": store.DecideOptOut, "keep": store.DecideKeep}
	cmd := &cobra.Command{
		Use:   "decide <id>",
		Short: "Decide whether a reply is an opt-out",
		Long: "Decide whether a reply is an opt-out. As opt-out it enters the consent ledger with the time at which the person said it, and\n" +
			"settles every open review of the person. As keep the messages that wait are sent. Who decided what is in the table audit.",
		Example: "  beckon reviews decide 12 --as opt-out --by ana\n  beckon reviews decide 13 --as keep --by ana --note 'meant the order'",
		Args:    exactlyOne("the id of one review"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return usagef("%q is no id of a review: beckon reviews list shows them", args[0])
			}
			if ruling.As = choices[as]; ruling.As == "" {
				return usagef("--as must be opt-out or keep")
			}
			if ruling.By == "" {
				ruling.By = operator()
			}
			if slices.Contains([]string{store.DecidedByTime, store.DecidedByPerson}, ruling.By) {
				return usagef("--by must be the name of a person")
			}
			return r.withLedger(cmd.Context(), func(ledger *store.Store, _ *config.Config) error {
				err := ledger.DecideReview(cmd.Context(), id, ruling)
				if errors.Is(err, store.ErrNotFound) {
					return fmt.Errorf("there is no review %d: beckon reviews list shows them", id)
				}
				if err != nil {
					return err
				}
				r.printf("review %d is decided: %s\n", id, as)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&as, "as", "", "opt-out or keep (required)")
	cmd.Flags().StringVar(&ruling.By, "by", "", "who decides (default: the account that calls)")
	cmd.Flags().StringVar(&ruling.Note, "note", "", "why, for whoever reads the record later")
	return cmd
}
