package app

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/pprof"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/beckonhq/beckon/dispatcher"
	"github.com/beckonhq/beckon/ingest"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/mediaprobe"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/telemetry"
	"github.com/beckonhq/beckon/internal/twilio"
	"github.com/beckonhq/beckon/router"
)

// runner is a stage that works until its context ends.
type runner interface {
	Run(ctx context.Context) error
}

// role is a row of the table of roles. The role ingest is mounted on the public listener instead.
type role struct {
	name  string
	build func() (runner, error)
	needs []string // names of checks
}

func (a *App) roles() []role {
	return []role{
		{config.RoleIngest, nil, []string{"nats", "door"}},
		{config.RoleRouter, a.newRouter, []string{"nats", "postgres", "ledger"}},
		{config.RoleDispatcher, a.newDispatcher, []string{"nats", "postgres", "ledger", "erasures", "twilio"}},
	}
}

// startRoles builds the stages of this process and lets them run once the schema is there.
func (a *App) startRoles(_, running context.Context) error {
	if a.needsDatabase() {
		if err := a.startKeeper(running); err != nil {
			return err
		}
	}
	working, stop := context.WithCancel(running)
	var done []chan struct{}
	for _, r := range a.roles() {
		if !a.has(r.name) || r.build == nil {
			continue
		}
		stage, err := r.build()
		if err != nil {
			stop()
			return err
		}
		ended := make(chan struct{})
		done = append(done, ended)
		a.work.Go(func() error {
			defer close(ended)
			select {
			case <-a.migrated:
			case <-working.Done():
				return nil
			}
			a.log.InfoContext(working, "working", "role", r.name)
			if err := stage.Run(working); err != nil {
				return fmt.Errorf("the role %s ended: %w", r.name, err)
			}
			return nil
		})
	}
	if a.needsDatabase() {
		a.work.Go(func() error {
			if err := a.migrate(working); err != nil && working.Err() == nil {
				return err
			}
			return nil
		})
	}
	a.closers.add("roles", func(ctx context.Context) error {
		stop()
		for _, ended := range done {
			select {
			case <-ended:
			case <-ctx.Done():
				return fmt.Errorf("work in flight is left to redelivery: %w", ctx.Err())
			}
		}
		return nil
	})
	return nil
}

func (a *App) newRouter() (runner, error) {
	webhooks, err := a.webhooks()
	if err != nil {
		return nil, err
	}
	stage, err := router.New(router.Config{
		Envelopes: a.stream.Consumer(stream.Router), Belt: a.stream, Ledger: a.store,
		Policy: a.policies.both, Region: a.cfg.DefaultRegion,
		AnswersPerHour: a.cfg.Replies.AnswersPerHour, Webhooks: webhooks, DoubleOptIn: a.cfg.AsksToConfirm(),
		Log: a.log.With("part", "router"), Metrics: a.registry,
	})
	if err != nil {
		return nil, err
	}
	return a.onGoodStanding(stage), nil
}

func (a *App) newDispatcher() (runner, error) {
	lanes := make([]dispatcher.Lane, len(a.cfg.Senders))
	for i, sender := range a.cfg.Senders {
		var err error
		if lanes[i], err = a.newLane(sender); err != nil {
			return nil, fmt.Errorf("sender %s: %w", sender.Name, err)
		}
	}
	words, err := a.cfg.Words()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	answers, err := a.answers()
	if err != nil {
		return nil, err
	}
	files, err := a.files()
	if err != nil {
		return nil, err
	}
	if a.cfg.HTTP.PublicURL == "" {
		a.log.Warn("BECKON_PUBLIC_URL is not set: Twilio is not asked to report deliveries")
	}
	stage, err := dispatcher.New(dispatcher.Config{
		Lanes: lanes, Inbound: a.stream.Consumer(stream.Inbound), Status: a.stream.Consumer(stream.StatusCallbacks),
		Belt: a.stream, Ledger: a.store, Standing: a.keeper.Load(), Files: files, PublicURL: a.cfg.HTTP.PublicURL,
		SendTimeout: a.cfg.Dispatch.SendTimeout, ReconcileAfter: a.cfg.Dispatch.ReconcileAfter, Reactions: a.reactions,
		PollAfter: a.cfg.Dispatch.PollAfter, PollsPerMinute: a.cfg.Dispatch.PollsPerMinute, InboundCheck: a.cfg.Dispatch.InboundCheck,
		Words: words, ReviewAfter: a.cfg.Consent.ReviewAfter, ReviewThen: store.Decision(a.cfg.Consent.ReviewThen), Answers: answers,
		Hours: a.law, RevokeProgram: a.cfg.Consent.RevokeScope == "program", RevokeAllFrom: a.cfg.Consent.RevokeAllFrom, DoubleOptIn: a.cfg.AsksToConfirm(),
		ConfirmWithin: a.cfg.Consent.ConfirmWithin, Keep: keep(a.cfg.Retention),
		Log: a.log.With("part", "dispatcher"), Metrics: a.registry,
	})
	a.dispatcher.Store(stage)
	return stage, err
}

