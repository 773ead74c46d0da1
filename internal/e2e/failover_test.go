package e2e_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/pgtest"
)

// A primary with a standby. Under load all sessions are ended three times, then the primary is killed and, later, the standby
// promoted. The door accepts all the time; what was acknowledged is decided once and sent once; nobody touches Beckon.
func TestPostgresFailsOver(t *testing.T) {
	t.Parallel()
	pair := pgtest.NewPair(t)
	h := newHouse(t)
	h.extra = []string{"BECKON_DATABASE_URL=" + pair.DSN()}
	s := h.serve(t, "", "ready")
	load := h.startLoad(t, 1, manyPeople)
	for range 3 {
		h.awaitSent(t, int(h.sim.Stats().Created)+20)
		pair.Primary.Exec(t, "beckon", `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'beckon'`)
	}
	h.awaitSent(t, int(h.sim.Stats().Created)+20)

	pair.Primary.Kill(t)
	load.awaitMore(t, 100)
	s.await(t, "degraded")
	requireReadyz(t, s, "", http.StatusOK)
	requireReadyz(t, s, "?role=ingest", http.StatusOK)
	for _, role := range []string{"router", "dispatcher"} {
		r, err := s.readyz("?role=" + role)
		require.NoError(t, err)
		require.Equal(t, http.StatusServiceUnavailable, r.code)
		require.Contains(t, r.Reason, "postgres: no Postgres server takes writes", "the standby answers, and is none")
	}

	pair.Promote(t)
	s.await(t, "ready")
	load.awaitMore(t, 20)
	people := load.finish(t)
	h.awaitAllTaken(t, people)
	require.Zero(t, s.metric(t, "beckon_router_deadletters_total"), "nothing is counted against a notification")
	require.Zero(t, s.metric(t, "beckon_dispatcher_deadletters_total"))
	require.Positive(t, s.metric(t, "beckon_router_waits_total"))
}
