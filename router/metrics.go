package router

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/store"
)

type metrics struct {
	notifications *prometheus.CounterVec
	messages      *prometheus.CounterVec
	verdicts      *prometheus.CounterVec
	renderErrors  *prometheus.CounterVec
	skipped       prometheus.Counter
	deadLetters   prometheus.Counter
	waits         prometheus.Counter
	replayed      *prometheus.CounterVec
	trials        prometheus.Counter
	replies       *prometheus.CounterVec
	webhooks      *prometheus.CounterVec
	pauses        *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		notifications: counters("beckon_notifications_total", "Notifications by how they ended.", "outcome"),
		messages:      counters("beckon_messages_made_total", "Messages made, by their first state.", "state"),
		verdicts:      counters("beckon_rule_verdicts_total", "Verdicts of each rule.", "rule", "verdict"),
		renderErrors:  counters("beckon_template_errors_total", "Templates that could not be rendered, wholly or for a channel.", "template"),
		skipped:       counter("beckon_once_skipped_total", "Messages not made because the rule's once key was taken."),
		deadLetters:   counter("beckon_router_deadletters_total", "Notifications that went to the dead letters."),
		waits:         counter("beckon_router_waits_total", "Tries after which the router waited for Postgres or NATS."),
		replayed:      counters("beckon_replayed_total", "Notifications that an operator's replay brought, by what came of them.", "result"),
		replies:       counters("beckon_replies_decided_total", "Replies that the reply rules decided; held: why there was no answer.", "outcome", "held"),
		webhooks:      counters("beckon_webhooks_total", "Tries to post a webhook of a reply rule.", "result"),
		trials:        counter("beckon_router_trials_total", "Deliveries that came too often and were tried alone."),
		pauses:        counters("beckon_rule_pauses_total", "Rules that their breaker paused, since they made far more messages than they are used to.", "rule"),
	}
	all := []prometheus.Collector{
		m.notifications, m.messages, m.verdicts, m.renderErrors, m.skipped, m.deadLetters, m.waits, m.replayed, m.trials, m.pauses, m.replies,
		m.webhooks,
	}
	for _, collector := range all {
		if err := registry.Register(collector); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	m.begin()
	return m, nil
}

// begin lets the series that alerts look at begin at 0: Prometheus sees no increase in a series that begins at 1, so that nobody would
// hear of the first failure.
func (m *metrics) begin() {
	m.replies.WithLabelValues(string(notification.DeadLetter), "")
	for _, result := range []string{webhookDelivered, webhookAgain, webhookFailed} {
		m.webhooks.WithLabelValues(result)
	}
}

func (m *metrics) decided(result *store.DecideResult) {
	for outcome, n := range result.Outcomes {
		m.notifications.WithLabelValues(string(outcome)).Add(float64(n))
	}
	m.notifications.WithLabelValues(string(notification.Duplicate)).Add(float64(result.Duplicates))
	for _, state := range result.Made {
		m.messages.WithLabelValues(string(state)).Inc()
	}
	m.skipped.Add(float64(result.Skipped))
	for _, rule := range result.Paused {
		m.pauses.WithLabelValues(rule).Inc()
	}
	for came, n := range result.Replayed {
		m.replayed.WithLabelValues(string(came)).Add(float64(n))
	}
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}