// files asks about pictures and files before they are sent; nil when that is switched off.
func (a *App) files() (dispatcher.Files, error) {
	if a.cfg.Dispatch.MediaCheck == config.MediaCheckNo {
		return nil, nil //nolint:nilnil // they go out as they are
	}
	cache, err := mediaprobe.NewCache(mediaprobe.New(a.cfg.Dispatch.MediaCheck == config.MediaCheckPrivate), a.registry)
	if err != nil {
		return nil, err
	}
	a.closers.add("questions about files", func(context.Context) error { cache.Close(); return nil })
	return cache, nil
}

// keep leaves out the kinds that are kept for ever.
func keep(r config.Retention) map[store.RetentionKind]time.Duration {
	all := map[store.RetentionKind]time.Duration{
		store.RetainContents: r.Contents, store.RetainReplies: r.Replies, store.RetainSnapshots: r.Snapshots, store.RetainDecisions: r.Decisions,
	}
	maps.DeleteFunc(all, func(_ store.RetentionKind, d time.Duration) bool { return d == 0 })
	return all
}

// newLane gives a sender connections of its own: those of another one that is slow can't be in its way.
func (a *App) newLane(sender config.Sender) (dispatcher.Lane, error) {
	account := a.account(sender)
	if err := account.Validate(); err != nil {
		return dispatcher.Lane{}, err
	}
	client := twilio.New(account)
	a.closers.add("connections to Twilio", func(context.Context) error { client.Close(); return nil })
	return dispatcher.Lane{
		Sender: dispatcher.Sender{
			Name: sender.Name, MessagingServiceSID: sender.MessagingServiceSID, SMSFrom: sender.SMSFrom, WhatsAppFrom: sender.WhatsAppFrom,
		},
		Account: sender.Account.AccountSID, Messages: a.stream.Consumer(stream.DispatcherOf(sender.Name)), Twilio: client,
		Concurrency: sender.Concurrency, Pace: sender.Rate.Pace(),
	}, nil
}

func (a *App) loadRules(ctx, _ context.Context) error {
	if !a.has(config.RoleRouter) {
		return nil
	}
	var err error
	if a.policies, err = newPolicies(a.policySource(), a.log.With("part", "rules"), a.registry); err != nil {
		return fmt.Errorf("%w: %w", ErrSetup, err)
	}
	for _, warning := range a.policies.rules().Warnings() {
		a.log.WarnContext(ctx, "a rule may not do what it seems to", "where", warning.String())
	}
	a.warnOfPlaceholders(ctx)
	a.log.InfoContext(ctx, "rules are loaded", "rule_set", a.policies.rules().Version(), "rules", a.policies.rules().Len())
	return nil
}

// startPublic opens the door for Salesforce and Twilio.
func (a *App) startPublic(ctx, _ context.Context) error {
	if !a.has(config.RoleIngest) {
		return nil
	}
	var tokens []string
	for _, token := range a.cfg.Tokens() {
		tokens = append(tokens, token.Reveal())
	}
	var senders []ingest.Sender
	for _, s := range a.cfg.Senders {
		senders = append(senders, ingest.Sender{
			Name: s.Name, AccountSID: s.Account.AccountSID, MessagingServiceSID: s.MessagingServiceSID, SMSFrom: s.SMSFrom,
			WhatsAppFrom: s.WhatsAppFrom,
		})
	}
	door, err := ingest.New(ingest.Config{
		Salesforce: ingest.Salesforce{
			Orgs: a.cfg.Salesforce.OrgIDs, PathSecret: a.cfg.Salesforce.PathSecret.Reveal(), MaxBody: a.cfg.Salesforce.MaxBodyBytes,
			Pinned: a.pinned(),
		},
		Twilio: ingest.Twilio{
			Verifier: twilio.NewVerifier(tokens), PublicURL: a.cfg.HTTP.PublicURL, Senders: senders, Reactions: a.reactions,
		},
		Publisher: a.stream, ConfirmTimeout: a.cfg.Salesforce.ConfirmTimeout, MaxConcurrent: a.cfg.HTTP.MaxConcurrentRequests,
		Log: a.log.With("part", "ingest"), Metrics: a.registry,
	})
	if err != nil {
		return err
	}
	e := newEcho()
	door.Mount(e) //nolint:contextcheck // each request brings its own context
	if a.opts.Public != nil {
		a.public = a.serve(publicListener, a.opts.Public, e, a.publicTLS())
	} else if a.public, err = a.listen(ctx, publicListener, a.cfg.HTTP.Addr, e, a.publicTLS()); err != nil {
		return err
	}
	a.closers.add(publicListener, a.public.shutdown)
	close(a.doorOpen)
	a.log.InfoContext(ctx, "the door is open", "address", a.public.Addr().String(), "tls", a.certificates != nil)
	return nil
}

