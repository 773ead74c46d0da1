package e2e_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/embedded/postgres"
)

// servers are the NATS and Postgres that docker-compose.yml has.
type servers struct {
	natsAddress string
	natsDir     string
	postgresDir string
	postgres    *postgres.Server
}

func (s *servers) startNATS(t *testing.T) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	p := start(t, "nats-server", self, nil, serveNATS, s.natsAddress, s.natsDir)
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", s.natsAddress)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}, patience, tick)
	return p
}

func (s *servers) startPostgres(t *testing.T) {
	t.Helper()
	var err error
	s.postgres, err = postgres.Start(t.Context(), postgres.Config{Dir: s.postgresDir, NoFetch: true})
	require.NoError(t, err)
	t.Cleanup(func() { s.stopPostgres(t) })
}

func (s *servers) stopPostgres(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, s.postgres.Stop(ctx))
}

// The three roles as three processes on servers of their own, as docker-compose.yml runs them. Parts are away at the start,
// each is killed under load, and nothing is lost or sent twice.
func TestThreeRolesAsProcesses(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	world := &servers{
		natsAddress: freeAddress(t), natsDir: filepath.Join(h.dir, "nats"), postgresDir: filepath.Join(h.dir, "postgres"),
	}
	nats := world.startNATS(t)
	// The private server's address is known once it has run: then it is away.
	world.startPostgres(t)
	dsn := world.postgres.DSN()
	world.stopPostgres(t)
	h.extra = []string{
		"BECKON_NATS_URL=nats://" + natsUser + ":" + natsPassword + "@" + world.natsAddress, "BECKON_NATS_SYNC=always",
		"BECKON_DATABASE_URL=" + dsn,
	}

	// The door is open with nothing behind it.
	ingest := h.serve(t, "ingest", "ready")
	h.accept(t, won(deal{1, 1, 1}))
	router := h.serve(t, "router", "unavailable")
	requireReadyz(t, router, "?role=router", http.StatusServiceUnavailable)
	requireReadyz(t, router, "?role=ingest", http.StatusServiceUnavailable)
	requireReadyz(t, ingest, "?role=ingest", http.StatusOK)
	h.degraded(t)

	// The ledger comes.
	world.startPostgres(t)
	require.Equal(t, dsn, world.postgres.DSN())
	for range 2 {
		_, code := h.command(t, "migrate")
		require.Zero(t, code)
	}
	router.await(t, "ready")
	dispatcher := h.serve(t, "dispatcher", "ready")
	requireReadyz(t, dispatcher, "", http.StatusOK)
	h.awaitState(t, person(1), "delivered")

	// The belt goes: nothing is acknowledged, and all of it can be sent again.
	nats.kill(t)
	status, text := h.post(t, door, won(deal{2, 2, 2}))
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.NotContains(t, text, "<Ack>true")
	requireReadyz(t, ingest, "", http.StatusServiceUnavailable)
	nats = world.startNATS(t)
	ingest.await(t, "ready")
	h.accept(t, won(deal{2, 2, 2}))
	h.awaitState(t, person(2), "delivered")

	// Each role is killed while Salesforce goes on sending. What a killed process had fetched comes again after AckWait, a
	// minute later, so the one with the longest way behind it goes first.
	const people = 302
	salesforce := h.salesforce(t, 3, people)
	h.awaitSent(t, 40)
	dispatcher.kill(t)
	dispatcher = h.serve(t, "dispatcher", "ready")
	router.kill(t)
	router = h.serve(t, "router", "ready")
	ingest.kill(t)
	ingest = h.serve(t, "ingest", "ready")
	salesforce()
	h.awaitAllTaken(t, people)
	for _, p := range []*process{ingest.process, router.process, dispatcher.process, nats} {
		p.terminate(t)
	}
}

func requireReadyz(t *testing.T, s *serving, query string, code int) {
	t.Helper()
	r, err := s.readyz(query)
	require.NoError(t, err)
	require.Equal(t, code, r.code, "%s%s says %+v", s.name, query, r)
}

// degraded is a process whose door works and whose router can't: 200, since Salesforce loses nothing.
func (h *house) degraded(t *testing.T) {
	t.Helper()
	other := *h
	other.public = freeAddress(t)
	s := other.serve(t, "ingest,router", "degraded")
	requireReadyz(t, s, "", http.StatusOK)
	requireReadyz(t, s, "?role=ingest", http.StatusOK)
	requireReadyz(t, s, "?role=router", http.StatusServiceUnavailable)
	s.terminate(t)
}
