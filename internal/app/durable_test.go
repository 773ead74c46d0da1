package app

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/embedded/natsd"
	"github.com/beckonhq/beckon/internal/stream"
)

// A client can't read whether a server syncs: one of its own with one replica is a warning in log, metric and readiness,
// until its operator gives his word. The embedded one is known to sync.
func TestAStartWarnsWhenNATSIsNotKnownToSync(t *testing.T) {
	t.Parallel()
	server, err := natsd.Start(natsd.Config{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(server.Shutdown)
	cases := map[string]struct {
		env  []string
		warn bool
	}{
		"embedded":                     {nil, false},
		"a server of its own":          {[]string{"BECKON_NATS_URL=" + server.URL()}, true},
		"the operator declares it":     {[]string{"BECKON_NATS_URL=" + server.URL(), "BECKON_NATS_SYNC=always"}, false},
		"the operator does not know":   {[]string{"BECKON_NATS_URL=" + server.URL(), "BECKON_NATS_SYNC=unknown"}, true},
		"embedded, whatever is stated": {[]string{"BECKON_NATS_SYNC=unknown"}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, settings(t, c.env...), config.RoleIngest)
			h.healthy()
			_, metrics := h.get(h.AdminURL() + "/metrics")
			var ready readiness
			h.admin("/readyz", &ready)
			doubt := stream.SyncDoubt(1)
			if !c.warn {
				require.Contains(t, metrics, "beckon_nats_sync_unknown 0")
				require.Equal(t, statusReady, ready.Status)
				require.Empty(t, h.log.parts(t, doubt))
				return
			}
			require.Contains(t, metrics, "beckon_nats_sync_unknown 1")
			require.Equal(t, statusDegraded, ready.Status)
			require.Contains(t, ready.Warnings, doubt+"; "+stream.SyncAdvice)
			require.Len(t, h.log.parts(t, doubt), 1)
		})
	}
}

func TestThreeReplicasAreTakenAsSafe(t *testing.T) {
	t.Parallel()
	require.Empty(t, stream.SyncDoubt(3))
	require.Contains(t, stream.SyncDoubt(1), "1 of 3 replicas")
}
