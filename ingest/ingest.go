package ingest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforce"
)

// The public paths.
const (
	PathSalesforce = "/salesforce/outbound-messages"
	PathMessages   = "/twilio/messages"
	PathStatus     = "/twilio/status"
)

const retryAfterSeconds = "2"

// Ingest is the door. Make one with New.
type Ingest struct {
	cfg    Config
	orgs   map[notification.OrgID]bool
	secret [sha256.Size]byte
	bodies *bodies // of envelopes
	// callbacks are the bodies from Twilio, apart: a flood of envelopes must not keep an opt-out out.
	callbacks *bodies
	metrics   *metrics
	ack       []byte

	salesforceSlots chan struct{}
	twilioSlots     chan struct{}
}

// New checks the configuration and registers the metrics. Its errors wrap ErrConfig.
func New(cfg Config) (*Ingest, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	i := &Ingest{
		cfg: cfg, orgs: make(map[notification.OrgID]bool), secret: sha256.Sum256([]byte(cfg.Salesforce.PathSecret)),
		bodies: newBodies(cfg.MaxBytes), callbacks: newBodies(maxCallbackBytes), metrics: m, ack: salesforce.AckBody(),
		salesforceSlots: make(chan struct{}, cfg.MaxConcurrent), twilioSlots: make(chan struct{}, cfg.MaxConcurrent),
	}
	for _, org := range cfg.Salesforce.Orgs {
		i.orgs[org] = true
	}
	if cfg.Twilio.PublicURL == "" {
		cfg.Log.Warn("no public URL is configured: every Twilio callback will be refused")
	}
	return i, nil
}

// Mount puts the endpoints on an echo server. Every method is taken, so that a wrong one gets an answer of ours.
func (i *Ingest) Mount(e *echo.Echo) {
	outbound := i.door(door{
		source: "salesforce", slots: i.salesforceSlots, serve: i.takeEnvelope, refuse: writeFault,
	})
	e.Any(PathSalesforce, outbound)
	e.Any(PathSalesforce+"/*", outbound)
	e.Any(PathMessages, i.door(door{
		source: "twilio", slots: i.twilioSlots, serve: i.takeMessage, refuse: writeText,
	}))
	e.Any(PathStatus, i.door(door{
		source: "twilio", slots: i.twilioSlots, serve: i.takeStatus, refuse: writeText,
	}))
}

// door is one endpoint: serve answers the request or returns why not, refuse writes that down.
type door struct {
	source string
	slots  chan struct{}
	serve  func(w http.ResponseWriter, r *http.Request) (accepted, error)
	refuse func(w http.ResponseWriter, a answer)
}

// accepted is what a positive outcome has to tell the log.
type accepted []slog.Attr

func (i *Ingest) door(d door) echo.HandlerFunc {
	return func(c echo.Context) error {
		began := time.Now()
		i.metrics.inFlight.Inc()
		defer i.metrics.inFlight.Dec()
		w, r := c.Response(), c.Request()
		// A sender that trickles its body holds a slot: not for long. Servers that can't do this have a time-out of their own.
		_ = http.NewResponseController(w).SetReadDeadline(began.Add(bodyTimeout))
		attrs, err := i.guarded(d, w, r)
		if err != nil {
			i.refuse(d, c, err)
			return nil
		}
		elapsed := time.Since(began)
		i.metrics.seconds.WithLabelValues(d.source).Observe(elapsed.Seconds())
		i.cfg.Log.LogAttrs(r.Context(), slog.LevelDebug, "accepted",
			append(attrs, slog.String("source", d.source), slog.Duration("took", elapsed))...)
		return nil
	}
}

// guarded runs a door within its slots and turns a panic into an error.
func (i *Ingest) guarded(d door, w http.ResponseWriter, r *http.Request) (attrs accepted, err error) {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	default:
		return nil, errBusy
	}
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if aborted, ok := p.(error); ok && errors.Is(aborted, http.ErrAbortHandler) {
			panic(p)
		}
		// The value of the panic is not logged: it may hold what came in.
		err = fmt.Errorf("%w with a %T at:\n%s", errPanic, p, debug.Stack())
	}()
	return d.serve(w, r)
}

func (i *Ingest) refuse(d door, c echo.Context, err error) {
	a := answerTo(err)
	i.metrics.refused.WithLabelValues(a.reason).Inc()
	level := slog.LevelWarn
	if a.status == http.StatusInternalServerError {
		level = slog.LevelError
	}
	i.cfg.Log.LogAttrs(c.Request().Context(), level, "refused", slog.String("source", d.source),
		slog.String("reason", a.reason), slog.Int("status", a.status), slog.Any("error", err))
	if c.Response().Committed {
		return
	}
	header := c.Response().Header()
	switch a.status {
	case http.StatusMethodNotAllowed:
		header.Set("Allow", http.MethodPost)
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", retryAfterSeconds)
	}
	header.Set("Cache-Control", "no-store")
	d.refuse(c.Response(), a)
}

func writeFault(w http.ResponseWriter, a answer) {
	write(w, a.status, salesforce.ContentType, salesforce.FaultBody(a.fault, a.text))
}

func writeText(w http.ResponseWriter, a answer) {
	write(w, a.status, "text/plain; charset=utf-8", []byte(a.text+"\n"))
}

// write sends an answer. That the sender no longer listens changes nothing here: it will ask again.
func write(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// durable runs a publish within the time that it may take.
func (i *Ingest) durable(ctx context.Context, publish func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, i.cfg.ConfirmTimeout)
	defer cancel()
	return publish(ctx)
}
