package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/router/rule"
)

func (r *root) rulesPause() *cobra.Command {
	pause := func(ledger *store.Store, ctx context.Context, by store.RuleSwitch) (bool, error) {
		if err := r.knowRule(ctx, ledger, by.Rule); err != nil {
			return false, err
		}
		return ledger.PauseRule(ctx, by)
	}
	return r.ruleSwitch(pause, &cobra.Command{
		Use: "pause NAME", Short: "Let the messages of a rule wait",
		Long: "Let the messages of a rule wait: they are still made, none is lost, and none is sent until beckon rules resume.\n" +
			"A try that is under way is finished. Who did it is in the table audit.",
		Example: "  beckon rules pause payment-overdue --by ana --note 'a wrong import'",
	}, [2]string{"rule %s was paused before\n", "rule %s is paused\n"})
}

// knowRule refuses the name of a rule that is not in the files and of which no message waits: a slip would pause nothing, and look
// done. Where this machine has no rule files, or bad ones, any name is believed.
func (r *root) knowRule(ctx context.Context, ledger *store.Store, name string) error {
	p, err := r.openPolicy(policyFlags{})
	if err == nil {
		err = errors.Join(p.loadTemplates(), p.loadRules())
	}
	if err != nil || p.rules == nil || p.hasRule(name) {
		return nil //nolint:nilerr // the running server may know it
	}
	waits, err := ledger.RuleWaits(ctx, name)
	if err != nil || waits {
		return err
	}
	return fmt.Errorf("there is no rule %q in %s, and no message of it waits: beckon rules list shows the rules", name, p.rulesDir)
}

func (p *policy) hasRule(name string) bool {
	return slices.ContainsFunc(p.rules.Rules(), func(r *rule.Rule) bool { return r.Name == name }) ||
		slices.ContainsFunc(p.rules.ReplyRules(), func(r *rule.ReplyRule) bool { return r.Name == name })
}

func (r *root) rulesResume() *cobra.Command {
	return r.ruleSwitch((*store.Store).ResumeRule, &cobra.Command{
		Use: "resume NAME", Short: "Let the messages of a paused rule go on",
		Long: "Let the messages of a rule go on that was paused by hand or by one of its breakers. What it made counts as its habit\n" +
			"from now on, and opt-outs from what it sent before do not pause it again. Who did it is in the table audit.",
		Example: "  beckon rules resume payment-overdue --by ana --note 'a real sale'",
	}, [2]string{"rule %s was not paused\n", "rule %s goes on\n"})
}

// ruleSwitch completes a command that turns a rule off or on; says is what it tells when nothing changed, and when something did.
func (r *root) ruleSwitch(
	turn func(*store.Store, context.Context, store.RuleSwitch) (bool, error), cmd *cobra.Command, says [2]string,
) *cobra.Command {
	by := store.RuleSwitch{}
	cmd.Args = exactlyOne("the name of one rule")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		by.Rule = args[0]
		if by.By == "" {
			by.By = operator()
		}
		if by.By == store.PausedByBreaker {
			return usagef("--by must be the name of a person")
		}
		return r.withLedger(cmd.Context(), func(ledger *store.Store, _ *config.Config) error {
			changed, err := turn(ledger, cmd.Context(), by)
			if err != nil {
				return err
			}
			text := says[0]
			if changed {
				text = says[1]
			}
			r.printf(text, by.Rule)
			return nil
		})
	}
	cmd.Flags().StringVar(&by.By, "by", "", "who does it (default: the account that calls)")
	cmd.Flags().StringVar(&by.Note, "note", "", "why, for whoever reads the record later")
	return cmd
}

func (r *root) rulesPaused() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "paused", Short: "List the rules that are paused", Args: noArgs, Example: "  beckon rules paused",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.withLedger(cmd.Context(), func(ledger *store.Store, _ *config.Config) error {
				pauses, err := ledger.RulePauses(cmd.Context())
				if err != nil {
					return err
				}
				return r.writePauses(pauses, asJSON)
			})
		},
	}
	jsonFlag(cmd, &asJSON, "one JSON object a line")
	return cmd
}

type pauseView struct {
	Rule     string    `json:"rule"`
	PausedAt time.Time `json:"paused_at"`
	PausedBy string    `json:"paused_by"`
	Note     string    `json:"note"`
}

func (r *root) writePauses(pauses []store.RulePause, asJSON bool) error {
	if asJSON {
		for _, p := range pauses {
			if err := r.printJSON(pauseView{p.Rule, p.PausedAt.UTC(), p.PausedBy, p.Note}); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(r.streams.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "RULE\tSINCE\tBY\tNOTE")
	for _, p := range pauses {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", p.Rule, p.PausedAt.Local().Format(time.DateTime), oneLine(p.PausedBy), dash(oneLine(p.Note)))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	r.printf("%s\n", plural(len(pauses), "rule"))
	return nil
}
