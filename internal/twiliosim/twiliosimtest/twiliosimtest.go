// Package twiliosimtest starts a Twilio simulator on a loopback port for the length of a Go test. It takes a
// twiliosim.Config, fills in an account if there is none, and closes everything when the test ends. It fails by
// failing the test; the tests of internal/twilio and internal/twiliosim use it throughout.
package twiliosimtest

import (
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/twilio"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

// The account that NewServer uses when the Config names none.
const (
	AccountSID = "AC00000000000000000000000000000001"
	AuthToken  = "token_with-punctuation!" //nolint:gosec // a made-up token of a simulated account
)

// Server is a running simulator.
type Server struct {
	*twiliosim.Simulator
	URL        string // base URL of the API
	AccountSID string
	AuthToken  string
	HTTP       *httptest.Server
}

// NewServer starts a simulator that ends with the test.
func NewServer(tb testing.TB, cfg twiliosim.Config) *Server {
	tb.Helper()
	if cfg.AccountSID == "" {
		cfg.AccountSID, cfg.AuthToken = AccountSID, AuthToken
	}
	sim, err := twiliosim.New(cfg)
	require.NoError(tb, err)
	server := httptest.NewServer(sim)
	tb.Cleanup(func() {
		sim.Close() // first: it lets go of the calls that hang, for which the server would wait
		server.Close()
	})
	return &Server{Simulator: sim, URL: server.URL, AccountSID: cfg.AccountSID, AuthToken: cfg.AuthToken, HTTP: server}
}

// Config is the configuration of a client for this server.
func (s *Server) Config() twilio.Config {
	return twilio.Config{AccountSID: s.AccountSID, AuthToken: s.AuthToken, BaseURL: s.URL}
}

// Client makes a client for this server that is closed with the test.
func (s *Server) Client(tb testing.TB) *twilio.Client {
	tb.Helper()
	client := twilio.New(s.Config())
	tb.Cleanup(client.Close)
	return client
}
