package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/quiet"
	"github.com/beckonhq/beckon/router/rule"
	"github.com/beckonhq/beckon/templates"
)

// shippedName stands for the folder of the templates that are part of the program.
const shippedName = "(shipped templates)"

// policyFlags name the folders of a command about rules or templates; empty means the configured one.
type policyFlags struct {
	rules, templates string
}

func (f *policyFlags) addRules(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.rules, "dir", "", "the folder of the rule files (default: the configured one)")
	cmd.Flags().StringVar(&f.templates, "templates", "", "the folder of the template files (default: the configured one)")
}

func (f *policyFlags) addTemplates(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.templates, "dir", "", "the folder of the template files (default: the configured one)")
}

// mistake is a problem or a warning in a rule or template file.
type mistake struct {
	Severity string `json:"severity"` // error or warning
	File     string `json:"file"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Message  string `json:"message"`
}

func (m mistake) String() string {
	kind := ""
	if m.Severity == "warning" {
		kind = "warning: "
	}
	if m.Line == 0 {
		return m.File + ": " + kind + m.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s%s", m.File, m.Line, m.Column, kind, m.Message)
}

// policy is rules and templates with what is wrong with them.
type policy struct {
	cfg              *config.Config
	rulesDir, tplDir string // for people
	rulesFS, tplFS   fs.FS
	rules            *rule.Set
	templates        *templates.Set
	law              *quiet.Law
	mistakes         []mistake
}

// openPolicy finds the folders. It needs no setting of Salesforce, Twilio or a server.
func (r *root) openPolicy(f policyFlags) (*policy, error) {
	cfg, err := r.load()
	if err != nil {
		return nil, err
	}
	p := &policy{cfg: cfg, rulesDir: f.rules, tplDir: f.templates}
	if p.rulesDir == "" {
		p.rulesDir = cfg.RulesDir
	}
	if p.tplDir == "" {
		p.tplDir = cfg.TemplatesDir
	}
	p.rulesFS = os.DirFS(p.rulesDir)
	if p.tplDir == "" {
		p.tplDir, p.tplFS = shippedName, templates.Defaults()
		return p, nil
	}
	p.tplFS = os.DirFS(p.tplDir)
	return p, isDir(p.tplDir, "BECKON_TEMPLATES_DIR")
}

func isDir(dir, variable string) error {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return usagef("%s is not a directory: name another one, or set %s", dir, variable)
	}
	return nil
}

// loadTemplates reads the templates and notes what is wrong.
func (p *policy) loadTemplates() error {
	set, err := templates.Load(p.tplFS)
	if wrong, ok := errors.AsType[*templates.LoadError](err); ok {
		for _, m := range wrong.Problems {
			p.note("error", filepath.Join(p.tplDir, m.File), m.Line, m.Column, m.Message)
		}
		return nil
	}
	if err != nil {
		return err
	}
	p.templates = set
	for _, w := range set.Lint() {
		p.note("warning", filepath.Join(p.tplDir, w.File), w.Line, w.Column, w.Message)
	}
	return nil
}

// loadRules reads the rules and notes what is wrong. With bad templates, the rules are read without them, so that all is
// reported at once.
func (p *policy) loadRules() error {
	if err := isDir(p.rulesDir, "BECKON_RULES_DIR"); err != nil {
		return err
	}
	var options rule.Options
	if len(p.cfg.Senders) > 0 { // else nobody knows which there will be
		options.Senders = p.cfg.SenderNames()
	}
	law, err := p.cfg.Law()
	if err != nil {
		return err
	}
	p.law, options.Windows = law, law.Names()
	if p.templates != nil {
		options.Templates = p.templates
	}
	set, err := rule.Load(p.rulesFS, options)
	if p.noteRules(err) {
		return nil
	}
	if err != nil {
		return err
	}
	p.rules = set
	for _, w := range set.Warnings() {
		p.note("warning", filepath.Join(p.rulesDir, w.File), w.Line, w.Column, w.Message)
	}
	return nil
}

// noteRules notes the mistakes of a *rule.LoadError and tells whether err was one.
func (p *policy) noteRules(err error) bool {
	var wrong *rule.LoadError
	if !errors.As(err, &wrong) {
		return false
	}
	for _, m := range wrong.Problems {
		p.note("error", filepath.Join(p.rulesDir, m.File), m.Line, m.Column, m.Message)
	}
	return true
}

func (p *policy) note(severity, file string, line, column int, text string) {
	p.mistakes = append(p.mistakes, mistake{severity, file, line, column, text})
}

// count is how many mistakes of a severity there are.
func (p *policy) count(severity string) int {
	n := 0
	for _, m := range p.mistakes {
		if m.Severity == severity {
			n++
		}
	}
	return n
}

// loadPolicy reads templates and rules for a command that works with them: mistakes are written to the standard error and
// end the command, warnings are left to the commands that check.
func (r *root) loadPolicy(f policyFlags) (*policy, error) {
	p, err := r.openPolicy(f)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(p.loadTemplates(), p.loadRules()); err != nil {
		return nil, err
	}
	return p, r.refuse(p)
}

// refuse writes the errors of a policy, if there are any, and fails then.
func (r *root) refuse(p *policy) error {
	n := p.count("error")
	if n == 0 {
		return nil
	}
	for _, m := range p.mistakes {
		if m.Severity == "error" {
			r.complain("%s\n", m)
		}
	}
	r.complain("%s\n", plural(n, "mistake"))
	return errSilent
}

// tell writes all mistakes and warnings of a policy, for the commands that check, and fails if there are mistakes.
func (r *root) tell(p *policy, asJSON bool) error {
	for _, m := range p.mistakes {
		if !asJSON {
			r.complain("%s\n", m)
		} else if err := r.printJSON(m); err != nil {
			return err
		}
	}
	n := p.count("error")
	if n == 0 {
		return nil
	}
	if !asJSON {
		r.complain("%s\n", plural(n, "mistake"))
	}
	return errSilent
}

// complain writes to the standard error.
func (r *root) complain(format string, args ...any) {
	_, _ = fmt.Fprintf(r.streams.Err, format, args...)
}

// plural is "1 rule" or "2 rules".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
