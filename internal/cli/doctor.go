package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/app"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/embedded"
)

// checkTimeout bounds each check that asks another program.
const checkTimeout = 5 * time.Second

// The results of a check.
const (
	good    = "OK"
	warning = "WARN"
	bad     = "FAIL"
	skipped = "SKIP" // there was nothing to look at, or it was not to be looked at
)

// finding is one line of the doctor.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Text   string `json:"text"`
	Advice string `json:"advice,omitempty"`
}

// doctor looks at one installation.
type doctor struct {
	doctorFlags

	cfg     *config.Config
	running embedded.Addresses // of the serve that runs on the data directory; zero without one
}

type doctorFlags struct {
	roles   []string // those that run with this configuration
	offline bool
}

func (r *root) doctor() *cobra.Command {
	var flags doctorFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the whole installation and say what to do",
		Long: "Look at the configuration, rules, templates, reactions, opt-out words, quiet hours, data directory, NATS, Postgres,\n" +
			"sender, public URL, certificates, the running server and Twilio, in this order, and say what to do about each problem.\n" +
			"Nothing is changed and nothing is sent.\n\n" +
			"OK is good, WARN works but should be looked at, FAIL does not work, SKIP was not looked at. Exit code 1: there is a FAIL.\n" +
			"Where each role has a configuration of its own, name the roles of this one.",
		Example: "  beckon doctor\n  beckon doctor --roles dispatcher\n  beckon doctor --offline --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, role := range flags.roles {
				if !slices.Contains(config.Roles(), role) {
					return usagef("there is no role %q: the roles are %s", role, strings.Join(config.Roles(), ", "))
				}
			}
			return r.report(r.diagnose(cmd.Context(), flags), asJSON)
		},
	}
	cmd.Flags().BoolVar(&flags.offline, "offline", false, "do not call Twilio")
	cmd.Flags().StringSliceVar(&flags.roles, "roles", config.Roles(), "the roles to check for, comma-separated")
	jsonFlag(cmd, &asJSON, "one JSON object a line")
	cmd.AddCommand(r.doctorTwilio())
	return cmd
}

// report writes findings and fails when one of them does.
func (r *root) report(findings []finding, asJSON bool) error {
	failed := false
	table := tabwriter.NewWriter(r.streams.Out, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		failed = failed || f.Status == bad
		if asJSON {
			if err := r.printJSON(f); err != nil {
				return err
			}
			continue
		}
		text := oneLine(f.Text)
		if f.Advice != "" {
			text += ": " + f.Advice
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", f.Status, f.Check, text)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if failed {
		return errSilent
	}
	return nil
}

// diagnose runs the checks in order.
func (r *root) diagnose(ctx context.Context, flags doctorFlags) []finding {
	cfg, err := r.load()
	var malformed *config.Error
	switch {
	case errors.As(err, &malformed):
		var findings []finding
		for _, p := range malformed.Problems {
			findings = append(findings, finding{"configuration", bad, p.String(), "correct it; nothing else was looked at"})
		}
		return findings
	case err != nil:
		return []finding{{"configuration", bad, err.Error(), "nothing else was looked at"}}
	}
	d := &doctor{doctorFlags: flags, cfg: cfg}
	d.running, _ = embedded.ReadAddresses(cfg.DataDir) // why there is none is told by the check of the data directory
	var findings []finding
	const door, router, dispatcher = config.RoleIngest, config.RoleRouter, config.RoleDispatcher
	for _, check := range []struct {
		name string
		look func(context.Context) []finding
		of   []string // the roles that need it; none: all do
	}{
		{"configuration", d.configuration, nil},
		{"rules", func(context.Context) []finding { return d.policy(r) }, []string{router}},
		{"reactions", d.reactions, []string{door, dispatcher}},
		{"opt-out words", d.words, []string{dispatcher}},
		{"quiet hours", d.hours, []string{router, dispatcher}},
		{"data directory", d.dataDir, nil},
		{"NATS", d.nats, nil},
		{"Postgres", d.postgres, []string{router, dispatcher}},
		{"sender", d.sender, []string{dispatcher}},
		{"public URL", d.publicURL, []string{door, dispatcher}},
		{"certificates", d.certificates, []string{door}},
		{"server", d.server, nil},
		{"Twilio", d.twilio, []string{dispatcher}},
	} {
		limited, cancel := context.WithTimeout(ctx, checkTimeout)
		look := check.look
		if !d.concerns(check.of) {
			look = func(context.Context) []finding { return say(skipped, "not of "+strings.Join(d.roles, ", "), "") }
		}
		for _, f := range look(limited) {
			f.Check = check.name
			findings = append(findings, f)
		}
		cancel()
	}
	return findings
}

// concerns tells whether one of the roles that are looked at needs what those roles need; none stands for all.
func (d *doctor) concerns(roles []string) bool {
	return len(roles) == 0 || slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(d.roles, role) })
}

