package natsd

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	// MaxPayload is the size in bytes of the largest message, the most that the NATS project advises.
	MaxPayload = 8 << 20
	// DefaultMaxStore is the most bytes of all streams together when Config.MaxStore is 0. It is there so that the
	// limits of the streams decide, and not three quarters of what was free on the disk at start, the server's own choice.
	DefaultMaxStore = 64 << 30

	maxMemory    = 64 << 20
	readyTimeout = 60 * time.Second
)

// Config is what Start needs.
type Config struct {
	// Dir is the directory of the store, for example data/nats. It is made when it is not there.
	Dir string
	// MaxStore is the most bytes on disk of all streams together; 0 means DefaultMaxStore.
	MaxStore int64
	// Log gets the server's log lines; nil drops them.
	Log *slog.Logger
	// Cluster makes it one of several servers; nil for a server of its own.
	Cluster *Cluster
}

// Server is a running NATS server. It is the same Server, at the same address, when it had to start its store again.
type Server struct {
	cfg   Config
	token string
	port  int

	mu      sync.RWMutex // held while the store is started again
	nats    *server.Server
	log     *bridge
	broken  atomic.Bool
	stop    context.CancelFunc
	watched chan struct{} // closed when watch has returned
}

// token is what clients have to show: a new one, or that of the cluster.
func (c Config) token() string {
	if c.Cluster != nil {
		return c.Cluster.Token
	}
	return rand.Text()
}

// Start opens the store and starts a server on a free port of 127.0.0.1. It returns when the server takes connections,
// which after a crash is when the streams are recovered. The error wraps ErrNotReady.
func Start(cfg Config) (*Server, error) {
	if cfg.MaxStore == 0 {
		cfg.MaxStore = DefaultMaxStore
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, token: cfg.token(), port: server.RANDOM_PORT, watched: make(chan struct{})}
	if err := s.launch(); err != nil {
		return nil, err
	}
	if addr, ok := s.nats.Addr().(*net.TCPAddr); ok {
		s.port = addr.Port
	}
	watching, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.watch(watching)
	return s, nil
}

// launch starts a server on the store.
func (s *Server) launch() error {
	opts := &server.Options{
		ServerName:             "beckon",
		Host:                   "127.0.0.1",
		Port:                   s.port,
		Authorization:          s.token,
		MaxPayload:             MaxPayload,
		JetStream:              true,
		StoreDir:               s.cfg.Dir,
		SyncAlways:             true,
		JetStreamMaxMemory:     maxMemory,
		JetStreamMaxStore:      s.cfg.MaxStore,
		NoSigs:                 true,
		DisableShortFirstPing:  true,
		DisableJetStreamBanner: true,
	}
	if err := s.cfg.Cluster.apply(opts); err != nil {
		return err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	log := newBridge(s.cfg.Log)
	srv.SetLoggerV2(log, false, false, false)
	srv.Start()
	// Start returns early when it cannot open the store: waiting then would only delay the answer.
	if log.failed() || !srv.ReadyForConnections(readyTimeout) || !srv.JetStreamEnabled() {
		srv.Shutdown()
		srv.WaitForShutdown()
		return fmt.Errorf("%w on %s: %s", ErrNotReady, s.cfg.Dir, log.reason())
	}
	s.nats, s.log = srv, log
	return nil
}

// Conn makes a connection to the server inside the process, without the network. The caller closes it.
func (s *Server) Conn(opts ...nats.Option) (*nats.Conn, error) {
	opts = append([]nats.Option{nats.InProcessServer(s), nats.Token(s.token), nats.MaxReconnects(-1)}, opts...)
	conn, err := nats.Connect("", opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded NATS: %w", err)
	}
	return conn, nil
}

// InProcessConn is how a connection reaches the server that runs now.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.nats.InProcessConn() //nolint:wrapcheck // for nats.go, which tells it on
}

// URL is the loopback address with the token, for a connection from another process. It is a secret.
func (s *Server) URL() string {
	address := url.URL{Scheme: "nats", User: url.User(s.token), Host: s.host()}
	return address.String()
}

// Address is the loopback address without the token, for example nats://127.0.0.1:40001.
func (s *Server) Address() string { return "nats://" + s.host() }

// Token is what a connection to Address has to show. It is a secret, and new at each start.
func (s *Server) Token() string { return s.token }

// Healthy is nil as long as the server runs and JetStream stores; else ErrNotReady or ErrJetStreamOff.
func (s *Server) Healthy() error {
	if s.broken.Load() {
		return ErrJetStreamOff
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case !s.nats.Running():
		return ErrNotReady
	case !s.nats.JetStreamEnabled():
		return ErrJetStreamOff
	}
	return nil
}

// Shutdown closes all connections and the store, and returns when that is done. It may be called more than once.
func (s *Server) Shutdown() {
	s.stop()
	<-s.watched
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
}

func (s *Server) host() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }
