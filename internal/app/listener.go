package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// Time-outs of both listeners. A body of 16 MiB must arrive within readTimeout; Salesforce itself gives up after 60 s.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 60 * time.Second
	writeTimeout  = 90 * time.Second
	idleTimeout   = 120 * time.Second
	maxHeader     = 64 << 10
)

// listener is an HTTP server on an address that is known.
type listener struct {
	net.Listener

	server *http.Server
	secure bool // it speaks TLS
}

// newEcho makes an echo that writes nothing on its own and never redirects.
func newEcho() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	return e
}

// listen opens the address and serves on it beside the other work, with TLS when secure is not nil. The name is for errors.
func (a *App) listen(ctx context.Context, name, address string, handler http.Handler, secure *tls.Config) (*listener, error) {
	var config net.ListenConfig
	socket, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return a.serve(name, socket, handler, secure), nil
}

// serve serves on a socket that listens already; the socket is closed with the listener.
func (a *App) serve(name string, socket net.Listener, handler http.Handler, secure *tls.Config) *listener {
	l := &listener{Listener: socket, secure: secure != nil, server: &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, TLSConfig: secure,
		ErrorLog: slog.NewLogLogger(serverLog{a.log.With("part", name).Handler()}, slog.LevelWarn),
	}}
	serve := l.server.Serve
	if l.secure {
		serve = func(socket net.Listener) error { return l.server.ServeTLS(socket, "", "") }
	}
	a.work.Go(func() error {
		if err := serve(socket); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("the %s ended: serve on %s: %w", name, socket.Addr(), err)
		}
		return nil
	})
	return l
}

// url is how this machine reaches the listener.
func (l *listener) url() string {
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http://"
	if l.secure {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port)
}

// shutdown stops accepting and waits for requests in progress; at the end of ctx it cuts them off.
func (l *listener) shutdown(ctx context.Context) error {
	if err := l.server.Shutdown(ctx); err != nil {
		return errors.Join(err, l.server.Close())
	}
	return nil
}
