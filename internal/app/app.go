package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/beckonhq/beckon/dispatcher"
	"github.com/beckonhq/beckon/internal/certificates"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/embedded"
	"github.com/beckonhq/beckon/internal/embedded/natsd"
	"github.com/beckonhq/beckon/internal/embedded/postgres"
	"github.com/beckonhq/beckon/internal/lifemark"
	"github.com/beckonhq/beckon/internal/quiet"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/telemetry"
	"github.com/beckonhq/beckon/internal/twilio"
)

// publicListener is the name of the part that Salesforce and Twilio reach, privateListener of the one for operators.
const (
	publicListener  = "public listener"
	privateListener = "private listener"
)

// lastWait is how long Stop waits, after everything was told to end, for what still runs.
const lastWait = 2 * time.Second

// Options say what to run.
type Options struct {
	Config  *config.Config
	Roles   []string
	Log     *slog.Logger
	Version string
	Reload  <-chan os.Signal // each value reloads rules, templates and certificates; may be nil
	Look    time.Duration    // between two looks at the life of ledger and belt, and at certificate files; default 5 s
	Public  net.Listener     // serves instead of the configured public address; may be nil. For a free port that must be known before
}

// App is a running process of Beckon.
type App struct {
	opts     Options
	cfg      *config.Config
	log      *slog.Logger
	registry *prometheus.Registry

	closers   closers
	lock      *embedded.DirLock
	natsd     *natsd.Server
	conn      *nats.Conn
	stream    *stream.Client
	store     *store.Store
	streaming chan struct{} // closed when the streams are open
	pooled    chan struct{} // closed when there is a pool of database connections
	migrated  chan struct{} // closed when the schema is there
	doorOpen  chan struct{} // closed when the public listener listens
	policies  *policies
	// certificates are those of the public listener; nil without TLS.
	certificates *certificates.Certificates
	reactions    *twilio.Reactions
	law          *quiet.Law
	syncDoubt    atomic.Pointer[string] // what NATS confirms may be lost, and what to do; nil when all is well
	dispatcher   atomic.Pointer[dispatcher.Dispatcher]
	keeper       atomic.Pointer[lifemark.Keeper]
	addresses    embedded.Addresses
	public       *listener
	admin        *listener
	probes       *probes

	work     *errgroup.Group // roles and what serves them
	cancel   context.CancelFunc
	finished chan struct{}
}

// Run starts a process, tells started its parts, and runs until ctx ends or a part fails for good; then it stops in order.
func Run(ctx context.Context, opts Options, started func(*App)) error {
	a, err := Start(ctx, opts)
	if err != nil {
		return err
	}
	if started != nil {
		started(a)
	}
	select {
	case <-ctx.Done():
	case <-a.finished:
	}
	return a.Stop(ctx)
}

// Start opens every part of the process in order. When one fails, those before it are closed again.
func Start(ctx context.Context, opts Options) (*App, error) {
	if err := opts.Config.Check(opts.Roles); err != nil {
		return nil, err
	}
	a := &App{
		opts: opts, cfg: opts.Config, log: opts.Log, registry: telemetry.NewRegistry(opts.Version),
		closers: closers{log: opts.Log}, finished: make(chan struct{}),
		streaming: make(chan struct{}), pooled: make(chan struct{}), migrated: make(chan struct{}), doorOpen: make(chan struct{}),
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a.cancel = cancel
	a.work, running = errgroup.WithContext(running)
	for _, step := range []struct {
		name string
		do   func(ctx, running context.Context) error
	}{
		{"quiet hours", a.loadLaw},
		{"rules", a.loadRules},
		{"reactions", a.loadReactions},
		{"certificates", a.loadCertificates},
		{"reloads", a.startReloads},
		{"data directory", a.lockDir},
		{"NATS", a.startNATS},
		{privateListener, a.startAdmin},
		{"streams", a.openStreams},
		{publicListener, a.startPublic},
		{"Postgres", a.startPostgres},
		{"roles", a.startRoles},
		{"address file", a.writeAddresses},
	} {
		if err := step.do(ctx, running); err != nil {
			cancel()
			a.shutdown(ctx)
			return nil, fmt.Errorf("start the %s: %w", step.name, err)
		}
	}
	a.closers.first(publicListener) // it opens early, so that nothing is refused while Postgres starts, and closes first
	go func() {
		<-running.Done() // a part failed, or Stop
		close(a.finished)
	}()
	return a, nil
}

// Stop ends the process in order, within the configured time whether ctx has ended or not, and returns why it ended: nil when
// it was asked to.
func (a *App) Stop(ctx context.Context) error {
	a.log.InfoContext(ctx, "stopping", "within", a.cfg.ShutdownTimeout)
	a.shutdown(ctx)
	a.cancel()
	ended := make(chan error, 1)
	go func() { ended <- a.work.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(lastWait):
		return errors.New("a part did not stop in time; what it was doing is left to redelivery")
	}
}

func (a *App) shutdown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.ShutdownTimeout)
	defer cancel()
	a.closers.close(ctx)
}

// reached tells whether a step of the start is done. What the step made may be used after that: the private listener
// answers while the other parts still start.
func reached(step <-chan struct{}) bool {
	select {
	case <-step:
		return true
	default:
		return false
	}
}

// URL is where the public listener can be reached on this machine, empty without the role ingest.
func (a *App) URL() string {
	if a.public == nil {
		return ""
	}
	return a.public.url()
}

// AdminURL is where the private listener can be reached on this machine.
func (a *App) AdminURL() string { return a.admin.url() }

// has tells whether the process has one of the roles.
func (a *App) has(roles ...string) bool {
	return slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(a.opts.Roles, role) })
}

func (a *App) needsDatabase() bool { return a.has(config.RoleRouter, config.RoleDispatcher) }

