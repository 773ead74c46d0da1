package streamtest

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

const (
	maxPayload   = 8 << 20
	startTimeout = 20 * time.Second

	reconnectWait = 20 * time.Millisecond
)

// Start runs a server until the test ends and returns a connection to it.
func Start(tb testing.TB) *nats.Conn {
	tb.Helper()
	return StartServer(tb, tb.TempDir(), maxPayload).Connect(tb)
}

// Server is a running server that a test can stop and start again on its folder.
type Server struct {
	dir     string
	payload int32

	mu      sync.Mutex
	running *server.Server
}

// StartServer runs a server on a folder until the test ends.
func StartServer(tb testing.TB, dir string, payload int32) *Server {
	tb.Helper()
	s := &Server{dir: dir, payload: payload}
	s.start(tb)
	tb.Cleanup(s.Stop)
	return s
}

func (s *Server) start(tb testing.TB) {
	tb.Helper()
	srv, err := server.NewServer(&server.Options{
		ServerName: "streamtest", JetStream: true, StoreDir: s.dir, SyncAlways: true, DontListen: true,
		NoSigs: true, NoLog: true, MaxPayload: s.payload,
	})
	require.NoError(tb, err)
	go srv.Start()
	require.True(tb, srv.ReadyForConnections(startTimeout), "nats-server did not start")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = srv
}

// Stop shuts the server down and waits for it.
func (s *Server) Stop() {
	srv := s.current()
	srv.Shutdown()
	srv.WaitForShutdown()
}

func (s *Server) current() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// InProcessConn makes a Server usable with nats.InProcessServer, across restarts.
func (s *Server) InProcessConn() (net.Conn, error) { return s.current().InProcessConn() }

// Restart starts the server again on the same folder after a Stop. Connections made by Connect find it again.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	s.start(tb)
}

// Connect opens a connection in the process, which reconnects fast and for ever, until the test ends.
func (s *Server) Connect(tb testing.TB) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait), nats.ReconnectJitter(0, 0))
	require.NoError(tb, err)
	tb.Cleanup(nc.Close)
	return nc
}
