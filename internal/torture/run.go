package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforce"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

// Run starts the world, does harm to it, lets it settle and reconciles the ledgers. When ctx ends early everything is stopped
// and the error is ctx's. A guarantee that did not hold is no error: see Report.Good.
func Run(ctx context.Context, opts Options) (report *Report, err error) {
	if opts, err = opts.withDefaults(); err != nil {
		return nil, err
	}
	if opts.Seed == 0 {
		opts.Seed = 1 + uint64(rand.Uint32()) //nolint:gosec // a number that people can type
	}
	if opts.Program == "" {
		if opts.Program, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("find this program: %w", err)
		}
	}
	dir, temporary, err := directory(opts.Dir)
	if err != nil {
		return nil, err
	}
	r := &run{opts: opts, world: newWorld(opts, dir), began: time.Now()}
	report, err = r.do(ctx)
	r.world.stop()
	switch {
	case err != nil && ctx.Err() != nil && temporary:
		return nil, errors.Join(fmt.Errorf("the torture was interrupted: %w", err), os.RemoveAll(dir))
	case report == nil || !report.Good():
		if err != nil {
			err = fmt.Errorf("%w; data and logs are in %s", err, dir)
		}
	case temporary:
		err = errors.Join(err, os.RemoveAll(dir))
		report.Dir = ""
	}
	return report, err
}

// directory makes the directory of a run. Postgres's account, which is not root, has to be able to enter it.
func directory(given string) (dir string, temporary bool, err error) {
	if given != "" {
		if dir, err = filepath.Abs(given); err == nil {
			err = os.MkdirAll(dir, 0o755) //nolint:gosec // see above
		}
		if entries, readErr := os.ReadDir(dir); err == nil && (readErr != nil || len(entries) > 0) {
			return "", false, fmt.Errorf("%w: the directory %s has to be empty", ErrOptions, given)
		}
	} else if dir, err = os.MkdirTemp("", "beckon-torture-"); err == nil {
		err = os.Chmod(dir, 0o755) //nolint:gosec // see above
	}
	if err != nil {
		return "", false, fmt.Errorf("make the directory: %w", err)
	}
	return dir, given == "", nil
}

// run is one run.
type run struct {
	opts  Options
	world *world
	load  *load
	began time.Time

	auditor *stream.Auditor
	ledger  *store.Store
}

func (r *run) tell(format string, args ...any) {
	_, _ = fmt.Fprintf(r.opts.Progress, format+"\n", args...)
}

func (r *run) do(ctx context.Context) (*Report, error) {
	faults := schedule(r.world.chart, r.opts.Seed, r.opts.For, r.opts.Kinds)
	r.tell("seed %d: %d faults in %s; starting the processes, data and logs in %s", r.opts.Seed, len(faults), r.opts.For, r.world.dir)
	if err := r.world.start(ctx); err != nil {
		return nil, err
	}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	defer r.auditor.Close()
	defer r.ledger.Close()
	r.tell("everything is ready after %s", time.Since(r.began).Round(time.Second/10))
	report := &Report{Seed: r.opts.Seed, Began: time.Now(), For: r.opts.For, Dir: r.world.dir, Command: r.command()}
	delivering, stop := context.WithCancel(ctx)
	var sf sync.WaitGroup
	sf.Go(func() { _ = r.load.org.Run(delivering) }) // its only error is that it runs already
	defer sf.Wait()
	defer stop()
	sf.Go(func() { report.Went = r.world.watch(delivering) })
	var err error
	if report.Faults, err = r.suffer(ctx, faults); err != nil {
		return nil, err
	}
	calm := time.Now()
	report.AtRest, report.Waiting = r.settle(ctx)
	report.Settled = time.Since(calm)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	stop()
	sf.Wait()
	books, err := r.collect(ctx)
	if err != nil {
		return nil, err
	}
	recoveries(books, report.Faults)
	report.Counts, report.Findings = reconcile(books, report.Faults)
	report.Streams, report.Consumers = books.Streams, books.Consumers
	report.Crashes = r.world.crashList()
	return report, nil
}

