package cli

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/message"
)

func (r *root) templates() *cobra.Command {
	return group("templates", "Preview, list and lint message templates", r.templatesPreview(), r.templatesList(), r.templatesLint())
}

// loadTemplates reads the templates for a command that works with them.
func (r *root) loadTemplates(flags policyFlags) (*policy, error) {
	p, err := r.openPolicy(flags)
	if err != nil {
		return nil, err
	}
	if err := p.loadTemplates(); err != nil {
		return nil, err
	}
	return p, r.refuse(p)
}

func (r *root) templatesList() *cobra.Command {
	var flags policyFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the templates with their languages and variables",
		Example: "  beckon templates list\n  beckon templates list --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			p, err := r.loadTemplates(flags)
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(r.streams.Out, 0, 0, 2, ' ', 0)
			if !asJSON {
				_, _ = fmt.Fprintln(table, "TEMPLATE\tCHANNELS\tLANGUAGES\tVARIABLES")
			}
			for _, name := range p.templates.Names() {
				one := templateView{
					Template: name, Channels: p.templates.Channels(name), Languages: p.templates.Languages(name),
					Variables: p.templates.Variables(name),
				}
				if asJSON {
					if err := r.printJSON(one); err != nil {
						return err
					}
					continue
				}
				channels := make([]string, len(one.Channels))
				for i, c := range one.Channels {
					channels[i] = string(c)
				}
				_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", name, dash(strings.Join(channels, ",")),
					dash(strings.Join(one.Languages, ",")), dash(strings.Join(one.Variables, ",")))
			}
			return table.Flush()
		},
	}
	flags.addTemplates(cmd)
	jsonFlag(cmd, &asJSON, "one JSON object a line")
	return cmd
}

// templateView is a template as templates list --json gives it.
type templateView struct {
	Template  string            `json:"template"`
	Channels  []message.Channel `json:"channels"`
	Languages []string          `json:"languages"`
	Variables []string          `json:"variables"`
}

func (r *root) templatesLint() *cobra.Command {
	var flags policyFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "lint",
		Short: "Check the templates for mistakes and for what makes messages expensive",
		Long: "List mistakes, and warnings about characters and lengths that cost more than they look, as\n" +
			"file:line:column: message. Exit code 1 means that there are mistakes; warnings do not fail.",
		Example: "  beckon templates lint\n  beckon templates lint --dir ./templates",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			p, err := r.openPolicy(flags)
			if err != nil {
				return err
			}
			if err := p.loadTemplates(); err != nil {
				return err
			}
			if err := r.tell(p, asJSON); err != nil || asJSON {
				return err
			}
			r.printf("%s in %s are good, %s\n", plural(len(p.templates.Names()), "template"), p.tplDir,
				plural(p.count("warning"), "warning"))
			return nil
		},
	}
	flags.addTemplates(cmd)
	jsonFlag(cmd, &asJSON, "one JSON object a line for each mistake and warning")
	return cmd
}

// previewFlags are the flags of templates preview.
type previewFlags struct {
	policyFlags

	languages []string
	vars      []string
	fill      bool
	asJSON    bool
}

func (r *root) templatesPreview() *cobra.Command {
	var flags previewFlags
	cmd := &cobra.Command{
		Use:   "preview <template>",
		Short: "Show the messages that a template makes, with their size",
		Example: "  beckon templates preview closed-won-welcome --fill\n" +
			"  beckon templates preview closed-won-welcome --language es --var first_name=Ana --var link=https://example.com/x",
		Args: exactlyOne("the name of a template, see beckon templates list"),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := r.loadTemplates(flags.policyFlags)
			if err != nil {
				return err
			}
			if !p.templates.Has(args[0]) {
				return fmt.Errorf("there is no template %s in %s: see beckon templates list", args[0], p.tplDir)
			}
			vars, err := previewVariables(args[0], p.templates.Variables(args[0]), flags)
			if err != nil {
				return err
			}
			if flags.fill {
				fill(p.templates, args[0], vars)
			}
			return r.preview(p, args[0], vars, flags)
		},
	}
	flags.addTemplates(cmd)
	cmd.Flags().StringSliceVar(&flags.languages, "language", nil, "the languages to show (default: all of the template)")
	cmd.Flags().StringArrayVar(&flags.vars, "var", nil, "a variable's value, name=value; repeat it for more")
	cmd.Flags().BoolVar(&flags.fill, "fill", false, "fill the other variables with placeholders")
	jsonFlag(cmd, &flags.asJSON, "one JSON object a line for each language")
	return cmd
}

// previewVariables joins the given values with placeholders for the rest.
func previewVariables(template string, mentioned []string, flags previewFlags) (map[string]any, error) {
	vars := map[string]any{}
	for _, pair := range flags.vars {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, usagef("--var %s: want name=value", pair)
		}
		if !slices.Contains(mentioned, name) {
			return nil, usagef("template %s has no variable %s: it has %s", template, name, dash(strings.Join(mentioned, ", ")))
		}
		vars[name] = value
	}
	var missing []string
	for _, name := range mentioned {
		if _, given := vars[name]; given {
			continue
		}
		vars[name] = placeholder(name)
		missing = append(missing, name)
	}
	if len(missing) > 0 && !flags.fill {
		return nil, usagef("template %s needs values for %s: give --var %s=..., or --fill for placeholders",
			template, strings.Join(missing, ", "), missing[0])
	}
	return vars, nil
}

// previewView is one language of a preview.
type previewView struct {
	Template string `json:"template"`
	Asked    string `json:"asked"` // the language asked for; the content says which one was found
	message.Content

	Error string `json:"error,omitempty"`
}

func (r *root) preview(p *policy, name string, vars map[string]any, flags previewFlags) error {
	languages := flags.languages
	if len(languages) == 0 {
		languages = p.templates.Languages(name)
	}
	if len(languages) == 0 {
		languages = []string{""}
	}
	failed := false
	for _, language := range languages {
		content, err := p.templates.Render(name, language, vars)
		one := previewView{Template: name, Asked: language, Content: content}
		if err != nil {
			failed, one.Error = true, err.Error()
		}
		if flags.asJSON {
			if err := r.printJSON(one); err != nil {
				return err
			}
			continue
		}
		r.printf("%s\n", dash(language))
		r.writeContent("  ", content)
		for problem := range strings.Lines(one.Error) {
			r.complain("%s\n", strings.TrimSpace(problem))
		}
	}
	if failed {
		return errSilent
	}
	return nil
}
