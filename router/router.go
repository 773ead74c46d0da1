package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/router/rule"
	"github.com/beckonhq/beckon/templates"
)

const (
	defaultBatch = 500 // notifications in one transaction
	fetchLimit   = 256 // envelopes
	keepAlive    = 5 * time.Second
	longestPause = 5 * time.Second
	firstPause   = 100 * time.Millisecond
)

// logicTries is how often a notification alone is tried when its transaction fails for a reason that waiting does not cure.
// Then it is a dead letter.
const logicTries = 3

// Source gives envelopes from the belt; *stream.Consumer is one.
type Source interface {
	Fetch(ctx context.Context, limit int) ([]*stream.Delivery, error)
}

// Belt takes the ids of messages and the notifications that can't be decided; *stream.Client is one.
type Belt interface {
	PublishMessages(ctx context.Context, refs []stream.MessageRef) ([]uint64, error)
	DeadLetter(ctx context.Context, letter stream.DeadLetter) error
	Epoch(ctx context.Context) (time.Time, error)
}

// Ledger decides and remembers; *store.Store is one.
type Ledger interface {
	Decide(ctx context.Context, envelopes []store.Envelope, decide func(store.Pending) store.Decided) (*store.DecideResult, error)
	Travelling(ctx context.Context, refs []store.BeltRef, seqs []uint64, epoch string) error
	BeginTrial(ctx context.Context, trial store.Trial) ([]time.Time, error)
	EndTrial(ctx context.Context, trial store.Trial, orderly bool) error
	DecideReply(ctx context.Context, b store.ReplyBounds, decide func(store.PendingReply) store.DecidedReply) (store.ReplyResult, error)
	PutOffReply(ctx context.Context, sid, why string, wait time.Duration) (gaveUp bool, err error)
	TimeOutQuestion(ctx context.Context, b store.ReplyBounds, decide func(store.PendingReply) store.DecidedReply) (store.ReplyResult, error)
	PutOffTimeOut(ctx context.Context, key, why string, wait time.Duration) (gaveUp bool, err error)
	TakeWebhook(ctx context.Context, lease time.Duration, not []string) (*store.Webhook, error)
	EndWebhook(ctx context.Context, w *store.Webhook, why string, wait time.Duration) error
}

// Inbound tells how far the dispatchers have worked on replies: each is in the ledger before it is acknowledged.
type Inbound interface {
	LastInbound(ctx context.Context) (uint64, error) // the place of the newest that was received
	AckFloor(ctx context.Context) (uint64, error)    // the place up to which all are acknowledged
}

// Config is what a Router needs; everything without a default is required.
type Config struct {
	Envelopes Source
	Belt      Belt
	Ledger    Ledger
	Inbound   Inbound
	Policy    func() (*rule.Set, *templates.Set) // the running rules and templates, of one moment
	Region    string                             // of phone numbers without a country code, ISO 3166-1
	Batch     int                                // most notifications in one transaction; default 500
	Log       *slog.Logger
	Metrics   prometheus.Registerer

	DoubleOptIn bool // people are asked to confirm the opt-ins of records

	ReplyTick      time.Duration // how often replies are looked for; default 500 ms
	AnswersPerHour int           // most automatic answers to one person by one sender; default 6
	Webhooks       Webhooks      // nil: the webhooks of reply rules wait
}

// Router is stage 2.
type Router struct {
	Config

	metrics *metrics
	inHand  inHand
}

// New checks the configuration and makes a Router.
func New(config Config) (*Router, error) {
	missing := config.Envelopes == nil || config.Belt == nil || config.Ledger == nil || config.Inbound == nil ||
		config.Policy == nil || config.Log == nil || config.Metrics == nil
	if missing || config.Region == "" {
		return nil, errors.New("router: a part of the configuration is missing")
	}
	if config.Batch == 0 {
		config.Batch = defaultBatch
	}
	if config.ReplyTick == 0 {
		config.ReplyTick = defaultReplyTick
	}
	if config.AnswersPerHour == 0 {
		config.AnswersPerHour = defaultPerHour
	}
	m, err := newMetrics(config.Metrics)
	if err != nil {
		return nil, fmt.Errorf("router: %w", err)
	}
	return &Router{Config: config, metrics: m, inHand: newInHand()}, nil
}

// envelope is a decoded delivery.
type envelope struct {
	store.Envelope

	delivery *stream.Delivery
	history  []string // how it was tried in vain
}

// group is what is decided together: envelopes, or one delivery that is to be tried alone and is not even decoded yet.
type group struct {
	envelopes []envelope
	suspect   *stream.Delivery
	tried     chan struct{} // closed when the suspect has been tried
}

// decided is a group of envelopes whose decisions are committed.
type decided struct {
	group []envelope
	belt  []store.BeltRef
}

// Run works until ctx ends: fetch and decode, decide, and put on the belt run side by side, each in order. It returns nil
// after an orderly end; what was not acknowledged is delivered again.
func (r *Router) Run(ctx context.Context) error {
	groups, done, notes := make(chan group, 1), make(chan decided, 1), make(chan note, notesWaiting)
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error {
		defer close(groups)
		return r.fetch(ctx, groups)
	})
	tasks.Go(func() error {
		defer close(done)
		return r.decideAll(ctx, groups, done)
	})
	tasks.Go(func() error { return r.finishAll(ctx, done, notes) })
	tasks.Go(func() error { return r.noteAll(ctx, notes) })
	tasks.Go(func() error { return r.inHand.keep(ctx) })
	tasks.Go(func() error { return r.repliesLoop(ctx) })
	tasks.Go(func() error { return r.webhooksLoop(ctx) })
	err := tasks.Wait()
	for range groups { // nobody works on them: inHand gives them back
	}
	for range done { // the same
	}
	r.inHand.giveBack()
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (r *Router) decideAll(ctx context.Context, groups <-chan group, done chan<- decided) error {
	for g := range groups {
		var result []store.BeltRef
		var err error
		if g.suspect != nil {
			g.envelopes, result, err = r.try(ctx, g.suspect)
			close(g.tried)
		} else {
			result, err = r.decide(ctx, g.envelopes)
		}
		if err != nil {
			return err
		}
		if !send(ctx, done, decided{g.envelopes, result}) {
			return ctx.Err()
		}
	}
	return nil
}