// startAdmin opens the private listener: health, metrics, API.
func (a *App) startAdmin(ctx, _ context.Context) error {
	a.probes = a.newProbes()
	e := newEcho()
	e.GET("/healthz", func(c echo.Context) error { return c.JSON(http.StatusOK, map[string]string{"status": "alive"}) })
	e.GET("/readyz", a.probes.serve)
	e.GET("/metrics", echo.WrapHandler(telemetry.Handler(a.registry)))
	guard, err := a.newGuard()
	if err != nil {
		return err
	}
	a.mountAPI(e.Group("/api/v1", guard))
	mountProfiles(e.Group("/debug/pprof", guard))
	if a.admin, err = a.listen(ctx, privateListener, a.cfg.HTTP.AdminAddr, e, nil); err != nil {
		return err
	}
	a.closers.add(privateListener, a.admin.shutdown)
	return nil
}

// mountProfiles puts Go's profiles on the private listener: `go tool pprof <private URL>/debug/pprof/profile`.
func mountProfiles(g *echo.Group) {
	g.GET("/profile", echo.WrapHandler(http.HandlerFunc(pprof.Profile)))
	g.GET("/trace", echo.WrapHandler(http.HandlerFunc(pprof.Trace)))
	for _, name := range []string{"allocs", "block", "goroutine", "heap", "mutex", "threadcreate"} {
		g.GET("/"+name, echo.WrapHandler(pprof.Handler(name)))
	}
}

func (a *App) newProbes() *probes {
	p := &probes{needs: map[string][]string{}, warnings: a.warnings}
	names := map[string]func(context.Context) error{
		"nats": a.lookNATS, "postgres": a.lookPostgres, "twilio": a.lookTwilio, "door": a.lookDoor, "ledger": a.lookLedger,
		"erasures": a.lookErasures,
	}
	used := map[string]bool{}
	for _, r := range a.roles() {
		if a.has(r.name) {
			p.needs[r.name] = r.needs
			for _, name := range r.needs {
				used[name] = true
			}
		}
	}
	for name := range used {
		p.checks = append(p.checks, check{name, names[name]})
	}
	slices.SortFunc(p.checks, func(x, y check) int { return slices.Compare([]byte(x.name), []byte(y.name)) })
	return p
}

func (a *App) lookNATS(ctx context.Context) error {
	if !reached(a.streaming) {
		return errStarting
	}
	if a.natsd != nil {
		if err := a.natsd.Healthy(); err != nil {
			return err
		}
	}
	return a.stream.Ready(ctx)
}

// lookDoor keeps a load balancer, and whoever waits for the start, from calling a door that does not listen yet.
func (a *App) lookDoor(context.Context) error {
	if !reached(a.doorOpen) {
		return errStarting
	}
	return nil
}

func (a *App) lookTwilio(ctx context.Context) error {
	stage := a.dispatcher.Load()
	if stage == nil {
		return errStarting
	}
	return stage.Ready(ctx)
}

func (a *App) lookPostgres(ctx context.Context) error {
	if !reached(a.pooled) {
		return errStarting
	}
	if err := a.store.Ready(ctx); err != nil {
		return err
	}
	if !reached(a.migrated) {
		return errStarting
	}
	return nil
}

// lookErasures tells whether this process knows whom nothing may be sent to: else it sends to nobody.
func (a *App) lookErasures(ctx context.Context) error {
	if !reached(a.migrated) {
		return errStarting
	}
	return a.store.KnowsErasures(ctx)
}

func (a *App) warnings() []string {
	var warnings []string
	if a.policies != nil && a.policies.Err() != nil {
		warnings = append(warnings, "the changed rules are not used: "+a.policies.Err().Error())
	}
	if a.certificates != nil {
		warnings = append(warnings, a.certificates.Warnings()...)
	}
	if keeper := a.keeper.Load(); keeper != nil {
		warnings = append(warnings, keeper.Warnings()...)
	}
	if doubt := a.syncDoubt.Load(); doubt != nil {
		warnings = append(warnings, *doubt)
	}
	if stage := a.dispatcher.Load(); stage != nil {
		warnings = append(warnings, stage.Warnings()...)
	}
	if a.cfg.HTTP.PublicURL == "" && a.has(config.RoleIngest, config.RoleDispatcher) {
		warnings = append(warnings, "BECKON_PUBLIC_URL is not set: Twilio's callbacks are refused")
	}
	return warnings
}

// Healthy waits until /readyz would say ready, or ctx ends.
func (a *App) Healthy(ctx context.Context) error {
	return a.insistQuietly(ctx, func(ctx context.Context) error {
		if r := a.probes.look(ctx); r.Status == statusUnavailable || len(r.Dependencies) > 0 && !allReady(r.Roles) {
			return fmt.Errorf("%w: %+v", errStarting, r.Roles)
		}
		return nil
	})
}

func allReady(roles map[string]condition) bool {
	for _, c := range roles {
		if c.Status != statusReady {
			return false
		}
	}
	return true
}

func (a *App) insistQuietly(ctx context.Context, do func(context.Context) error) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := do(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return err
		}
	}
}
