package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/config"
)

func (r *root) config() *cobra.Command {
	return group("config", "Look at the configuration", r.configPrint(), r.configCheck(), r.configReference())
}

func (r *root) configPrint() *cobra.Command {
	return &cobra.Command{
		Use:     "print",
		Short:   "Print the settings in force and where each came from, secrets hidden",
		Example: "  beckon config print\n  beckon config print --config /etc/beckon.yaml",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := r.load()
			if err != nil {
				return err
			}
			r.warn(cfg)
			return cfg.Print(r.streams.Out)
		},
	}
}

func (r *root) configCheck() *cobra.Command {
	var roles []string
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Check that all is configured that the roles need",
		Long:    "Check the form of the settings, and that the roles have what they need. Nothing is connected to: see beckon doctor.",
		Example: "  beckon config check\n  beckon config check --roles ingest",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := r.load()
			if err != nil {
				return err
			}
			r.warn(cfg)
			if err := cfg.Check(roles); err != nil {
				return err
			}
			r.printf("the configuration is good for %s\n", strings.Join(roles, ", "))
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&roles, "roles", config.Roles(), "the roles to check for, comma-separated")
	return cmd
}

// warn writes what is odd about a configuration that can be used.
func (r *root) warn(cfg *config.Config) {
	for _, text := range cfg.Warnings {
		r.complain("warning: %s\n", text)
	}
}

func (r *root) configReference() *cobra.Command {
	var markdown, asJSON bool
	cmd := &cobra.Command{
		Use:     "reference",
		Short:   "List every setting with its default and meaning",
		Example: "  beckon config reference\n  beckon config reference --markdown > configuration.md",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			switch {
			case markdown && asJSON:
				return usagef("choose --markdown or --json, not both")
			case asJSON:
				return r.referenceJSON()
			case markdown:
				r.referenceMarkdown()
				return nil
			}
			table := tabwriter.NewWriter(r.streams.Out, 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(table, "VARIABLE\tIN THE FILE\tDEFAULT\tMEANING")
			for _, s := range config.Reference() {
				_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", s.Variable, s.Path, dash(s.Default), s.Meaning+remarks(s))
			}
			return table.Flush()
		},
	}
	cmd.Flags().BoolVar(&markdown, "markdown", false, "as a Markdown table")
	jsonFlag(cmd, &asJSON, "one JSON object a line")
	return cmd
}

func remarks(s config.Setting) string {
	text := ""
	if s.List {
		text += " Several with commas between them."
	}
	if s.Secret {
		text += " Secret: never printed."
	}
	return text
}

func (r *root) referenceMarkdown() {
	r.printf("| variable | in the file | default | meaning |\n| --- | --- | --- | --- |\n")
	escape := strings.NewReplacer("|", `\|`)
	for _, s := range config.Reference() {
		standard := "none"
		if s.Default != "" {
			standard = "`" + s.Default + "`"
		}
		r.printf("| `%s` | `%s` | %s | %s |\n", s.Variable, s.Path, standard, escape.Replace(s.Meaning+remarks(s)))
	}
}

func (r *root) referenceJSON() error {
	for _, s := range config.Reference() {
		err := r.printJSON(struct {
			Variable string `json:"variable"`
			Path     string `json:"path"`
			Default  string `json:"default"`
			Meaning  string `json:"meaning"`
			Secret   bool   `json:"secret"`
			List     bool   `json:"list"`
		}{s.Variable, s.Path, s.Default, s.Meaning, s.Secret, s.List})
		if err != nil {
			return err
		}
	}
	return nil
}

// jsonFlag adds --json.
func jsonFlag(cmd *cobra.Command, asJSON *bool, usage string) {
	cmd.Flags().BoolVar(asJSON, "json", false, usage)
}
