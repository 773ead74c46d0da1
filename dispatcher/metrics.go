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
	confirmed     *prometheus.CounterVec
	asked         *prometheus.CounterVec
	lookups       *prometheus.CounterVec
	alerted       *prometheus.CounterVec
	polls         *prometheus.CounterVec
	sent          *prometheus.CounterVec
	optOuts       *prometheus.CounterVec
	found         prometheus.Counter
	claims        prometheus.Counter
	waiting       prometheus.Counter
	waits         prometheus.Counter
	deadLetters   prometheus.Counter
	leasesExpired prometheus.Counter
	reviewsLapsed prometheus.Counter
	retained      *prometheus.CounterVec
	unknown       prometheus.Gauge
	stopped       *prometheus.GaugeVec
	breaker       *prometheus.GaugeVec
	stops         *prometheus.CounterVec
	unserved      *prometheus.GaugeVec
	heldLong      *prometheus.GaugeVec
	reviewsOpen   prometheus.Gauge
	paused        *prometheus.GaugeVec
	oldestReply   prometheus.Gauge
	oldestWebhook prometheus.Gauge
	calls         prometheus.Histogram

	known map[int]bool // the error codes that are labels of their own; true for those that operators hear of
}

// otherCode is the label of all error codes that the table of reactions does not know: Twilio may send any number.
const otherCode = "other"

func newMetrics(registry prometheus.Registerer, known map[int]bool) (*metrics, error) {
	m := &metrics{
		known:         known,
		states:        counters("beckon_message_states_total", "States that messages moved to.", "state"),
		suppressed:    counters("beckon_suppressed_total", "Messages that were rightly not sent.", "reason"),
		errorCodes:    counters("beckon_twilio_errors_total", "Calls to Twilio that failed, by Twilio's error code (0: none, other: not in the table of reactions).", "code"),
		replies:       counters("beckon_replies_total", "Replies received.", "keyword"),
		confirmed:     counters("beckon_confirmations_total", "Replies with STOP, HELP, START or a confirming YES that Beckon was to answer, by what became of that.", "result"),
		asked:         counters("beckon_double_opt_in_total", "Opt-ins that people were to be asked to confirm, by what became of that.", "result"),
		lookups:       counters("beckon_lookups_total", "Look-ups of unknown outcomes.", "result"),
		alerted:       counters("beckon_alerts_total", "Failures that an operator must look at, by Twilio's error code (0: none, other: not in the table of reactions).", "code"),
		polls:         counters("beckon_polls_total", "Messages whose status Twilio was asked for.", "result"),
		sent:          counters("beckon_rule_messages_total", "Messages that Twilio took, by rule.", "rule"),
		optOuts:       counters("beckon_optouts_total", "Opt-outs that answer a message, by its rule.", "rule"),
		found:         counter("beckon_replies_found_total", "Replies whose webhook was missed and that a listing found."),
		claims:        counter("beckon_claims_total", "Messages claimed for sending."),
		waiting:       counter("beckon_claims_postponed_total", "Messages that a gate told to wait."),
		waits:         counter("beckon_dispatcher_waits_total", "Tries after which the dispatcher waited for Postgres or NATS."),
		deadLetters:   counter("beckon_dispatcher_deadletters_total", "Deliveries that went to the dead letters."),
		leasesExpired: counter("beckon_leases_expired_total", "Attempts whose dispatcher died while sending."),
		retained:      counters("beckon_retained_total", "Rows whose content was taken out, since its time was over.", "kind"),
		reviewsLapsed: counter("beckon_reviews_lapsed_total", "Replies of which nobody decided in time whether they are opt-outs."),
		reviewsOpen: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "beckon_reviews_open", Help: "Replies that somebody must look at: they may be opt-outs, and sending to these people is paused.",
		}),
		unknown: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "beckon_attempts_unknown", Help: "Attempts whose outcome is unknown now.",
		}),
		oldestReply: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "beckon_oldest_reply_age_seconds", Help: "How long the reply has waited that waits the longest for the reply rules; 0: none waits.",
		}),
		oldestWebhook: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "beckon_oldest_webhook_age_seconds", Help: "Age of the oldest webhook of a reply rule that is neither delivered nor given up; 0: there is none.",
		}),
		paused:   gauges("beckon_rule_paused", "1 for each rule whose messages wait, by who paused it: breaker or operator.", "rule", "by"),
		stopped:  gauges("beckon_sending_stopped", "1 while nothing is sent by the sender on the channel (all: on none).", "sender", "channel"),
		breaker:  gauges("beckon_breaker_state", "State of the sender's circuit breaker: 0 closed, 1 half-open, 2 open.", "sender"),
		stops:    counters("beckon_sending_stops_total", "How often sending was stopped.", "sender", "cause"),
		unserved: gauges("beckon_messages_unserved", "Queued messages whose sender is not configured, ten thousand at most.", "sender"),
		heldLong: gauges("beckon_messages_held_long", "Queued messages that were made more than two days ago and that a gate holds back, ten thousand at most.", "reason"),
		calls: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "beckon_twilio_call_seconds", Help: "Duration of calls to Twilio.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 12),
		}),
	}
	all := []prometheus.Collector{
		m.states, m.suppressed, m.errorCodes, m.replies, m.confirmed, m.asked, m.lookups, m.claims, m.waiting, m.waits, m.deadLetters, m.leasesExpired,
		m.unknown, m.stopped, m.breaker, m.stops, m.unserved, m.heldLong, m.calls, m.alerted, m.polls, m.found, m.sent, m.optOuts, m.reviewsLapsed, m.paused,
		m.retained, m.reviewsOpen, m.oldestReply, m.oldestWebhook,
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
	for code, told := range m.known {
		if told {
			m.alerted.WithLabelValues(m.code(code))
		}
	}
	m.alerted.WithLabelValues(m.code(0))
	m.alerted.WithLabelValues(otherCode)
	m.suppressed.WithLabelValues(string(message.ReasonBadMedia))
	for _, state := range []message.State{message.Accepted, message.Failed, message.Undelivered} {
		m.states.WithLabelValues(string(state))
	}
}

