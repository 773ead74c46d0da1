package app

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/twiliosim"
	"github.com/beckonhq/beckon/internal/twiliosim/twiliosimtest"
)

// The private Postgres dies: the door goes on, and the server comes back by itself.
func TestPrivatePostgresIsStartedAgain(t *testing.T) {
	t.Parallel()
	cfg := settings(t, "BECKON_DATABASE_URL=", "BECKON_TWILIO_API_URL="+twiliosimtest.NewServer(t, twiliosim.Config{}).URL)
	h := start(t, cfg, config.Roles()...)
	h.healthy()
	for range 2 {
		before := postmaster(t, cfg.DataDir)
		require.NoError(t, syscall.Kill(before, syscall.SIGQUIT))
		require.Eventually(t, func() bool {
			response, err := h.client.Get(h.URL() + "/salesforce/outbound-messages")
			require.NoError(t, err, "the door is open all the time")
			require.NoError(t, response.Body.Close())
			require.Equal(t, http.StatusMethodNotAllowed, response.StatusCode)
			now := postmaster(t, cfg.DataDir)
			return now != 0 && now != before
		}, patience, tick)
		h.healthy()
	}
}

// postmaster is the process id of the private server, 0 when there is none at the moment.
func postmaster(t *testing.T, dataDir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dataDir, "postgres", "*", "postmaster.pid"))
	require.NoError(t, err)
	if len(files) == 0 {
		return 0
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.SplitN(string(text), "\n", 2)[0])
	return pid
}
