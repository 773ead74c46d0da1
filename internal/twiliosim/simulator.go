package twiliosim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Simulator is the stand-in. It is safe for concurrent use.
type Simulator struct {
	cfg       Config
	shapes    shapes
	mux       *http.ServeMux
	post      *http.Client
	magicTo   map[string]*Fault
	magicFrom map[string]*Fault
	services  map[string]*Service
	senders   map[string]string // sender to the service whose pool it is in, "" for none

	ctx     context.Context //nolint:containedctx // ends with Close; everything in the background hangs on it
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	queue   *queue
	journal *journal // nil for none; written under mu
	busy    atomic.Int64
	stats   counters

	mu       sync.Mutex
	messages []*Message // oldest first
	bySID    map[string]*Message
	byTo     map[string][]*Message
	optOuts  map[optOutKey]bool
	windows  map[windowKey]time.Time
	files    map[string]file // by their path
	faults   []Fault
	changed  chan struct{}
	waiting  int
}

type counters struct {
	creates, created, callbacks, callbacksFailed atomic.Int64
}

// Stats counts what happened.
type Stats struct {
	Creates         int64 `json:"creates"` // create calls, whatever their outcome
	Created         int64 `json:"created"` // outbound messages that exist or existed
	Callbacks       int64 `json:"callbacks"`
	CallbacksFailed int64 `json:"callbacks_failed"` // tries without a 2xx
}

// New makes a simulator and starts its workers; Close ends them.
func New(cfg Config) (*Simulator, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Simulator{
		cfg: cfg, shapes: newShapes(), queue: newQueue(), bySID: map[string]*Message{},
		byTo: map[string][]*Message{}, optOuts: map[optOutKey]bool{}, windows: map[windowKey]time.Time{}, files: map[string]file{},
		changed: make(chan struct{}), services: map[string]*Service{}, senders: map[string]string{},
	}
	if !cfg.NoMagic {
		s.magicTo, s.magicFrom = magicTables()
	}
	for _, sender := range cfg.Senders {
		s.senders[sender] = ""
	}
	for i := range cfg.Services {
		s.services[cfg.Services[i].SID] = &cfg.Services[i]
		for _, sender := range cfg.Services[i].Senders {
			s.senders[sender] = cfg.Services[i].SID
		}
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.post = newPoster(cfg)
	s.mux = s.routes()
	if err := s.recall(); err != nil {
		s.cancel()
		return nil, fmt.Errorf("twilio simulator: %w", err)
	}
	s.startWorkers()
	return s, nil
}

// Close ends all background work and every call that hangs, and waits for the workers. Waiting callbacks are dropped.
func (s *Simulator) Close() {
	s.cancel()
	s.wg.Wait()
	s.post.CloseIdleConnections()
	if s.journal != nil {
		_ = s.journal.file.Close() // every line is written
	}
}

// ServeHTTP answers the API and the control endpoints.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Messages is a copy of all messages, oldest first.
func (s *Simulator) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot()
}

// Message is a copy of one message, and whether it exists.
func (s *Simulator) Message(sid string) (Message, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.bySID[sid]
	if !ok {
		return Message{}, false
	}
	return m.copy(), true
}

// Count is how many messages there are to an address, as in the API (with the prefix of WhatsApp); "" counts all.
func (s *Simulator) Count(to string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if to == "" {
		return len(s.messages)
	}
	return len(s.byTo[to])
}

// Stats is a copy of the counters.
func (s *Simulator) Stats() Stats {
	return Stats{
		Creates: s.stats.creates.Load(), Created: s.stats.created.Load(),
		Callbacks: s.stats.callbacks.Load(), CallbacksFailed: s.stats.callbacksFailed.Load(),
	}
}

// WaitFor returns nil as soon as done says so of all messages, oldest first; it is asked again after every change.
// The error is the context's. For many messages use WaitForCount.
func (s *Simulator) WaitFor(ctx context.Context, done func([]Message) bool) error {
	return s.wait(ctx, func() (ready bool) { return done(s.Messages()) })
}

// WaitForCount returns nil as soon as there are n messages, inbound ones included.
func (s *Simulator) WaitForCount(ctx context.Context, n int) error {
	return s.wait(ctx, func() bool { return s.Count("") >= n })
}

func (s *Simulator) wait(ctx context.Context, ready func() bool) error {
	s.mu.Lock()
	s.waiting++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.waiting--
		s.mu.Unlock()
	}()
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if ready() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// notify wakes the waiting. The caller holds mu.
func (s *Simulator) notify() {
	if s.waiting > 0 {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

func (s *Simulator) snapshot() []Message {
	all := make([]Message, len(s.messages))
	for i, m := range s.messages {
		all[i] = m.copy()
	}
	return all
}

func (m *Message) copy() Message {
	one := *m
	one.Deliveries = slices.Clone(m.Deliveries)
	return one
}

// store adds a message, in the journal first; false when that can't be: then there is no message.
func (s *Simulator) store(m *Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.write(entry{Message: m}) {
		return false
	}
	s.add(m)
	s.notify()
	return true
}

// add puts a message into the tables. The caller holds mu, or is alone.
func (s *Simulator) add(m *Message) {
	s.messages = append(s.messages, m)
	s.bySID[m.SID] = m
	s.byTo[m.To] = append(s.byTo[m.To], m)
}

// pause waits, less long if the caller or the simulator ends.
func (s *Simulator) pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
}

func (d Delay) pick() time.Duration {
	if d.Max <= d.Min {
		return d.Min
	}
	return d.Min + rand.N(d.Max-d.Min) //nolint:gosec // timing of a simulation
}
