package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/beckonhq/beckon/internal/certificates"
	"github.com/beckonhq/beckon/internal/config"
)

// loadCertificates reads those of the public listener, when it is to speak TLS.
func (a *App) loadCertificates(context.Context, context.Context) error {
	if a.cfg.HTTP.TLSCert == "" || !a.has(config.RoleIngest) {
		return nil
	}
	var err error
	a.certificates, err = certificates.New(certificates.Config{
		Cert: a.cfg.HTTP.TLSCert, Key: a.cfg.HTTP.TLSKey, Pins: a.cfg.Salesforce.ClientCerts, Every: a.opts.Look,
		Log: a.log.With("part", "certificates"), Metrics: a.registry,
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSetup, err)
	}
	return nil
}

// publicTLS is nil when a proxy in front ends TLS.
func (a *App) publicTLS() *tls.Config {
	if a.certificates == nil {
		return nil
	}
	return a.certificates.TLS()
}

// pinned is nil when no client certificate of Salesforce is asked for.
func (a *App) pinned() func(*x509.Certificate) bool {
	if a.certificates == nil {
		return nil
	}
	return a.certificates.Pinned()
}

// startReloads lets each part that reads files again know of a signal. One that still reads is told once more, not once for
// each signal.
func (a *App) startReloads(_, running context.Context) error {
	rules, certs := make(chan os.Signal, 1), make(chan os.Signal, 1)
	if a.policies != nil {
		a.work.Go(func() error { return a.policies.watch(running, rules) })
	}
	if a.certificates != nil {
		a.work.Go(func() error { a.certificates.Watch(running, certs); return nil })
	}
	a.work.Go(func() error {
		for {
			select {
			case <-running.Done():
				return nil
			case signal := <-a.opts.Reload:
				for _, part := range []chan<- os.Signal{rules, certs} {
					select {
					case part <- signal:
					default:
					}
				}
			}
		}
	})
	return nil
}

// serverLog takes what net/http says, as warnings but for handshakes: on a public port these fail all day, by scanners and by
// checks of load balancers that only connect.
type serverLog struct{ slog.Handler }

// Handle implements slog.Handler.
func (s serverLog) Handle(ctx context.Context, line slog.Record) error {
	if strings.Contains(line.Message, "TLS handshake error") {
		if line.Level = slog.LevelDebug; !s.Enabled(ctx, line.Level) {
			return nil
		}
	}
	return s.Handler.Handle(ctx, line)
}
