package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	hours "github.com/beckonhq/beckon/internal/quiet"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/twilio"
)

// Source gives messages from the belt; *stream.Consumer is one.
type Source interface {
	Fetch(ctx context.Context, limit int) ([]*stream.Delivery, error)
	AckFloor(ctx context.Context) (uint64, error)
}

// Belt is what else the dispatcher asks of JetStream; *stream.Client is one.
type Belt interface {
	PublishMessages(ctx context.Context, refs []stream.MessageRef) ([]uint64, error)
	DeadLetter(ctx context.Context, letter stream.DeadLetter) error
	LastInbound(ctx context.Context) (uint64, error)
	Epoch(ctx context.Context) (time.Time, error)
	PublishCallback(ctx context.Context, kind stream.CallbackKind, id string, header map[string]string, body []byte) error
	Trim(ctx context.Context, retention map[stream.Name]time.Duration) (map[stream.Name]uint64, error)
}

// Ledger is what the dispatcher asks of the database; *store.Store is one.
type Ledger interface {
	Claim(ctx context.Context, request store.ClaimRequest) (*store.ClaimResult, error)
	Record(ctx context.Context, outcomes []store.Outcome) error
	Consent(ctx context.Context, addresses []address.Address) (map[address.Address]consent.State, error)
	AddConsent(ctx context.Context, entry consent.Entry) error
	AddReview(ctx context.Context, review store.NewReview) error
	DecideDueReviews(ctx context.Context, then store.Decision, limit int) (decided []string, open int, err error)
	CheckOptOuts(ctx context.Context) (paused []string, err error)
	RulePauses(ctx context.Context) ([]store.RulePause, error)
	ApplyStatus(ctx context.Context, events []store.StatusEvent) ([]message.State, error)
	ApplyReply(ctx context.Context, reply store.Reply) (store.Linked, error)
	Sweep(ctx context.Context, request store.SweepRequest, publish func(context.Context, []store.BeltRef) ([]uint64, error)) (store.Swept, error)
	Unserved(ctx context.Context, senders []string) (map[string]int, error)
	Held(ctx context.Context, age time.Duration) (map[message.Reason]int, error)
	OldestWaiting(ctx context.Context) (reply, webhook time.Duration, err error)
	ExpireLeases(ctx context.Context, lookupAfter time.Duration) (int, error)
	DueLookups(ctx context.Context, limit int, again time.Duration) ([]store.Lookup, error)
	NoteAbsence(ctx context.Context, attemptID string, next time.Duration) error
	NoteInDoubt(ctx context.Context, attemptID, why string, next time.Duration) error
	KnownSIDs(ctx context.Context, sids []string) (map[string]bool, error)
	CountUnknown(ctx context.Context) (int, error)
	CollectPolls(ctx context.Context, after time.Duration) error
	DuePolls(ctx context.Context, limit int) ([]store.Poll, error)
	PutOffPoll(ctx context.Context, attemptID string, wait time.Duration) error
	DropPoll(ctx context.Context, attemptID string) error
	CountOptOuts(ctx context.Context, lag time.Duration) (map[string]int, error)
	AskNext(ctx context.Context, how store.Asking) (result string, err error)
	TakeMark(ctx context.Context, name string, every time.Duration, atOnce bool) (at time.Time, taken bool, err error)
	MoveMark(ctx context.Context, name string, at time.Time) error
	Retain(ctx context.Context, kind store.RetentionKind, keep time.Duration, limit int) (int, error)
	PutOffMark(ctx context.Context, name string, wait time.Duration) error
	KnownReplies(ctx context.Context, sids []string) (map[string]bool, error)
	GapFacts(ctx context.Context, lookup store.Lookup, sids []string) (store.GapFacts, error)
}

// Twilio sends and looks up; *twilio.Client is one.
type Twilio interface {
	Send(ctx context.Context, request twilio.Request) (twilio.Result, error)
	List(ctx context.Context, query twilio.ListQuery) ([]twilio.Resource, error)
	Walk(ctx context.Context, query twilio.ListQuery, show func(*twilio.Resource)) error
	Fetch(ctx context.Context, sid string) (twilio.Resource, error)
}

