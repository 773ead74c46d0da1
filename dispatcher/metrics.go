package dispatcher

import (
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

type metrics struct {
	states        *prometheus.CounterVec
	suppressed    *prometheus.CounterVec
	errorCodes    *prometheus.CounterVec
	replies       *prometheus.CounterVec
	lookups       *prometheus.CounterVec
	claims        prometheus.Counter
	waiting       prometheus.Counter
	waits         prometheus.Counter
	deadLetters   prometheus.Counter
	leasesExpired prometheus.Counter
	reviewsLapsed prometheus.Counter
	unknown       prometheus.Gauge
	reviewsOpen   prometheus.Gauge
	stopped       prometheus.Gauge
	calls         prometheus.Histogram
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		states:        counters("beckon_message_states_total", "States that messages moved to.", "state"),
		suppressed:    counters("beckon_suppressed_total", "Messages that were rightly not sent.", "reason"),
		errorCodes:    counters("beckon_twilio_errors_total", "Calls to Twilio that failed, by Twilio's error code (0: none).", "code"),
		replies:       counters("beckon_replies_total", "Replies received.", "keyword"),
		lookups:       counters("beckon_lookups_total", "Look-ups of unknown outcomes.", "result"),
		claims:        counter("beckon_claims_total", "Messages claimed for sending."),
		waiting:       counter("beckon_claims_postponed_total", "Messages that a gate told to wait."),
		waits:         counter("beckon_dispatcher_waits_total", "Tries after which the dispatcher waited for Postgres or NATS."),
		deadLetters:   counter("beckon_dispatcher_deadletters_total", "Deliveries that went to the dead letters."),
		leasesExpired: counter("beckon_leases_expired_total", "Attempts whose dispatcher died while sending."),
		reviewsLapsed: counter("beckon_reviews_lapsed_total", "Replies of which nobody decided in time whether they are opt-outs."),
		reviewsOpen: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "beckon_reviews_open", Help: "Replies that somebody must look at: they may be opt-outs, and sending to these people is paused.",
		}),
		unknown: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "beckon_attempts_unknown", Help: "Attempts whose outcome is unknown now.",
		}),
		stopped: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "beckon_sending_stopped", Help: "1 while nothing is sent because the Twilio account refuses.",
		}),
		calls: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "beckon_twilio_call_seconds", Help: "Duration of calls to Twilio.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 12),
		}),
	}
	all := []prometheus.Collector{
		m.states, m.suppressed, m.errorCodes, m.replies, m.lookups, m.claims, m.waiting, m.waits, m.deadLetters, m.leasesExpired,
		m.reviewsLapsed, m.reviewsOpen, m.unknown, m.stopped, m.calls,
	}
	for _, collector := range all {
		if err := registry.Register(collector); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) claimed(result *store.ClaimResult) {
	m.claims.Add(float64(len(result.Claimed)))
	m.waiting.Add(float64(result.Waiting))
	for _, reason := range result.Suppressed {
		m.suppressed.WithLabelValues(string(reason)).Inc()
		m.states.WithLabelValues(string(message.Suppressed)).Inc()
	}
}

func (m *metrics) recorded(outcomes []store.Outcome) {
	for _, o := range outcomes {
		m.states.WithLabelValues(string(o.MessageState)).Inc()
		if o.MessageState == message.Suppressed {
			m.suppressed.WithLabelValues(string(o.Reason)).Inc()
		}
		if o.State == message.Refused || o.State == message.Unknown {
			m.errorCodes.WithLabelValues(strconv.Itoa(o.ErrorCode)).Inc()
		}
	}
}

func (m *metrics) moved(states []message.State) {
	for _, state := range states {
		m.states.WithLabelValues(string(state)).Inc()
	}
}

func (m *metrics) reply(reply store.Reply, linked store.Linked) {
	if linked.New {
		m.replies.WithLabelValues(reply.Keyword).Inc()
	}
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}