// code is the label of an error code.
func (m *metrics) code(n int) string {
	if _, known := m.known[n]; known || n == 0 {
		return strconv.Itoa(n)
	}
	return otherCode
}

func (m *metrics) claimed(result *store.ClaimResult) {
	m.claims.Add(float64(len(result.Claimed)))
	m.waiting.Add(float64(result.Waiting))
	for _, reason := range result.Suppressed {
		m.suppressed.WithLabelValues(string(reason)).Inc()
		m.states.WithLabelValues(string(message.Suppressed)).Inc()
	}
	m.expired(result.Expired)
}

func (m *metrics) expired(n int) { m.states.WithLabelValues(string(message.Expired)).Add(float64(n)) }

func (m *metrics) alert(code int) { m.alerted.WithLabelValues(m.code(code)).Inc() }

func (m *metrics) recorded(outcomes []store.Outcome) {
	for _, o := range outcomes {
		m.states.WithLabelValues(string(o.MessageState)).Inc()
		if o.MessageState == message.Suppressed {
			m.suppressed.WithLabelValues(string(o.Reason)).Inc()
		}
		if o.State == message.Refused || o.State == message.Unknown {
			m.errorCodes.WithLabelValues(m.code(o.ErrorCode)).Inc()
		}
	}
}

// took counts a message that Twilio took. The rule's opt-outs begin at 0 with it: Prometheus sees no increase in a series that begins
// at 1.
func (m *metrics) took(rule string) {
	m.sent.WithLabelValues(rule).Inc()
	m.optOuts.WithLabelValues(rule)
}

func (m *metrics) moved(states []message.State) {
	for _, state := range states {
		m.states.WithLabelValues(string(state)).Inc()
	}
}

func (m *metrics) reply(reply store.Reply, linked store.Linked) {
	if !linked.New {
		return
	}
	if linked.Confirmation != "" {
		m.confirmed.WithLabelValues(linked.Confirmation).Inc()
	}
	m.replies.WithLabelValues(reply.Keyword).Inc()
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}
