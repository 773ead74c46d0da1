package app

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/config"
)

// ask sends a GET under a name, with what stands in Authorization, and returns status and challenge.
func (h *house) ask(path, host, authorization string) (int, string) {
	h.t.Helper()
	request, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.AdminURL()+path, nil)
	require.NoError(h.t, err)
	request.Host = host
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	res, err := h.client.Do(request)
	require.NoError(h.t, err)
	require.NoError(h.t, res.Body.Close())
	return res.StatusCode, res.Header.Get("WWW-Authenticate")
}

func TestTheAPIAsksForAToken(t *testing.T) {
	t.Parallel()
	first, second := strings.Repeat("a", 32), strings.Repeat("b", 32)
	h := start(t, withPostgres(t, "BECKON_API_TOKEN="+first+","+second), config.RoleRouter)
	h.healthy()
	paths := map[string]bool{} // every route of the listener is either open on purpose or guarded
	for _, route := range h.adminRoutes(t) {
		paths[strings.NewReplacer(":id", "x", ":sid", "x", ":n", "0").Replace(route)] = true
	}
	for _, open := range []string{"/healthz", "/readyz", "/metrics", "/api/v1/openapi.json"} {
		status, _ := h.ask(open, "", "")
		require.Equal(t, http.StatusOK, status, open)
		delete(paths, open)
	}
	require.Contains(t, paths, "/api/v1/conversations")
	require.Contains(t, paths, "/debug/pprof/heap")
	for path := range paths {
		status, challenge := h.ask(path, "", "")
		require.Equal(t, http.StatusUnauthorized, status, path)
		require.Equal(t, `Bearer realm="beckon"`, challenge)
	}
	const list = "/api/v1/conversations"
	for _, right := range []string{"Bearer " + first, "bearer " + second, "Bearer  " + first} {
		status, _ := h.ask(list, "beckon.internal", right)
		require.Equal(t, http.StatusOK, status, "under any name")
	}
	for _, wrong := range []string{"Bearer " + first + "a", "Bearer " + first[1:], "Bearer " + first + "," + second, "Bearer x"} {
		status, challenge := h.ask(list, "", wrong)
		require.Equal(t, http.StatusUnauthorized, status)
		require.Contains(t, challenge, "invalid_token")
	}
	for _, wrong := range []string{first, "Basic " + first, "Bearer", "Bearer "} {
		status, challenge := h.ask(list, "", wrong)
		require.Equal(t, http.StatusUnauthorized, status)
		require.NotContains(t, challenge, "invalid_token")
	}
	_, metrics := h.get(h.AdminURL() + "/metrics")
	require.Contains(t, metrics, `beckon_api_refused_total{reason="wrong_token"} 4`)
}

func TestWithoutATokenTheAPIIsForThisMachine(t *testing.T) {
	t.Parallel()
	h := start(t, withPostgres(t, "BECKON_ADMIN_ADDR=0.0.0.0:0"), config.RoleRouter)
	h.healthy()
	require.NotEmpty(t, h.log.parts(t, "BECKON_API_TOKEN is not set and the private listener is open to a network: the API and the profiles are refused there"))
	for host, want := range map[string]int{
		"": http.StatusOK, "localhost:1": http.StatusOK, "[::1]:1": http.StatusOK,
		"evil.example.com": http.StatusForbidden, "10.0.0.1:9090": http.StatusForbidden, "localhost.example.com": http.StatusForbidden,
	} {
		status, _ := h.ask("/api/v1/messages", host, "")
		require.Equal(t, want, status, host)
	}
	_, port, err := net.SplitHostPort(h.App.admin.Addr().String())
	require.NoError(t, err)
	for _, ip := range machineAddresses(t) {
		status, _ := h.get("http://" + net.JoinHostPort(ip, port) + "/api/v1/messages")
		require.Equal(t, http.StatusForbidden, status, "over a network")
		status, _ = h.get("http://" + net.JoinHostPort(ip, port) + "/healthz")
		require.Equal(t, http.StatusOK, status)
	}
}

// machineAddresses are the IPv4 addresses of this machine that are not loopback; perhaps none.
func machineAddresses(t *testing.T) []string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	require.NoError(t, err)
	var list []string
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			list = append(list, n.IP.String())
		}
	}
	return list
}

// adminRoutes lists the paths of GET of the private listener.
func (h *house) adminRoutes(t *testing.T) []string {
	t.Helper()
	e, ok := h.App.admin.server.Handler.(*echo.Echo)
	require.True(t, ok)
	var list []string
	for _, r := range e.Routes() {
		if r.Method == http.MethodGet {
			list = append(list, r.Path)
		}
	}
	return list
}
