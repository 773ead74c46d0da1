package twilio

import (
	"net"
	"net/http"
	"time"
)

// idleTimeout drops kept-alive connections before a load balancer's usual 60 s does: a request written to a
// connection that the other side has just closed has an unclear outcome.
const idleTimeout = 30 * time.Second

// newTransport makes the one transport of a Client. HTTP/1.1 only: a request then has its connection for itself, so
// that a socket's time-out speaks for one request.
func newTransport(cfg Config) *http.Transport {
	dialer := &net.Dialer{
		Timeout:   orDefault(cfg.DialTimeout, DefaultDialTimeout),
		KeepAlive: idleTimeout / 2,
		Control:   userTimeout(orDefault(cfg.SocketTimeout, DefaultSocketTimeout)),
	}
	idle := cfg.MaxIdleConnsPerHost
	if idle <= 0 {
		idle = DefaultMaxIdleConns
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                 cfg.Proxy,
		DialContext:           dialer.DialContext,
		TLSHandshakeTimeout:   orDefault(cfg.DialTimeout, DefaultDialTimeout),
		MaxIdleConns:          idle,
		MaxIdleConnsPerHost:   idle,
		IdleConnTimeout:       idleTimeout,
		ExpectContinueTimeout: time.Second,
		Protocols:             &protocols,
	}
}

func orDefault(d, fallback time.Duration) time.Duration {
	if d <= 0 {
		return fallback
	}
	return d
}
