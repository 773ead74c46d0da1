package certificates

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// kept is what some files held when they were last good.
type kept[T any] struct {
	*source[T]

	name    string // which certificate, for log and metrics
	expires func(*T) time.Time
	log     *slog.Logger
	metrics *metrics
	running atomic.Pointer[T]

	sum     [sha256.Size]byte // of the files that run; used by one goroutine
	doubted bool              // the last look found a mistake, which may be a change half made

	mu      sync.Mutex
	problem error
}

// keep reads the files for the first time.
func keep[T any](name string, from *source[T], expires func(*T) time.Time, log *slog.Logger, m *metrics) (*kept[T], error) {
	contents, err := from.read()
	if err != nil {
		return nil, err
	}
	first, err := from.parse(contents, nil)
	if err != nil {
		return nil, err
	}
	k := &kept[T]{source: from, name: name, expires: expires, log: log, metrics: m, sum: digest(contents)}
	k.running.Store(first)
	m.failed.WithLabelValues(name).Set(0)
	m.expiry.WithLabelValues(name).Set(float64(expires(first).Unix()))
	return k, nil
}

// look reads the files and uses what changed. A mistake counts when insist is set, or a look before this one found one too.
func (k *kept[T]) look(ctx context.Context, insist bool) {
	contents, err := k.read()
	if err == nil && digest(contents) == k.sum {
		k.settle(nil)
		return
	}
	var next *T
	if err == nil {
		next, err = k.parse(contents, k.running.Load())
	}
	if err != nil {
		if insist || k.doubted {
			k.refuse(ctx, err)
		}
		k.doubted = true
		return
	}
	k.running.Store(next)
	k.sum = digest(contents)
	k.settle(nil)
	k.metrics.reloads.WithLabelValues(k.name, "ok").Inc()
	k.metrics.expiry.WithLabelValues(k.name).Set(float64(k.expires(next).Unix()))
	k.log.InfoContext(ctx, "a changed certificate is used", "certificate", k.name, "expires", k.expires(next))
}

// refuse tells each mistake once.
func (k *kept[T]) refuse(ctx context.Context, err error) {
	if !k.settle(err) {
		return
	}
	k.metrics.reloads.WithLabelValues(k.name, "failed").Inc()
	k.log.ErrorContext(ctx, "the changed certificate is not used, the running one stays", "certificate", k.name, "error", err)
}

// settle notes what is wrong with the files now, nil for nothing, and tells whether that is news.
func (k *kept[T]) settle(problem error) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	news := fmt.Sprint(problem) != fmt.Sprint(k.problem)
	k.problem = problem
	k.doubted = problem != nil
	value := 0.0
	if problem != nil {
		value = 1
	}
	k.metrics.failed.WithLabelValues(k.name).Set(value)
	return news
}

// warning is what an operator has to know, empty for nothing.
func (k *kept[T]) warning() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.problem == nil {
		return nil
	}
	return []string{fmt.Sprintf("the changed certificate (%s) is not used: %v", k.name, k.problem)}
}

func digest(contents [][]byte) [sha256.Size]byte {
	var all []byte
	for _, content := range contents {
		sum := sha256.Sum256(content)
		all = append(all, sum[:]...)
	}
	return sha256.Sum256(all)
}

type metrics struct {
	failed  *prometheus.GaugeVec
	expiry  *prometheus.GaugeVec
	reloads *prometheus.CounterVec
}

func newMetrics() *metrics {
	label := []string{"certificate"}
	return &metrics{
		failed: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "beckon_certificate_reload_failed", Help: "1 while the certificate files on disk are not the running ones because of an error.",
		}, label),
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "beckon_certificate_expiry_timestamp_seconds",
			Help: "When the running certificate expires, of several pins the last one, in seconds since 1970.",
		}, label),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "beckon_certificate_reloads_total", Help: "Changes of the certificate files.",
		}, append(label, "result")),
	}
}
