package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/router/rule"
)

func (r *root) rules() *cobra.Command {
	return group("rules", "Check, test, list, explain and pause rules",
		r.rulesCheck(), r.rulesTest(), r.rulesExplain(), r.rulesList(), r.rulesPause(), r.rulesResume(), r.rulesPaused())
}

func (r *root) rulesCheck() *cobra.Command {
	var flags policyFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the rule files, their tests and the templates for mistakes",
		Long: "Read the rule files, their test files and the template files, and list every mistake as file:line:column: message.\n" +
			"Exit code 1 means that there are mistakes, 2 that the command was called wrongly. Warnings do not fail.",
		Example: "  beckon rules check\n  beckon rules check --dir /etc/beckon/rules",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			p, err := r.openPolicy(flags)
			if err != nil {
				return err
			}
			if err := errors.Join(p.loadTemplates(), p.loadRules()); err != nil {
				return err
			}
			tests, err := rule.LoadTests(p.rulesFS)
			if !p.noteRules(err) && err != nil {
				return err
			}
			return r.reportCheck(p, len(tests), asJSON)
		},
	}
	flags.addRules(cmd)
	jsonFlag(cmd, &asJSON, "one JSON object a line for each mistake and warning")
	return cmd
}

func (r *root) reportCheck(p *policy, tests int, asJSON bool) error {
	if err := r.tell(p, asJSON); err != nil || asJSON {
		return err
	}
	files := map[string]bool{}
	for _, one := range p.rules.Rules() {
		files[one.File] = true
	}
	for _, one := range p.rules.ReplyRules() {
		files[one.File] = true
	}
	if len(files) == 0 {
		r.complain("%s: warning: no rules here, so no message is ever sent\n", p.rulesDir)
	}
	r.printf("%s in %s are good, with %s and %s (rule set %s)\n", plural(p.rules.Len(), "rule"), plural(len(files), "file"),
		plural(tests, "test"), plural(len(p.templates.Names()), "template"), p.rules.Version())
	return nil
}

func (r *root) rulesList() *cobra.Command {
	var flags policyFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the rules",
		Example: "  beckon rules list\n  beckon rules list --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			p, err := r.loadPolicy(flags)
			if err != nil {
				return err
			}
			if asJSON {
				for _, one := range p.rules.Rules() {
					if err := r.printJSON(one); err != nil {
						return err
					}
				}
				for _, one := range p.rules.ReplyRules() {
					if err := r.printJSON(one); err != nil {
						return err
					}
				}
				return nil
			}
			return r.ruleTable(p)
		},
	}
	flags.addRules(cmd)
	jsonFlag(cmd, &asJSON, "one JSON object a line")
	return cmd
}

// ruleTable lists the rules about notifications, then those for replies.
func (r *root) ruleTable(p *policy) error {
	table := tabwriter.NewWriter(r.streams.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "RULE\tOBJECT\tTEMPLATE\tCHANNELS\tPURPOSE\tONCE\tDELAY\tPLACE")
	for _, one := range p.rules.Rules() {
		channels := make([]string, len(one.Channels))
		for i, c := range one.Channels {
			channels[i] = string(c)
		}
		delay := "-"
		if one.Delay > 0 {
			delay = one.Delay.String()
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s:%d\n", one.Name, one.Object, one.Template,
			strings.Join(channels, ","), one.Purpose, dash(string(one.Once)), delay, filepath.Join(p.rulesDir, one.File), one.Line)
	}
	for _, one := range p.rules.ReplyRules() {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t-\t-\t-\t%s:%d\n", one.Name, dash(one.Object), dash(one.Template()), "on "+one.On,
			filepath.Join(p.rulesDir, one.File), one.Line)
	}
	return table.Flush()
}

func (r *root) rulesTest() *cobra.Command {
	var flags policyFlags
	var asJSON bool
	var run string
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Run the tests that stand beside the rules (*_test.yaml)",
		Long: "Run the tests that stand beside the rules, in files that end in _test.yaml. The same code decides as in\n" +
			"beckon serve, and no server is needed. Exit code 1 means that a test failed or a file has mistakes.",
		Example: "  beckon rules test\n  beckon rules test --run 'first sight'",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			wanted, err := regexp.Compile(run)
			if err != nil {
				return usagef("--run is not a regular expression: %w", err)
			}
			p, err := r.loadPolicy(flags)
			if err != nil {
				return err
			}
			tests, err := rule.LoadTests(p.rulesFS)
			if p.noteRules(err) {
				return r.refuse(p)
			}
			if err != nil {
				return err
			}
			var chosen []rule.Test
			for _, t := range tests {
				if wanted.MatchString(t.Name) {
					chosen = append(chosen, t)
				}
			}
			if len(chosen) == 0 && run != "" {
				return fmt.Errorf("no test in %s has a name that matches %q", p.rulesDir, run)
			}
			return r.reportTests(p, rule.RunTests(p.rules, chosen, rule.Tools{Render: p.templates.Render, Opens: p.opens}), asJSON)
		},
	}
	flags.addRules(cmd)
	cmd.Flags().StringVar(&run, "run", "", "only tests whose name matches this regular expression")
	jsonFlag(cmd, &asJSON, "one JSON object a line for each test")
	return cmd
}

func (r *root) reportTests(p *policy, results []rule.TestResult, asJSON bool) error {
	failed := 0
	for _, result := range results {
		if !result.Passed() {
			failed++
		}
		if asJSON {
			if err := r.printJSON(newTestView(p, result)); err != nil {
				return err
			}
		}
	}
	if !asJSON {
		r.writeTests(p, results)
		r.printf("%d passed, %d failed\n", len(results)-failed, failed)
	}
	if failed > 0 {
		return errSilent
	}
	return nil
}

// testView is a test's result as --json gives it.
type testView struct {
	File     string         `json:"file"`
	Line     int            `json:"line"`
	Name     string         `json:"name"`
	Passed   bool           `json:"passed"`
	Failures []rule.Failure `json:"failures,omitempty"`
	Decision rule.Decision  `json:"decision"`
}

func newTestView(p *policy, t rule.TestResult) testView {
	return testView{filepath.Join(p.rulesDir, t.File), t.Line, t.Name, t.Passed(), t.Failures, t.Decision}
}

// writeTests writes a line for each file, and below it what failed.
func (r *root) writeTests(p *policy, results []rule.TestResult) {
	for start := 0; start < len(results); {
		end, failed := start, 0
		var details strings.Builder
		for ; end < len(results) && results[end].File == results[start].File; end++ {
			if results[end].Passed() {
				continue
			}
			failed++
			fmt.Fprintf(&details, "    --- %s\n", results[end].Name)
			for _, f := range results[end].Failures {
				text := strings.ReplaceAll(f.Message, "\n", "\n        ")
				fmt.Fprintf(&details, "    %s:%d: %s\n", filepath.Join(p.rulesDir, f.File), f.Line, text)
			}
		}
		file := filepath.Join(p.rulesDir, results[start].File)
		if failed == 0 {
			r.printf("ok    %s  %s\n", file, plural(end-start, "test"))
		} else {
			r.printf("FAIL  %s  %d of %s failed\n%s", file, failed, plural(end-start, "test"), details.String())
		}
		start = end
	}
}