// say is a finding with one line of text and, when needed, what to do.
func say(status, text, advice string) []finding {
	return []finding{{Status: status, Text: text, Advice: advice}}
}

func (d *doctor) configuration(context.Context) []finding {
	var findings []finding
	for _, text := range d.cfg.Warnings {
		findings = append(findings, finding{Status: warning, Text: text, Advice: "correct or remove it"})
	}
	err := d.cfg.Check(d.roles)
	var missing *config.MissingError
	if !errors.As(err, &missing) {
		return append(findings, say(good, "complete for "+strings.Join(d.roles, ", "), "")...)
	}
	for _, m := range missing.Missing {
		findings = append(findings, finding{
			Status: bad, Text: fmt.Sprintf("the role %s needs %s (%s)", m.Role, m.Name, m.Why),
			Advice: "set it in the environment or in beckon.yaml",
		})
	}
	return findings
}

func (d *doctor) reactions(context.Context) []finding {
	path := d.cfg.Twilio.ReactionsFile
	table, err := app.LoadReactions(path)
	switch {
	case err != nil:
		return say(bad, err.Error(), "correct it, serve does not start with it")
	case path == "":
		return say(good, fmt.Sprintf("%d entries, the shipped table", table.Codes()), "")
	}
	return say(good, fmt.Sprintf("%d entries, with those of %s", table.Codes(), path), "")
}

func (d *doctor) policy(r *root) []finding {
	p, err := r.openPolicy(policyFlags{})
	if err == nil {
		err = errors.Join(p.loadTemplates(), p.loadRules())
	}
	switch {
	case err != nil:
		return say(bad, err.Error(), "")
	case p.count("error") > 0:
		return say(bad, plural(p.count("error"), "mistake")+" in the rules and templates", "see beckon rules check")
	case p.rules.Len() == 0:
		return say(warning, "no rules in "+p.rulesDir, "no message is ever sent; write one, or set BECKON_RULES_DIR")
	}
	text := fmt.Sprintf("%s in %s, %s in %s", plural(p.rules.Len(), "rule"), p.rulesDir,
		plural(len(p.templates.Names()), "template"), p.tplDir)
	found := say(good, text, "")
	if n := p.count("warning"); n > 0 {
		found = say(warning, text+", with "+plural(n, "warning"), "see beckon rules check")
	}
	return append(found, d.replyWebhooks(p)...)
}

// words looks at the vocabulary of opt-outs.
func (d *doctor) words(context.Context) []finding {
	if _, err := d.cfg.Words(); err != nil {
		return say(bad, err.Error(), "correct the file, or unset BECKON_OPT_OUT_FILE")
	}
	if d.cfg.Consent.OptOutFile == "" {
		return say(good, "the shipped ones", "")
	}
	return say(good, "the shipped ones and "+d.cfg.Consent.OptOutFile, "")
}

// hours looks at the table of quiet hours and the time zone data that it counts with.
func (d *doctor) hours(context.Context) []finding {
	law, err := d.cfg.Law()
	if err != nil {
		return say(bad, err.Error(), "correct it, serve does not start with it")
	}
	text := "the shipped table (reviewed " + law.Reviewed() + ", no legal advice)"
	if d.cfg.QuietHours.File != "" {
		text += " and " + d.cfg.QuietHours.File
	}
	zones, old := law.Zones().Version()
	if old != "" {
		return say(warning, text, old)
	}
	return say(good, text+"; time zone data "+zones, "")
}
