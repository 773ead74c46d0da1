package e2e_test

import (
	"bufio"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/pgtest"
	"github.com/beckonhq/beckon/internal/stream/streamtest"
)

const manyPeople = 100_000

// Three nats-servers, two routers and three dispatchers. The leader of NOTIFICATIONS is killed under load, then the next one,
// so that no majority is left, and one of them comes back. What was acknowledged is decided once and sent once; what could not
// be stored was not acknowledged; nobody has to do anything.
func TestNATSClusterLosesNodes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	nats := streamtest.StartCluster(t)
	h.extra = []string{
		"BECKON_NATS_URL=" + nats.URL(), "BECKON_NATS_REPLICAS=3", "BECKON_DATABASE_URL=" + pgtest.DSN(t), "BECKON_CONFIRM_TIMEOUT=3s",
	}
	ingest := h.serve(t, "ingest", "ready")
	routers := []*serving{h.serve(t, "router", "ready"), h.serve(t, "router", "ready")}
	all := append(slices.Clone(routers), ingest)
	for range 3 {
		all = append(all, h.serve(t, "dispatcher", "ready"))
	}
	load := h.startLoad(t, 2, manyPeople)
	load.awaitMore(t, 50)

	first := nats.Leader(t, "NOTIFICATIONS")
	nats.Kill(t, first)
	load.awaitMore(t, 100)
	h.awaitSent(t, int(h.sim.Stats().Created)+50)
	for _, s := range all {
		s.await(t, "ready")
	}

	nats.Kill(t, nats.Leader(t, "NOTIFICATIONS"))
	h.refused(t, won(deal{1, 1, 1}))
	acked := load.acked() // the door gives up after three seconds: no answer from before is under way
	h.refused(t, won(deal{1, 1, 1}))
	require.Equal(t, acked, load.acked(), "nothing is acknowledged without a majority")
	for _, s := range all {
		s.await(t, "unavailable")
	}
	requireReadyz(t, ingest, "?role=ingest", http.StatusServiceUnavailable)

	nats.Start(t, first)
	load.awaitMore(t, 50)
	h.accept(t, won(deal{1, 1, 1}))
	for _, s := range all {
		s.await(t, "ready")
	}
	people := load.finish(t)
	h.awaitAllTaken(t, people)
	decided := 0
	for _, router := range routers {
		decided += router.metric(t, `beckon_notifications_total{outcome="matched"}`)
		require.Zero(t, router.metric(t, "beckon_router_deadletters_total"))
	}
	require.Equal(t, people, decided, "each notification is decided once")
	t.Logf("%d people, the routers decided %d", people, decided)
}

// refused posts an envelope that must not be acknowledged, since it can't be stored.
func (h *house) refused(t *testing.T, body []byte) {
	t.Helper()
	status, text := h.post(t, door, body)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.NotContains(t, text, "<Ack>true")
}

// metric reads one value; a metric that is not there is 0.
func (s *serving) metric(t *testing.T, name string) int {
	t.Helper()
	response, err := http.Get("http://" + s.admin + "/metrics")
	require.NoError(t, err)
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if text, found := strings.CutPrefix(lines.Text(), name+" "); found {
			value, err := strconv.ParseFloat(text, 64)
			require.NoError(t, err)
			return int(value)
		}
	}
	require.NoError(t, lines.Err())
	return 0
}