// command repeats the run.
func (r *run) command() string {
	kinds := make([]string, 0, len(r.opts.Kinds))
	for _, kind := range r.opts.Kinds {
		kinds = append(kinds, string(kind))
	}
	command := fmt.Sprintf("beckon torture --for %s --seed %d --rate %g --nats %d", r.opts.For, r.opts.Seed, r.opts.Rate, r.opts.Nodes)
	if !slices.Equal(r.opts.Kinds, Kinds()) {
		command += " --faults " + strings.Join(kinds, ",")
	}
	return command
}

// open opens the auditors' ways to the ledgers, past every edge, and the load.
func (r *run) open(ctx context.Context) error {
	var err error
	if r.ledger, err = store.Open(ctx, r.world.dsn); err != nil {
		return err
	}
	if r.auditor, err = stream.OpenAuditor(r.world.natsURL("")); err != nil {
		r.ledger.Close()
		return err
	}
	door := "http://" + r.world.edges[salesforceName+arrow+ingestName].address() + "/salesforce/outbound-messages"
	if r.load, err = newLoad(r.opts, door, "http://"+r.world.addresses[twilioName]); err != nil {
		r.auditor.Close()
		r.ledger.Close()
	}
	return err
}

// suffer does the faults under load. Harm and load end together.
func (r *run) suffer(ctx context.Context, faults []Fault) ([]Suffered, error) {
	limited, cancel := context.WithTimeout(ctx, r.opts.For)
	defer cancel()
	var working sync.WaitGroup
	var loadErr error
	working.Go(func() {
		if loadErr = r.load.change(limited, r.opts.Rate); loadErr != nil {
			cancel()
		}
	})
	working.Go(func() { r.load.optOut(limited) })
	suffered := r.world.harm(limited, faults, r.load, func(f Fault) { r.tell("%s", f) })
	working.Wait()
	slices.SortFunc(suffered, func(a, b Suffered) int { return a.Number - b.Number })
	return suffered, errors.Join(loadErr, ctx.Err())
}

// settle waits until nothing is in motion any more: Salesforce has its acknowledgements, the streams are worked off, no message
// waits and no attempt is open. It says what it waits for when that takes too long.
func (r *run) settle(ctx context.Context) (atRest bool, waiting string) {
	r.tell("all faults are healed; waiting until everything comes to rest")
	ctx, cancel := context.WithTimeout(ctx, r.opts.Settle)
	defer cancel()
	quiet := 0
	const enough = 4 // looks in a row, so that nothing slips from one place to the next between them
	for told := time.Now(); pause(ctx, time.Second/2); {
		if waiting = r.motion(ctx); waiting != "" {
			quiet = 0
			if time.Since(told) > 10*time.Second {
				told = time.Now()
				r.tell("  %s", waiting)
			}
			continue
		}
		if quiet++; quiet == enough {
			return true, ""
		}
	}
	return false, waiting
}

// motion says what is still in motion, empty for nothing.
func (r *run) motion(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if n := r.load.org.Stats().Outstanding; n > 0 {
		return fmt.Sprintf("%d notifications are not acknowledged", n)
	}
	_, consumers, err := r.auditor.State(ctx)
	if err != nil {
		return err.Error()
	}
	for _, c := range consumers {
		if c.Waiting > 0 || c.Unfinished > 0 {
			return fmt.Sprintf("the consumer %s has %d stream messages before it and %d in work", c.Name, c.Waiting, c.Unfinished)
		}
	}
	queued, open, err := r.ledger.InMotion(ctx)
	switch {
	case err != nil:
		return err.Error()
	case queued > 0 || open > 0:
		return fmt.Sprintf("%d messages are queued, %d attempts are open", queued, open)
	}
	return ""
}

// collect reads the four ledgers.
func (r *run) collect(ctx context.Context) (Ledgers, error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	books := Ledgers{Stored: map[notification.ID]int{}}
	books.Asked, books.Stops = r.load.ledger()
	var err error
	if books.Streams, books.Consumers, err = r.auditor.State(ctx); err != nil {
		return books, err
	}
	err = r.auditor.Envelopes(ctx, func(body []byte) error {
		envelope, err := salesforce.Decode(body, salesforce.Limits{})
		if err != nil {
			return err
		}
		for _, n := range envelope.Notifications {
			books.Stored[n.ID]++
		}
		return nil
	})
	if err != nil {
		return books, err
	}
	if books.Beckon, err = r.ledger.Census(ctx); err != nil {
		return books, err
	}
	books.Twilio, err = twiliosim.ReadJournal(r.world.journal())
	return books, err
}
