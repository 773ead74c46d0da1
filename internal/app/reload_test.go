package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/config"
)

func ruleNames(p *policies) string {
	var names strings.Builder
	for _, r := range p.rules().Rules() {
		names.WriteString(r.Name + " ")
	}
	return names.String()
}

func runs(p *policies, names string) func() bool {
	return func() bool { return ruleNames(p) == names+" " && p.Err() == nil }
}

// The whole process: a change runs, a mistake keeps what runs and is told everywhere, and goes away with the mistake.
func TestRulesAreReloaded(t *testing.T) {
	t.Parallel()
	h := start(t, withPostgres(t), config.RoleRouter)
	h.healthy()
	dir, p := h.cfg.RulesDir, h.policies
	require.Equal(t, "first ", ruleNames(p))

	writeRule(t, dir, "second")
	require.Eventually(t, runs(p, "second"), patience, tick)
	_, metrics := h.get(h.AdminURL() + "/metrics")
	require.Contains(t, metrics, "beckon_rules_reload_failed 0\n")
	running := p.rules()

	writeFile(t, dir, "rules:\n  - name: third\n    nonsense: true\n")
	require.Eventually(t, func() bool { return p.Err() != nil }, patience, tick)
	require.Same(t, running, p.rules(), "the running set stays")
	var whole readiness
	require.Equal(t, 200, h.admin("/readyz", &whole))
	require.Equal(t, statusDegraded, whole.Status)
	require.Len(t, whole.Warnings, 1)
	require.Contains(t, whole.Warnings[0], "case.yaml")
	require.Equal(t, 200, h.admin("/readyz?role=router", nil), "the router works on")
	_, metrics = h.get(h.AdminURL() + "/metrics")
	require.Contains(t, metrics, "beckon_rules_reload_failed 1\n")
	require.Contains(t, metrics, `beckon_rules_reloads_total{result="failed"}`)

	writeRule(t, dir, "second") // as it was
	require.Eventually(t, func() bool { return p.Err() == nil }, patience, tick)
	whole = readiness{}
	require.Equal(t, 200, h.admin("/readyz", &whole))
	require.Equal(t, statusReady, whole.Status)
	require.Empty(t, whole.Warnings)
	_, metrics = h.get(h.AdminURL() + "/metrics")
	require.Contains(t, metrics, "beckon_rules_reload_failed 0\n")

	writeRule(t, dir, "fourth")
	require.Eventually(t, runs(p, "fourth"), patience, tick)
}

// watched runs the watch alone.
func watched(t *testing.T, rules, templates string) (*policies, chan<- os.Signal) {
	t.Helper()
	opts, _ := options(nil)
	p, err := newPolicies(PolicySource{RulesDir: rules, TemplatesDir: templates}, opts.Log, prometheus.NewRegistry())
	require.NoError(t, err)
	hup := make(chan os.Signal)
	watch(t, p, hup)
	return p, hup
}

func watch(t *testing.T, p *policies, hup <-chan os.Signal) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.watch(ctx, hup) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
}

func say(t *testing.T, hup chan<- os.Signal) {
	t.Helper()
	select {
	case hup <- syscall.SIGHUP:
	case <-time.After(patience):
		require.Fail(t, "nobody listens for SIGHUP")
	}
}

// A directory above is a link that is pointed elsewhere, which no watch of files tells. After SIGHUP the new one is watched.
func TestSIGHUPReloads(t *testing.T) {
	t.Parallel()
	release := func(rule string) string {
		dir := t.TempDir()
		require.NoError(t, os.Mkdir(filepath.Join(dir, "rules"), 0o700))
		writeRule(t, filepath.Join(dir, "rules"), rule)
		return dir
	}
	link := filepath.Join(t.TempDir(), "current")
	require.NoError(t, os.Symlink(release("first"), link))
	p, hup := watched(t, filepath.Join(link, "rules"), "")
	other := release("second")
	require.NoError(t, os.Remove(link))
	say(t, hup)                         // the directory is away now
	require.Eventually(t, func() bool { // a look that began before may tell of a file
		return p.Err() != nil && strings.Contains(p.Err().Error(), "BECKON_RULES_DIR")
	}, patience, tick)
	require.InDelta(t, 1, testutil.ToFloat64(p.failed), 0)
	require.Equal(t, "first ", ruleNames(p))

	require.NoError(t, os.Symlink(other, link))
	say(t, hup)
	require.Eventually(t, runs(p, "second"), patience, tick)
	require.InDelta(t, 0, testutil.ToFloat64(p.failed), 0)
	writeRule(t, filepath.Join(other, "rules"), "third")
	require.Eventually(t, runs(p, "third"), patience, tick)
}

// A change between the first reading and the watch is not missed.
func TestAChangeBeforeTheWatchIsSeen(t *testing.T) {
	t.Parallel()
	dir := rulesDir(t, "first")
	opts, _ := options(nil)
	p, err := newPolicies(PolicySource{RulesDir: dir, TemplatesDir: ""}, opts.Log, prometheus.NewRegistry())
	require.NoError(t, err)
	writeRule(t, dir, "second")
	watch(t, p, nil)
	require.Eventually(t, runs(p, "second"), patience, tick)
}

// Rules and templates are one: a rule whose template goes away keeps both.
func TestTemplatesAreReloadedWithTheRules(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	template := filepath.Join(dir, "case-escalated.yaml")
	write := func(text string) {
		require.NoError(t, os.WriteFile(template, []byte("sms:\n  en: \""+text+" {{.first_name}} {{.case_number}}\"\n"), 0o600))
	}
	write("Hello")
	p, _ := watched(t, rulesDir(t, "first"), dir)
	rules, first := p.both()
	write("Good day")
	require.Eventually(t, func() bool { _, now := p.both(); return now.Version() != first.Version() }, patience, tick)
	_, second := p.both()
	content, err := second.Render("case-escalated", "en", map[string]any{"first_name": "Ana", "case_number": "7"})
	require.NoError(t, err)
	require.Equal(t, "Good day Ana 7", content.SMS.Text)

	require.NoError(t, os.Rename(template, filepath.Join(dir, "another.yaml")))
	require.Eventually(t, func() bool { return p.Err() != nil }, patience, tick)
	now, same := p.both()
	require.Same(t, second, same)
	require.Equal(t, rules.Version(), now.Version())
}

func TestLoadPolicyNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	file := filepath.Join(rulesDir(t, "first"), "case.yaml")
	for name, c := range map[string]struct{ rules, templates, want string }{
		"no directory":          {empty + "/none", "", "is not a directory; make it or set BECKON_RULES_DIR"},
		"a file":                {file, "", "is not a directory"},
		"no templates":          {empty, empty + "/none", "load the templates"},
		"templates of no rule":  {filepath.Dir(file), empty, "case-escalated"},
		"nothing is configured": {"", "", "BECKON_RULES_DIR"},
	} {
		_, err := LoadPolicy(PolicySource{RulesDir: c.rules, TemplatesDir: c.templates})
		require.ErrorContains(t, err, c.want, name)
	}
}