// Sender is one of our addresses at Twilio: a messaging service or a number for SMS, a number for WhatsApp.
type Sender struct {
	Name                string
	MessagingServiceSID string
	SMSFrom             address.Address
	WhatsAppFrom        address.Address
}

// Has tells whether the sender can send on a channel.
func (s Sender) Has(channel message.Channel) bool {
	switch channel {
	case message.SMS:
		return s.MessagingServiceSID != "" || s.SMSFrom != ""
	case message.WhatsApp:
		return s.WhatsAppFrom != ""
	}
	return false
}

// Config is what a Dispatcher needs. Fields with a default may be zero; all others are required.
type Config struct {
	Lanes    []Lane // one for each sender, at least one
	Inbound  Source // of all senders, as Status
	Status   Source
	Belt     Belt
	Ledger   Ledger
	Standing Standing // optional: without it calls may always begin
	Files    Files    // optional: without it pictures and files go out as they are

	PublicURL      string                                // status callbacks are built from it; empty: none are asked for
	SendTimeout    time.Duration                         // deadline of one call, counted from the claim; default 10 s
	ReconcileAfter time.Duration                         // wait before an unknown outcome is looked up, and between look-ups; default 20 s
	Tick           time.Duration                         // of the scheduler; default 500 ms
	Tries          int                                   // most tries again of a message that Twilio refuses for the time being; default 12
	PollAfter      time.Duration                         // how old an attempt short of a final state is when Twilio is asked; default 1 h
	PollsPerMinute int                                   // most such questions; default 60
	InboundCheck   time.Duration                         // how often Twilio is asked for replies that were missed; default 5 min
	MissedAfter    time.Duration                         // how old a reply is when its webhook counts as missed; default 2 min
	Retention      map[stream.Name]time.Duration         // of finished stream messages; default 7 days, MESSAGES 1 hour
	Reactions      *twilio.Reactions                     // default: the shipped table
	Failures       int                                   // unclear outcomes in a row that stop a sender; default 5
	ProbeAfter     time.Duration                         // wait before a stopped sender tries one message, growing; default 5 s
	Words          *consent.Words                        // what tells an opt-out from other replies; default: the shipped vocabulary
	RuleRound      time.Duration                         // how often is looked at what people opt out of; default 15 s
	ReviewAfter    time.Duration                         // how long a human has to decide whether a reply is an opt-out; default 24 h
	ReviewThen     store.Decision                        // what it is when nobody did; default an opt-out
	Hours          *hours.Law                            // when people may be written to; default: the shipped table
	Keep           map[store.RetentionKind]time.Duration // how long content stays in the ledger; a kind that is missing: for ever
	RevokeProgram  bool                                  // a keyword opts out of the program of the message that it answers, not of everything
	RevokeAllFrom  time.Time                             // from when that does not hold for people in the United States; zero: it always holds
	DoubleOptIn    bool                                  // marketing needs a confirmed opt-in
	ConfirmWithin  time.Duration                         // how long a YES counts after its question; default 72 h
	Answers        Answers                               // to STOP, HELP and YES, and the question before that; default: none, Twilio answers

	Log     *slog.Logger
	Metrics prometheus.Registerer
}

