package ingest

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	refused       *prometheus.CounterVec
	envelopes     prometheus.Counter
	notifications prometheus.Counter
	callbacks     *prometheus.CounterVec
	seconds       *prometheus.HistogramVec
	inFlight      prometheus.Gauge
}

// newMetrics registers the stage's metrics. Every label value comes from a fixed set.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "beckon_ingest_refused_total", Help: "Requests that were not accepted, by reason.",
		}, []string{"reason"}),
		envelopes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "beckon_ingest_envelopes_total", Help: "Salesforce envelopes stored and acknowledged.",
		}),
		notifications: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "beckon_ingest_notifications_total", Help: "Notifications in the acknowledged envelopes.",
		}),
		callbacks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "beckon_ingest_callbacks_total", Help: "Twilio callbacks stored and answered, by kind.",
		}, []string{"kind"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "beckon_ingest_accept_seconds", Help: "Time from a request's arrival to its positive answer.",
			Buckets: []float64{.001, .002, .004, .008, .015, .03, .06, .125, .25, .5, 1, 2.5, 5, 10},
		}, []string{"source"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "beckon_ingest_in_flight", Help: "Requests in progress.",
		}),
	}
	var failed []error
	for _, c := range []prometheus.Collector{m.refused, m.envelopes, m.notifications, m.callbacks, m.seconds, m.inFlight} {
		failed = append(failed, reg.Register(c))
	}
	if err := errors.Join(failed...); err != nil {
		return nil, fmt.Errorf("%w: register metrics: %w", ErrConfig, err)
	}
	m.refused.WithLabelValues(reasonMalformed)
	for _, row := range answers() {
		m.refused.WithLabelValues(row.answer.reason) // shown from the start, so that a rate has a zero to begin with
	}
	return m, nil
}