// finishAll puts messages on the belt and acknowledges their envelopes. What it can't do before ctx ends is done by the
// redelivery, or by the dispatcher's sweeper.
func (r *Router) finishAll(ctx context.Context, done <-chan decided, notes chan<- note) error {
	for d := range done {
		err := r.persist(ctx, func(ctx context.Context) error { return r.putOnBelt(ctx, d.belt, notes) })
		if err != nil {
			return err
		}
		for _, e := range d.group {
			r.ack(ctx, e.delivery)
		}
	}
	return nil
}

func (r *Router) ack(ctx context.Context, delivery *stream.Delivery) {
	r.inHand.release(delivery)
	if err := delivery.Ack(); err != nil {
		r.Log.WarnContext(ctx, "an envelope could not be acknowledged and will come again", "error", err)
	}
}

func (r *Router) putOnBelt(ctx context.Context, belt []store.BeltRef, notes chan<- note) error {
	if len(belt) == 0 {
		return nil
	}
	epoch, err := r.Belt.Epoch(ctx)
	if err != nil {
		return temporary{err}
	}
	refs := make([]stream.MessageRef, len(belt))
	for i, ref := range belt {
		refs[i] = stream.MessageRef(ref)
	}
	seqs, err := r.Belt.PublishMessages(ctx, refs)
	if err != nil {
		return temporary{err}
	}
	send(ctx, notes, note{belt, seqs, epoch.UTC().Format(time.RFC3339Nano), time.Now()})
	return nil
}

// decide commits the decisions of a group, and of its parts when the whole fails for a reason that waiting does not cure.
func (r *Router) decide(ctx context.Context, group []envelope) ([]store.BeltRef, error) {
	envelopes := make([]store.Envelope, len(group))
	for i, e := range group {
		envelopes[i] = e.Envelope
	}
	if countOf(group) == 0 {
		return nil, nil // an operator asked for others
	}
	parts := split(group)
	for try := 1; ; try++ {
		var result *store.DecideResult
		err := r.persist(ctx, func(ctx context.Context) (err error) {
			result, err = r.tryDecide(ctx, envelopes)
			return err
		})
		switch {
		case err == nil:
			r.metrics.decided(result)
			for _, rule := range result.Paused {
				r.Log.ErrorContext(ctx, "a rule makes far more messages than it is used to and is paused, see beckon rules resume", "rule", rule)
			}
			return result.Belt, nil
		case ctx.Err() != nil:
			return nil, err
		case len(parts) > 1:
			return r.decideParts(ctx, group, err)
		}
		remember(parts[0], fmt.Sprintf("alone, try %d: %s", try, store.Reason(err)))
		if try == logicTries || errors.Is(err, errPanicked) {
			return nil, r.giveUp(ctx, parts[0][0], err)
		}
		if !pause(ctx, firstPause) {
			return nil, ctx.Err()
		}
	}
}

func (r *Router) decideParts(ctx context.Context, group []envelope, cause error) ([]store.BeltRef, error) {
	together := countOf(group)
	r.Log.WarnContext(ctx, "a group of notifications can't be decided together, deciding its parts", "notifications", together, "error", cause)
	remember(group, fmt.Sprintf("together with %d others: %s", together-1, store.Reason(cause)))
	var belt []store.BeltRef
	for _, part := range split(group) {
		refs, err := r.decide(ctx, part)
		if err != nil {
			return nil, err
		}
		belt = append(belt, refs...)
	}
	return belt, nil
}

// remember adds what happened now to the history of each envelope.
func remember(group []envelope, what string) {
	for i := range group {
		group[i].history = append(slices.Clone(group[i].history), time.Now().UTC().Format(time.RFC3339)+" "+what)
	}
}

// split takes a group apart: into its envelopes, or a single envelope into its notifications.
func split(group []envelope) [][]envelope {
	var parts [][]envelope
	if len(group) > 1 {
		for _, e := range group {
			parts = append(parts, []envelope{e})
		}
		return parts
	}
	for i := range group[0].Notifications {
		one := *group[0].Envelope.Envelope
		one.Notifications = one.Notifications[i : i+1]
		part := group[0]
		part.Envelope.Envelope = &one
		parts = append(parts, []envelope{part})
	}
	return parts
}

// errPanicked says that judging a notification panicked; the log has the stack.
var errPanicked = errors.New("judging a notification panicked")

// tryDecide turns a panic of a rule or template into an error, so that it costs its own notification only.
func (r *Router) tryDecide(ctx context.Context, envelopes []store.Envelope) (result *store.DecideResult, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			r.Log.ErrorContext(ctx, "judging notifications panicked", "kind", fmt.Sprintf("%T", cause), "stack", string(debug.Stack()))
			err = errPanicked
		}
	}()
	return r.Ledger.Decide(ctx, envelopes, r.judge)
}

// send hands a value on unless ctx ends first.
func send[T any](ctx context.Context, to chan<- T, value T) bool {
	select {
	case to <- value:
		return true
	case <-ctx.Done():
		return false
	}
}

func countOf(group []envelope) int {
	n := 0
	for _, e := range group {
		n += len(e.Notifications)
	}
	return n
}
