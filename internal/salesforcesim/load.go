package salesforcesim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/beckonhq/beckon/internal/notification"
)

// maxPrepared bounds the memory of envelopes that Load writes before its clock starts, in bytes. What is beyond is
// written on the way, and costs time of the measurement.
const maxPrepared = 256 << 20

// LoadConfig describes a measurement. Every envelope carries new notification ids and new record ids.
type LoadConfig struct {
	Object      string             // one of Config.Definitions; empty: the first one's
	Count       int                // envelopes to send; required
	Rate        float64            // envelopes a second; 0: closed loop, each connection sends as fast as it is answered
	Connections int                // requests under way at most; default 1
	PerEnvelope int                // notifications in an envelope, 1 to 100; default 1
	Record      func(i int) Record // fields of the i-th notification's record, from 0; default: Name and StageName
}

// Percentiles of a measured time.
type Percentiles struct {
	P50 time.Duration `json:"p50_ns"`
	P95 time.Duration `json:"p95_ns"`
	P99 time.Duration `json:"p99_ns"`
	Max time.Duration `json:"max_ns"`
}

// LoadResult is what a measurement gave.
type LoadResult struct {
	Posts         int            `json:"posts"` // answered or failed requests
	Acked         int            `json:"acked"` // of them acknowledged
	Notifications int            `json:"notifications"`
	Bytes         int64          `json:"bytes"`    // of the bodies sent
	Elapsed       time.Duration  `json:"ns"`       // from the first request due to the last answer
	Latency       Percentiles    `json:"latency"`  // from when a request was due; in a closed loop the same as Service
	Service       Percentiles    `json:"service"`  // from when it was sent
	Failures      map[string]int `json:"failures"` // by reason
}

// PerSecond is the number of acknowledged envelopes a second.
func (r LoadResult) PerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Acked) / r.Elapsed.Seconds()
}

// Load posts envelopes at a fixed rate or in a closed loop and measures the answers. It passes the queue by: nothing is
// retried, and Stats, Deliveries and History do not show it. At a fixed rate, time that a request waits because all
// connections are busy counts as latency. When ctx ends early, the result so far comes with its error.
func (o *Org) Load(ctx context.Context, cfg LoadConfig) (LoadResult, error) {
	l, err := o.newLoader(cfg)
	if err != nil {
		return LoadResult{}, err
	}
	defer l.client.CloseIdleConnections()
	if err := l.prepare(); err != nil {
		return LoadResult{}, err
	}
	l.start = time.Now()
	var workers sync.WaitGroup
	for range l.cfg.Connections {
		workers.Go(func() { l.work(ctx) })
	}
	workers.Wait()
	result := l.result(time.Since(l.start))
	if l.encodeErr != nil {
		return result, l.encodeErr
	}
	if err := ctx.Err(); err != nil {
		return result, fmt.Errorf("load stopped after %d of %d envelopes: %w", result.Posts, cfg.Count, err)
	}
	return result, nil
}

type loader struct {
	org    *Org
	cfg    LoadConfig
	lane   *lane
	client *http.Client
	bodies [][]byte
	next   atomic.Int64
	start  time.Time

	mu        sync.Mutex
	samples   []sample
	bytes     int64
	encodeErr error
}

type sample struct {
	latency, service time.Duration
	answer           answer
}

func (o *Org) newLoader(cfg LoadConfig) (*loader, error) {
	cfg.Object = orDefault(cfg.Object, o.lanes[0].def.Object)
	cfg.Connections = orDefault(cfg.Connections, 1)
	cfg.PerEnvelope = orDefault(cfg.PerEnvelope, 1)
	if cfg.Record == nil {
		cfg.Record = func(i int) Record {
			return Record{"Name": fmt.Sprintf("Opportunity %d", i), "StageName": "Closed Won"}
		}
	}
	lanes := o.lanesOf(cfg.Object)
	switch {
	case len(lanes) == 0:
		return nil, fmt.Errorf("load of %s: %w", cfg.Object, ErrUnknownObject)
	case cfg.Count <= 0 || cfg.Connections < 0 || cfg.Rate < 0:
		return nil, fmt.Errorf("%w: a load needs a Count above 0, and no negative Rate or Connections", ErrConfig)
	case cfg.PerEnvelope < 0 || cfg.PerEnvelope > notification.MaxPerEnvelope:
		return nil, fmt.Errorf("%w: PerEnvelope must be 1 to 100", ErrConfig)
	}
	client := *o.client
	client.Transport = pooled(client.Transport, cfg.Connections)
	return &loader{org: o, cfg: cfg, lane: lanes[0], client: &client}, nil
}

