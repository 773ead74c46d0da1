package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/beckonhq/beckon/router/rule"
	"github.com/beckonhq/beckon/templates"
)

// settle is how long the files must be quiet before they are read again: an editor or a config map changes several.
const settle = 200 * time.Millisecond

// Policy is the rules and templates of one moment. They are read and replaced together, since a rule names templates.
type Policy struct {
	Rules     *rule.Set
	Templates *templates.Set
}

// PolicySource says where rules and templates are, and what they may name.
type PolicySource struct {
	RulesDir     string
	TemplatesDir string   // empty: the shipped ones
	Senders      []string // that rules may name besides the default one; nil: any
	Windows      []string // that quiet_hours may name; nil: any
}

func (a *App) policySource() PolicySource {
	source := PolicySource{RulesDir: a.cfg.RulesDir, TemplatesDir: a.cfg.TemplatesDir}
	if len(a.cfg.Senders) > 0 { // a router by itself may know of none
		source.Senders = a.cfg.SenderNames()
	}
	if a.law != nil {
		source.Windows = a.law.Names()
	}
	return source
}

// LoadPolicy reads the rule files and the template files.
func LoadPolicy(from PolicySource) (*Policy, error) {
	rulesDir := from.RulesDir
	set, err := loadTemplates(from.TemplatesDir)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(rulesDir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("load the rules: %s is not a directory; make it or set BECKON_RULES_DIR", rulesDir)
	}
	rules, err := rule.Load(os.DirFS(rulesDir), rule.Options{Templates: set, Senders: from.Senders, Windows: from.Windows})
	if err != nil {
		return nil, fmt.Errorf("load the rules: %w", err)
	}
	return &Policy{Rules: rules, Templates: set}, nil
}

// loadTemplates reads the template files of a directory, or the shipped ones.
func loadTemplates(dir string) (*templates.Set, error) {
	source := templates.Defaults()
	if dir != "" {
		source = os.DirFS(dir)
	}
	set, err := templates.Load(source)
	if err != nil {
		return nil, fmt.Errorf("load the templates: %w", err)
	}
	return set, nil
}

// texts are the running templates; a process without the role router reads them from disk.
func (a *App) texts() (*templates.Set, error) {
	if a.policies != nil {
		return a.policies.running.Load().Templates, nil
	}
	return loadTemplates(a.cfg.TemplatesDir)
}

// policies holds the running policy and replaces it when the files change. A bad file keeps the running one.
type policies struct {
	from PolicySource

	log     *slog.Logger
	running atomic.Pointer[Policy]
	failed  prometheus.Gauge
	reloads *prometheus.CounterVec

	mu      sync.Mutex
	problem error // of the last reload
}

func newPolicies(from PolicySource, log *slog.Logger, registry prometheus.Registerer) (*policies, error) {
	p := &policies{
		from: from, log: log,
		failed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "beckon_rules_reload_failed", Help: "1 while the rule and template files on disk are not the running ones because of an error.",
		}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "beckon_rules_reloads_total", Help: "Reloads of the rule and template files.",
		}, []string{"result"}),
	}
	first, err := LoadPolicy(from)
	if err != nil {
		return nil, err
	}
	p.running.Store(first)
	return p, errors.Join(registry.Register(p.failed), registry.Register(p.reloads))
}

func (p *policies) rules() *rule.Set { return p.running.Load().Rules }

// both are of one moment: a rule is never rendered with the templates of another one.
func (p *policies) both() (*rule.Set, *templates.Set) {
	running := p.running.Load()
	return running.Rules, running.Templates
}

// Err is the problem of the last reload, nil when the files on disk are the running ones.
func (p *policies) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.problem
}

// reload reads the files and makes them the running ones, unless there is a mistake in them.
func (p *policies) reload(ctx context.Context) {
	next, err := LoadPolicy(p.from)
	p.mu.Lock()
	p.problem = err
	p.mu.Unlock()
	if err != nil {
		p.failed.Set(1)
		p.reloads.WithLabelValues("failed").Inc()
		p.log.ErrorContext(ctx, "the changed rules are not used, the running ones stay", "rule_set", p.rules().Version(), "error", err)
		return
	}
	p.failed.Set(0)
	if next.Rules.Version() == p.rules().Version() && next.Templates.Version() == p.running.Load().Templates.Version() {
		return
	}
	p.running.Store(next)
	p.reloads.WithLabelValues("ok").Inc()
	p.log.InfoContext(ctx, "new rules are running", "rule_set", next.Rules.Version(), "rules", next.Rules.Len())
}

// watch reloads on a change of the files and on every value of hup, until ctx ends.
func (p *policies) watch(ctx context.Context, hup <-chan os.Signal) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch the rules: %w", err)
	}
	defer func() { _ = watcher.Close() }()
	p.follow(ctx, watcher) // and what changed since the first reading is not missed
	var quiet <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			p.follow(ctx, watcher)
		case <-quiet:
			quiet = nil
			p.follow(ctx, watcher)
		case <-watcher.Events:
			quiet = time.After(settle)
		case err := <-watcher.Errors:
			p.log.WarnContext(ctx, "watching the rules failed, send SIGHUP after a change", "error", err)
		}
	}
}

// follow watches the directories, then reloads. Each time anew: one may have been made, or replaced by another one, since.
func (p *policies) follow(ctx context.Context, watcher *fsnotify.Watcher) {
	for _, dir := range []string{p.from.RulesDir, filepath.Join(p.from.RulesDir, "wsdl"), p.from.TemplatesDir} {
		if info, err := os.Stat(dir); dir == "" || err != nil || !info.IsDir() {
			continue
		}
		if err := watcher.Add(dir); err != nil {
			p.log.WarnContext(ctx, "a directory can't be watched, send SIGHUP after a change", "dir", dir, "error", err)
		}
	}
	p.reload(ctx)
}
