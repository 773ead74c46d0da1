package lifemark

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

const (
	defaultEvery = 5 * time.Second
	licenceTicks = 3 // a licence outlives two looks that fail
	// beforeCall is how long a claim may take from the look at the licence to the begin of its calls' time.
	beforeCall  = 10 * time.Second
	storeTries  = 3
	lookTimeout = 10 * time.Second
)

// Ledger is what is asked of the database; *store.Store is one.
type Ledger interface {
	Mark(ctx context.Context) (store.Mark, error)
	Advance(ctx context.Context, from store.Mark) (store.Mark, error)
	Reach(ctx context.Context, position int64) (store.Mark, error)
	Expect(mark store.Mark)
	OpenGap(ctx context.Context, gap store.Gap) (store.Gap, error)
	OpenReplays(ctx context.Context) ([]store.Gap, error)
	Replayed(ctx context.Context, id int64) error
	StreamMarks(ctx context.Context) (map[string]store.StreamMark, error)
	NoteStream(ctx context.Context, name string, now store.StreamMark) error
	NoteLoss(ctx context.Context, name string, kind store.LossKind, was, now store.StreamMark) (bool, error)
	OpenLosses(ctx context.Context) ([]store.StreamLoss, error)
	SettleLosses(ctx context.Context, losses []store.StreamLoss, operator, note string) error
}

// Belt is what is asked of JetStream; *stream.Client is one.
type Belt interface {
	LedgerMark(ctx context.Context) (stream.LedgerMark, bool, error)
	StoreLedgerMark(ctx context.Context, after, mark stream.LedgerMark) error
	Lives(ctx context.Context) (map[stream.Name]stream.Life, error)
	StoredAt(ctx context.Context, name stream.Name, of stream.Life, seq uint64) (time.Time, bool, error)
	Restore(ctx context.Context) error
	SetBack(ctx context.Context, name stream.ConsumerName, since time.Time) (uint64, error)
	Done(ctx context.Context, name stream.ConsumerName, last uint64) (bool, error)
}

// Config is what a Keeper needs; everything without a default is required.
type Config struct {
	Ledger      Ledger
	Belt        Belt
	Sends       bool          // this process sends: it moves the position on and gets licences
	SendTimeout time.Duration // longest time of one call
	Every       time.Duration // between two looks; default 5 s
	Log         *slog.Logger
	Metrics     prometheus.Registerer
}

// Keeper watches over both stores for one process.
type Keeper struct {
	Config

	writer  string
	metrics *metrics
	others  time.Time // until when other processes may send, as far as the marks told

	mu      sync.Mutex
	state   state
	changed chan struct{} // closed at each change of state
}

// state is what the last looks told.
type state struct {
	looked   bool
	finding  Finding
	since    time.Time // of the hold
	losses   []store.StreamLoss
	replays  int
	licensed time.Time // until when calls may begin
	round    int       // grows at the end of each hold
	blocked  bool      // the last answer to whether claims may go on, but for the licence
}

// New checks the configuration and makes a Keeper.
func New(config Config) (*Keeper, error) {
	if config.Ledger == nil || config.Belt == nil || config.Log == nil || config.Metrics == nil || config.Sends && config.SendTimeout <= 0 {
		return nil, errors.New("lifemark: a part of the configuration is missing")
	}
	if config.Every <= 0 {
		config.Every = defaultEvery
	}
	m, err := newMetrics(config.Metrics)
	if err != nil {
		return nil, fmt.Errorf("lifemark: %w", err)
	}
	return &Keeper{Config: config, writer: rand.Text(), metrics: m, changed: make(chan struct{})}, nil
}

// Run looks at once and then every few seconds until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	ticker := time.NewTicker(k.Every)
	defer ticker.Stop()
	failing := false
	for {
		err := k.look(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil && !failing:
			k.Log.WarnContext(ctx, "the marks of ledger and belt can't be compared, trying again", "error", err)
		case err == nil && failing:
			k.Log.InfoContext(ctx, "the marks of ledger and belt can be compared again")
		}
		failing = err != nil
		select {
		case <-ticker.C:
		case <-ctx.Done():
			k.update(func(s *state) { s.licensed = time.Time{} })
			return
		}
	}
}

// look compares the marks, then the streams, and gets a licence when all is well.
func (k *Keeper) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	began := time.Now()
	report, err := k.compare(ctx)
	if err != nil || report.Finding.Holds() {
		return err
	}
	if err := k.lookAtStreams(ctx); err != nil {
		return err
	}
	if err := k.lookAtReplays(ctx, report.Replays); err != nil {
		return err
	}
	if !k.Sends {
		return nil
	}
	return k.license(ctx, report, began)
}

// compare compares the marks. A gap of seconds is recovered from at once; a longer one is held.
func (k *Keeper) compare(ctx context.Context) (*Report, error) {
	report, err := Look(ctx, k.Ledger, k.Belt)
	if err != nil {
		return nil, err
	}
	if report.Finding.closesItself() {
		k.Log.WarnContext(ctx, "recovering without an operator: "+report.Finding.Text())
		report.Losses = nil // not ours to settle
		if err := Recover(ctx, k.Ledger, k.Belt, report, Request{Operator: "beckon", Note: "a short gap"}); err != nil {
			return nil, err
		}
		if report, err = Look(ctx, k.Ledger, k.Belt); err != nil {
			return nil, err
		}
	}
	if !report.Finding.Holds() {
		k.Ledger.Expect(report.ours)
	}
	k.found(ctx, report)
	return report, nil
}

// license moves the position on, has it stored by the belt, and only then lets calls begin.
func (k *Keeper) license(ctx context.Context, report *Report, began time.Time) error {
	for range storeTries {
		mark, err := k.Ledger.Advance(ctx, report.ours)
		if err != nil {
			return err
		}
		if report.theirs.Writer != k.writer {
			k.others = latest(k.others, report.theirs.Until)
		}
		until := began.Add(licenceTicks * k.Every)
		err = k.Belt.StoreLedgerMark(ctx, report.theirs, stream.LedgerMark{
			Ledger: mark.Ledger, Position: mark.Position, At: began.UTC(), Writer: k.writer,
			Until: latest(until.Add(beforeCall+k.SendTimeout), k.others).UTC(),
		})
		if err == nil {
			k.Ledger.Expect(mark)
			k.update(func(s *state) { s.licensed = until })
			return nil
		}
		if !errors.Is(err, stream.ErrOvertaken) {
			return err
		}
		if report, err = k.compare(ctx); err != nil || report.Finding.Holds() {
			return err
		}
	}
	return stream.ErrOvertaken // the next look tries again; the licence before still holds
}

// End says that this process sends no more; call it after Run, when no call is under way. A mark of another process that may
// send stays as it is, and a failure leaves the mark open, which is safe.
func (k *Keeper) End(ctx context.Context) {
	if !k.Sends {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, k.Every)
	defer cancel()
	report, err := Look(ctx, k.Ledger, k.Belt)
	if err == nil && (report.Finding.Holds() || report.theirs.Writer != k.writer) {
		return
	}
	now := time.Now().UTC()
	var mark store.Mark
	if err == nil {
		mark, err = k.Ledger.Advance(ctx, report.ours)
	}
	if err == nil {
		err = k.Belt.StoreLedgerMark(ctx, report.theirs, stream.LedgerMark{
			Ledger: mark.Ledger, Position: mark.Position, At: now, Until: latest(now, k.others).UTC(), Writer: k.writer,
		})
	}
	if err != nil {
		k.Log.DebugContext(ctx, "the last mark stays open", "error", err)
	}
}