// pooled is the transport with room for so many idle connections; one that is not net/http's own stays as it is.
func pooled(given http.RoundTripper, connections int) http.RoundTripper {
	if given == nil {
		given = http.DefaultTransport
	}
	own, ok := given.(*http.Transport)
	if !ok {
		return given
	}
	own = own.Clone()
	own.MaxIdleConns, own.MaxIdleConnsPerHost, own.MaxConnsPerHost = connections, connections, connections
	return own
}

// prepare writes envelopes until the memory bound.
func (l *loader) prepare() error {
	total := 0
	for i := 0; i < l.cfg.Count && total < maxPrepared; i++ {
		body, err := l.encode(i)
		if err != nil {
			return err
		}
		total += len(body)
		l.bodies = append(l.bodies, body)
	}
	return nil
}

func (l *loader) encode(i int) ([]byte, error) {
	e := &notification.Envelope{Org: l.org.org, Action: l.lane.action, Object: l.cfg.Object}
	for k := range l.cfg.PerEnvelope {
		fields, err := wireFields(l.cfg.Record(i*l.cfg.PerEnvelope + k))
		if err != nil {
			return nil, fmt.Errorf("load of %s: %w", l.cfg.Object, err)
		}
		n := l.org.freshNotification(l.cfg.Object)
		n.Fields = selected(n.RecordID, fields, l.lane.def.Fields)
		e.Notifications = append(e.Notifications, n)
	}
	return encode(e)
}

func (o *Org) freshNotification(object string) notification.Notification {
	o.mu.Lock()
	defer o.mu.Unlock()
	return notification.Notification{ID: o.ids.next(notificationPrefix), RecordID: o.ids.record(object)}
}

func (l *loader) work(ctx context.Context) {
	for ctx.Err() == nil {
		i := int(l.next.Add(1)) - 1
		if i >= l.cfg.Count {
			return
		}
		body, err := l.body(i)
		if err != nil {
			l.fail(err)
			return
		}
		due, ok := l.wait(ctx, i)
		if !ok {
			return
		}
		sent := time.Now()
		a := l.org.send(ctx, l.client, body)
		if ctx.Err() != nil && !a.outcome.answered() {
			return
		}
		l.add(sample{latency: time.Since(due), service: time.Since(sent), answer: a}, len(body))
	}
}

func (l *loader) body(i int) ([]byte, error) {
	if i < len(l.bodies) {
		body := l.bodies[i]
		l.bodies[i] = nil // each index belongs to one worker
		return body, nil
	}
	return l.encode(i)
}

// wait returns when the i-th request is due and when that was; false when ctx ended first.
func (l *loader) wait(ctx context.Context, i int) (time.Time, bool) {
	if l.cfg.Rate == 0 {
		return time.Now(), true
	}
	due := l.start.Add(time.Duration(float64(i) / l.cfg.Rate * float64(time.Second)))
	if left := time.Until(due); left > 0 {
		timer := time.NewTimer(left)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return due, false
		}
	}
	return due, true
}

func (l *loader) add(s sample, size int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.samples = append(l.samples, s)
	l.bytes += int64(size)
}

func (l *loader) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.encodeErr = errors.Join(l.encodeErr, err)
}

func (l *loader) result(elapsed time.Duration) LoadResult {
	r := LoadResult{Elapsed: elapsed, Posts: len(l.samples), Bytes: l.bytes, Failures: map[string]int{}}
	r.Notifications = r.Posts * l.cfg.PerEnvelope
	latency := make([]time.Duration, 0, len(l.samples))
	service := make([]time.Duration, 0, len(l.samples))
	for _, s := range l.samples {
		latency, service = append(latency, s.latency), append(service, s.service)
		if s.answer.outcome == Acked {
			r.Acked++
		} else {
			r.Failures[s.answer.reason]++
		}
	}
	r.Latency, r.Service = percentiles(latency), percentiles(service)
	return r
}

// percentiles by the nearest rank.
func percentiles(times []time.Duration) Percentiles {
	if len(times) == 0 {
		return Percentiles{}
	}
	slices.Sort(times)
	at := func(percent int) time.Duration { return times[max(0, (len(times)*percent+99)/100-1)] }
	return Percentiles{P50: at(50), P95: at(95), P99: at(99), Max: times[len(times)-1]}
}
