package app

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/config"
)

// Each role alone, and all together, start and say so. Ingest alone has no Postgres here.
func TestRolesStart(t *testing.T) {
	t.Parallel()
	for _, roles := range [][]string{
		{config.RoleIngest},
		{config.RoleRouter},
		{config.RoleDispatcher},
		{config.RoleIngest, config.RoleRouter},
		{config.RoleIngest, config.RoleDispatcher},
		{config.RoleRouter, config.RoleDispatcher},
		config.Roles(),
	} {
		t.Run(strings.Join(roles, ","), func(t *testing.T) {
			t.Parallel()
			cfg := settings(t)
			if len(roles) > 1 || roles[0] != config.RoleIngest {
				cfg = withPostgres(t)
			}
			h := start(t, cfg, roles...)
			h.healthy()
			var whole readiness
			require.Equal(t, http.StatusOK, h.admin("/readyz", &whole))
			require.Equal(t, statusReady, whole.Status)
			require.Empty(t, whole.Warnings)
			require.Len(t, whole.Roles, len(roles))
			for _, role := range config.Roles() {
				var one condition
				status := h.admin("/readyz?role="+role, &one)
				if slices.Contains(roles, role) {
					require.Equal(t, http.StatusOK, status, role)
					require.Equal(t, condition{Status: statusReady}, one)
					continue
				}
				require.Equal(t, http.StatusServiceUnavailable, status, role)
				require.Contains(t, one.Reason, role)
				require.NotContains(t, whole.Roles, role)
			}
			_, hasPostgres := whole.Dependencies["postgres"]
			require.Equal(t, h.has(config.RoleRouter, config.RoleDispatcher), hasPostgres)
			require.Equal(t, http.StatusOK, h.admin("/healthz", nil))
			if !h.has(config.RoleIngest) {
				require.Empty(t, h.URL())
				return
			}
			status, _ := h.get(h.URL() + "/salesforce/outbound-messages")
			require.Equal(t, http.StatusMethodNotAllowed, status, "the door is there")
			for _, private := range []string{"/metrics", "/readyz", "/healthz", "/api/v1/messages"} {
				status, _ := h.get(h.URL() + private)
				require.Equal(t, http.StatusNotFound, status, "%s is not for the public", private)
			}
		})
	}
}

// A door whose ledger is away still accepts: degraded, not unavailable.
func TestDegradedWhilePostgresIsAway(t *testing.T) {
	t.Parallel()
	h := start(t, settings(t), config.Roles()...)
	var whole readiness
	require.Equal(t, http.StatusOK, h.admin("/readyz", &whole))
	require.Equal(t, statusDegraded, whole.Status)
	require.Equal(t, statusUnavailable, whole.Dependencies["postgres"].Status)
	require.Equal(t, http.StatusOK, h.admin("/readyz?role="+config.RoleIngest, nil))
	for _, role := range []string{config.RoleRouter, config.RoleDispatcher} {
		var one condition
		require.Equal(t, http.StatusServiceUnavailable, h.admin("/readyz?role="+role, &one))
		require.NotEmpty(t, one.Reason)
	}
	var answer problem
	require.Equal(t, http.StatusServiceUnavailable, h.admin("/api/v1/messages", &answer))
	require.Contains(t, answer.Error, "starting")
	require.Equal(t, http.StatusServiceUnavailable, h.admin("/api/v1/trace/x", nil))
	require.NoError(t, h.stop(), "waiting for Postgres is no failure")
}

func TestWithoutPublicURLItWarns(t *testing.T) {
	t.Parallel()
	h := start(t, settings(t, "BECKON_PUBLIC_URL="), config.RoleIngest)
	var whole readiness
	require.Equal(t, http.StatusOK, h.admin("/readyz", &whole))
	require.Equal(t, statusDegraded, whole.Status)
	require.Len(t, whole.Warnings, 1)
	require.Contains(t, whole.Warnings[0], "BECKON_PUBLIC_URL")
}

// What a role needs and is not configured is named, all of it at once, before anything is opened.
func TestMissingSettingsAreNamed(t *testing.T) {
	t.Parallel()
	names := map[string][]string{
		config.RoleIngest:     {"BECKON_SALESFORCE_ORG_IDS", "TWILIO_AUTH_TOKEN"},
		config.RoleRouter:     {},
		config.RoleDispatcher: {"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_API_KEY", "TWILIO_MESSAGING_SERVICE_SID", "TWILIO_FROM"},
		"postman":             {`"postman"`, "ingest, router, dispatcher"},
	}
	for _, roles := range [][]string{
		{config.RoleIngest}, {config.RoleDispatcher}, config.Roles(), {"postman"}, {config.RoleIngest, "postman"},
	} {
		dir := t.TempDir()
		cfg, err := config.Load("", []string{"BECKON_DATA_DIR=" + dir + "/data"})
		require.NoError(t, err)
		opts, _ := options(cfg, roles...)
		_, err = Start(t.Context(), opts)
		var missing *config.MissingError
		require.ErrorAs(t, err, &missing)
		for _, role := range roles {
			for _, name := range names[role] {
				require.ErrorContains(t, err, name, "%v", roles)
			}
		}
		require.NoDirExists(t, dir+"/data")
	}
}
