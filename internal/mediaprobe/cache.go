package mediaprobe

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	remembered = 10 * time.Minute // how long an answer counts, and a failure too
	mostKept   = 10_000           // answers; more files at a time are not asked about
	mostAtOnce = 16               // questions
	longest    = 5 * time.Second  // that a question counts as pending: nobody waits longer for it
)

// Answer says how much is known of a file.
type Answer int

// The answers.
const (
	Unknown Answer = iota // nobody could tell in time, or there are too many to ask about
	Pending               // it is being asked
	Known
)

// Cache asks about files in the background. An answer that it has begun to look for is kept until it is old, however many others come:
// whoever waits for it gets it. It is safe for concurrent use.
type Cache struct {
	prober *Prober
	asked  *prometheus.CounterVec

	ctx   context.Context //nolint:containedctx // of the questions, which nobody waits for
	stop  context.CancelFunc
	tasks sync.WaitGroup
	slots chan struct{}

	mu      sync.Mutex
	entries map[[sha256.Size]byte]*entry // by the hash of the URL, which may be long
	swept   time.Time
}

type entry struct {
	facts  Facts
	answer Answer
	since  time.Time // of a question
	until  time.Time // of an answer
}

// NewCache makes a Cache; Close ends it.
func NewCache(prober *Prober, registry prometheus.Registerer) (*Cache, error) {
	c := &Cache{
		prober: prober, slots: make(chan struct{}, mostAtOnce), entries: make(map[[sha256.Size]byte]*entry),
		asked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "beckon_media_checks_total", Help: "Pictures and files whose type and size were asked for before sending.",
		}, []string{"result"}),
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c, registry.Register(c.asked)
}

// Close gives up the questions that are open, and waits for their end.
func (c *Cache) Close() {
	c.stop()
	c.tasks.Wait()
	c.prober.Close()
}

// Ask tells what is known of a file, and begins to ask when nothing is. It does not block.
func (c *Cache) Ask(link string) (Facts, Answer) {
	key, now := sha256.Sum256([]byte(link)), time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := c.entries[key]; {
	case e == nil || e.answer != Pending && !now.Before(e.until):
	case e.answer == Pending && now.Sub(e.since) > longest:
		return Facts{}, Unknown
	default:
		return e.facts, e.answer
	}
	if c.ctx.Err() != nil || !c.room(now) {
		c.asked.WithLabelValues("skipped").Inc()
		return Facts{}, Unknown
	}
	e := &entry{answer: Pending, since: now}
	c.entries[key] = e
	c.tasks.Go(func() { c.look(e, link) })
	return Facts{}, Pending
}

// room tells whether one more answer can be kept; old ones go, at most once a second.
func (c *Cache) room(now time.Time) bool {
	if len(c.entries) < mostKept {
		return true
	}
	if now.Sub(c.swept) < time.Second {
		return false
	}
	c.swept = now
	for key, e := range c.entries {
		if e.answer != Pending && !now.Before(e.until) {
			delete(c.entries, key)
		}
	}
	return len(c.entries) < mostKept
}

// look asks the server, once a slot is free.
func (c *Cache) look(e *entry, link string) {
	var facts Facts
	answer := Unknown
	select {
	case c.slots <- struct{}{}:
		found, err := c.prober.Probe(c.ctx, link)
		<-c.slots
		if err == nil {
			facts, answer = found, Known
		}
	case <-c.ctx.Done():
	}
	result := "known"
	if answer == Unknown {
		result = "unknown"
	}
	c.asked.WithLabelValues(result).Inc()
	c.mu.Lock()
	defer c.mu.Unlock()
	e.facts, e.answer, e.until = facts, answer, time.Now().Add(remembered)
}
