package app

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/beckonhq/beckon/internal/stream"
)

// backlog shows, at each scrape, how much work waits before each consumer: what an alarm for a stuck queue looks at.
type backlog struct {
	pending func(context.Context) (map[stream.ConsumerName]stream.Backlog, error)
	waiting *prometheus.Desc
	open    *prometheus.Desc
}

func newBacklog(pending func(context.Context) (map[stream.ConsumerName]stream.Backlog, error)) *backlog {
	describe := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"consumer"}, nil)
	}
	return &backlog{
		pending: pending,
		waiting: describe("beckon_stream_pending", "Stream messages that no process has taken yet."),
		open:    describe("beckon_stream_unfinished", "Stream messages that a process has taken and not finished."),
	}
}

// Describe implements prometheus.Collector.
func (b *backlog) Describe(descs chan<- *prometheus.Desc) { descs <- b.waiting; descs <- b.open }

// Collect implements prometheus.Collector. Without NATS there is nothing to tell: the readiness check tells of that.
func (b *backlog) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	backlogs, err := b.pending(ctx)
	if err != nil {
		return
	}
	for name, of := range backlogs {
		metrics <- prometheus.MustNewConstMetric(b.waiting, prometheus.GaugeValue, float64(of.Waiting), string(name))
		metrics <- prometheus.MustNewConstMetric(b.open, prometheus.GaugeValue, float64(of.Unfinished), string(name))
	}
}