func (c Config) withDefaults() Config {
	setDefault(&c.SendTimeout, 10*time.Second)
	setDefault(&c.ReconcileAfter, 20*time.Second)
	setDefault(&c.Tick, 500*time.Millisecond)
	setDefault(&c.Tries, 12)
	setDefault(&c.Failures, 5)
	setDefault(&c.ProbeAfter, firstProbe)
	setDefault(&c.PollAfter, time.Hour)
	setDefault(&c.PollsPerMinute, 60)
	setDefault(&c.InboundCheck, 5*time.Minute)
	setDefault(&c.MissedAfter, 2*time.Minute)
	setDefault(&c.RuleRound, 15*time.Second)
	setDefault(&c.ReviewAfter, 24*time.Hour)
	setDefault(&c.ReviewThen, store.DecideOptOut)
	setDefault(&c.ConfirmWithin, 72*time.Hour)
	if c.Retention == nil {
		const day = 24 * time.Hour
		c.Retention = map[stream.Name]time.Duration{
			stream.Notifications: 7 * day, stream.Callbacks: 7 * day, stream.Messages: time.Hour,
		}
	}
	if c.Reactions == nil {
		c.Reactions = twilio.DefaultReactions()
	}
	if c.Words == nil {
		c.Words = consent.DefaultWords()
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) validate() error {
	var problems []error
	if len(c.Lanes) == 0 || c.Inbound == nil || c.Status == nil || c.Belt == nil || c.Ledger == nil || c.Log == nil || c.Metrics == nil {
		problems = append(problems, errors.New("a part of the configuration is missing"))
	}
	for _, l := range c.Lanes {
		problems = append(problems, l.problems()...)
	}
	if u, err := url.Parse(c.PublicURL); c.PublicURL != "" && (err != nil || u.Host == "") {
		problems = append(problems, errors.New("the public URL is not like https://host"))
	}
	return errors.Join(problems...)
}

// defaultConcurrency is of one lane.
const defaultConcurrency = 64

// lease is how long other dispatchers leave an attempt alone: more than twice the time in which a call is over.
func (c Config) lease() time.Duration { return 2*c.SendTimeout + 5*time.Second }

// Dispatcher is stage 3.
type Dispatcher struct {
	Config

	metrics  *metrics
	lanes    []*lane
	recorder *recorder
	inboundN notifiers // of the lanes' barriers
	said     said
}

// New checks the configuration and makes a Dispatcher.
func New(config Config) (*Dispatcher, error) {
	config.PublicURL = strings.TrimSuffix(config.PublicURL, "/")
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("dispatcher: %w", err)
	}
	if config.Hours == nil {
		var err error
		if config.Hours, err = hours.Shipped(); err != nil {
			return nil, fmt.Errorf("dispatcher: %w", err)
		}
	}
	m, err := newMetrics(config.Metrics, config.Reactions.Known())
	if err != nil {
		return nil, fmt.Errorf("dispatcher: %w", err)
	}
	d := &Dispatcher{Config: config, metrics: m}
	for _, l := range config.Lanes {
		d.lanes = append(d.lanes, d.newLane(l))
	}
	d.recorder = newRecorder(config.Ledger, m, config.Log)
	return d, nil
}

// Run works until ctx ends, then lets the calls in flight finish (each has a deadline of SendTimeout) and stores their
// outcomes. It returns nil after an orderly end.
func (d *Dispatcher) Run(ctx context.Context) error {
	recorded := make(chan struct{})
	go func() {
		defer close(recorded)
		d.recorder.run(context.WithoutCancel(ctx))
	}()
	tasks, running := errgroup.WithContext(ctx)
	// From the end on: a ledger that stays away holds up neither the calls' goroutines nor us.
	defer context.AfterFunc(running, func() { time.AfterFunc(2*d.SendTimeout, d.recorder.giveUp) })()
	for _, l := range d.lanes {
		tasks.Go(func() error { return l.sendLoop(running) })
		tasks.Go(func() error { return l.missedLoop(running) })
	}
	tasks.Go(func() error { return d.statusLoop(running) })
	tasks.Go(func() error { return d.replyLoop(running) })
	tasks.Go(func() error { return d.schedule(running) })
	tasks.Go(func() error { return d.lookupLoop(running) })
	tasks.Go(func() error { return d.pollLoop(running) })
	tasks.Go(func() error { return d.reviewLoop(running) })
	tasks.Go(func() error { return d.retainLoop(running) })
	tasks.Go(func() error { return d.askLoop(running) })
	tasks.Go(func() error { return d.optOutLoop(running) })
	tasks.Go(func() error { return d.ruleLoop(running) })
	err := tasks.Wait()
	d.waitForCalls()
	d.recorder.close()
	<-recorded
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// waitForCalls takes every slot: then nothing is in flight.
func (d *Dispatcher) waitForCalls() {
	for _, l := range d.lanes {
		for range cap(l.slots) {
			l.slots <- struct{}{}
		}
	}
}