// lockDir takes the data directory when a server of ours will keep its files there.
func (a *App) lockDir(context.Context, context.Context) error {
	if a.cfg.NATS.URL != "" && (a.cfg.Database.URL != "" || !a.needsDatabase()) {
		return nil
	}
	lock, err := embedded.Lock(a.cfg.DataDir)
	if err != nil {
		return err
	}
	a.lock = lock
	a.closers.add("data directory", func(context.Context) error { return lock.Release() })
	return nil
}

func (a *App) startNATS(ctx, _ context.Context) error {
	if a.cfg.NATS.URL != "" {
		return a.connectNATS(ctx)
	}
	config := natsd.Config{Dir: filepath.Join(a.cfg.DataDir, "nats"), Log: a.log.With("part", "nats")}
	server, err := natsd.Start(config) //nolint:contextcheck // it outlives ctx and ends by Shutdown
	if err != nil {
		return err
	}
	a.natsd = server
	a.closers.add("NATS server", func(context.Context) error { server.Shutdown(); return nil })
	if a.conn, err = server.Conn(a.natsOptions()...); err != nil {
		return err
	}
	a.closers.add("NATS connection", func(context.Context) error { a.conn.Close(); return nil })
	a.addresses.NATSURL, a.addresses.NATSToken = server.Address(), server.Token()
	return nil
}

func (a *App) openStreams(ctx, _ context.Context) error {
	err := a.insist(ctx, "JetStream", func(ctx context.Context) (err error) {
		a.stream, err = stream.Open(ctx, a.conn, stream.Options{
			Replicas: a.cfg.NATS.Replicas, MaxBytes: a.streamSizes(), ConfirmTimeout: a.cfg.Salesforce.ConfirmTimeout,
			Senders: a.cfg.SenderNames(), Log: a.log.With("part", "stream"),
		})
		if err == nil {
			close(a.streaming)
			a.closers.add("streams", func(context.Context) error { a.stream.Close(); return nil })
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := a.checkSync(ctx); err != nil {
		return err
	}
	return a.registry.Register(newBacklog(a.stream.Pending))
}

// streamSizes bounds the streams of the embedded server, which share its store, so that a flood of envelopes leaves room
// for replies. A server of its own is its operator's to size.
func (a *App) streamSizes() map[stream.Name]int64 {
	if a.natsd == nil {
		return nil
	}
	const gib = 1 << 30
	return map[stream.Name]int64{stream.Notifications: 32 * gib, stream.Callbacks: 12 * gib, stream.Messages: 6 * gib, stream.DeadLetters: 8 * gib}
}

// permanent tells whether waiting is of no use: what is there is not ours, can't become what we need, or does not trust us.
func permanent(err error) bool {
	for _, cause := range []error{ErrSetup, stream.ErrRefused, stream.ErrIncompatible, store.ErrMigration} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// insist tries until do succeeds, fails for good, or ctx ends: what is away at the start may come.
func (a *App) insist(ctx context.Context, what string, do func(context.Context) error) error {
	const longest = 5 * time.Second
	told := false
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, longest) {
		err := do(ctx)
		switch {
		case err == nil:
			if told {
				a.log.InfoContext(ctx, "it answers now", "part", what)
			}
			return nil
		case ctx.Err() != nil:
			return errors.Join(err, ctx.Err())
		case permanent(err):
			return err
		case !told:
			told = true
			a.log.WarnContext(ctx, "waiting for a part that does not answer", "part", what, "error", err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(err, ctx.Err())
		}
	}
}

// startPostgres starts the private server, or opens the pool to the configured one, and lets the migrations run beside:
// the door does not wait for them.
func (a *App) startPostgres(ctx, running context.Context) error {
	if !a.needsDatabase() {
		return nil
	}
	url := a.cfg.Database.URL.Reveal()
	if url == "" {
		private := newKeeper(postgres.Config{
			Dir: filepath.Join(a.cfg.DataDir, "postgres"), BinDir: a.cfg.PostgresBin, Log: a.log.With("part", "postgres"),
		})
		var err error
		if url, err = private.start(ctx); err != nil {
			return err
		}
		a.addresses.DatabaseURL = url
		a.closers.add("Postgres server", private.stop)
		a.work.Go(func() error { return private.keep() })
	}
	ledger, err := store.Open(ctx, url)
	if err != nil {
		return err
	}
	ledger.UseErasureKeys(a.cfg.Erasure())
	a.store = ledger
	close(a.pooled)
	a.closers.add("database connections", func(ctx context.Context) error {
		closed := make(chan struct{})
		go func() { defer close(closed); ledger.Close() }()
		select {
		case <-closed:
			return nil
		case <-ctx.Done(): // a server that does not answer holds them
			return ctx.Err()
		}
	})
	return nil
}

// migrate brings the schema up to date, waiting for a server that is away, and then lets the roles begin.
func (a *App) migrate(ctx context.Context) error {
	err := a.insist(ctx, "Postgres", func(ctx context.Context) error {
		names, err := a.store.Migrate(ctx, a.log.With("part", "migrations"))
		if len(names) > 0 {
			a.log.InfoContext(ctx, "the database schema is up to date now", "applied", names)
		}
		return err
	})
	if err != nil {
		return err
	}
	close(a.migrated)
	return nil
}

func (a *App) writeAddresses(context.Context, context.Context) error {
	if a.lock == nil {
		return nil
	}
	a.addresses.AdminURL = a.admin.url()
	if err := embedded.WriteAddresses(a.cfg.DataDir, a.addresses); err != nil {
		return err
	}
	a.closers.add("address file", func(context.Context) error { return embedded.RemoveAddresses(a.cfg.DataDir) })
	return nil
}
