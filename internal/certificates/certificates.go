package certificates

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The certificates, as log and metrics name them.
const (
	listener   = "listener"
	salesforce = "salesforce"
)

const defaultEvery = 5 * time.Second

// Config says where the files are.
type Config struct {
	Cert, Key string        // of the listener; required
	Pins      string        // the client certificates that are accepted; empty: none is asked for
	Every     time.Duration // between two looks at the files; default 5 s
	Log       *slog.Logger
	Metrics   prometheus.Registerer
}

// Certificates are those of one listener. Its methods may be called concurrently, Watch once.
type Certificates struct {
	every  time.Duration
	server *kept[tls.Certificate]
	pins   *kept[Pins] // nil: no client certificate is asked for
}

// New reads the files, and registers the metrics.
func New(cfg Config) (*Certificates, error) {
	m := newMetrics()
	if err := errors.Join(cfg.Metrics.Register(m.failed), cfg.Metrics.Register(m.expiry), cfg.Metrics.Register(m.reloads)); err != nil {
		return nil, fmt.Errorf("register the metrics of certificates: %w", err)
	}
	c := &Certificates{every: cfg.Every}
	if c.every <= 0 {
		c.every = defaultEvery
	}
	var err error
	expires := func(pair *tls.Certificate) time.Time { return pair.Leaf.NotAfter }
	if c.server, err = keep(listener, serverFiles(cfg.Cert, cfg.Key), expires, cfg.Log, m); err != nil {
		return nil, err
	}
	if cfg.Pins == "" {
		return c, nil
	}
	if c.pins, err = keep(salesforce, pinFiles(cfg.Pins), (*Pins).Last, cfg.Log, m); err != nil {
		return nil, err
	}
	return c, nil
}

// TLS is for the listener. Each handshake takes the certificate that runs then. A client certificate is asked for and not
// demanded, since Twilio has none and comes to the same listener.
func (c *Certificates) TLS() *tls.Config {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.server.running.Load(), nil
		},
	}
	if c.pins != nil {
		config.ClientAuth = tls.RequestClientCert
		// A resumed session keeps the client certificate of its beginning, also none: for seven days in crypto/tls.
		config.SessionTicketsDisabled = true
	}
	return config
}

// Pinned tells whether a client certificate, of which the handshake has proven the key, is accepted now. It is nil when none is
// asked for.
func (c *Certificates) Pinned() func(*x509.Certificate) bool {
	if c.pins == nil {
		return nil
	}
	return func(leaf *x509.Certificate) bool { return c.pins.running.Load().Has(leaf) }
}

// Warnings are what an operator has to know.
func (c *Certificates) Warnings() []string {
	warnings := c.server.warning()
	if leaf := c.server.running.Load().Leaf; expired(leaf, time.Now()) {
		warnings = append(warnings, fmt.Sprintf("the certificate of the public listener expired on %s: Salesforce and Twilio refuse it", Day(leaf.NotAfter)))
	}
	if c.pins != nil {
		warnings = append(warnings, c.pins.warning()...)
	}
	return warnings
}

// Watch looks at the files again and again, and on every value of hup, until ctx ends.
func (c *Certificates) Watch(ctx context.Context, hup <-chan os.Signal) {
	ticker := time.NewTicker(c.every)
	defer ticker.Stop()
	for {
		insist := false
		select {
		case <-ctx.Done():
			return
		case <-hup:
			insist = true
		case <-ticker.C:
		}
		c.server.look(ctx, insist)
		if c.pins != nil {
			c.pins.look(ctx, insist)
		}
	}
}
