package postgres

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
	"github.com/stretchr/testify/require"
)

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for out, want := range map[string]int{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": 15,
		"postgres (PostgreSQL) 17.0\n":                           17,
		"postgres (PostgreSQL) 18devel":                          18,
		"postgres (PostgreSQL) 9.6.24":                           9,
	} {
		got, err := parseVersion(out)
		require.NoError(t, err, out)
		require.Equal(t, want, got)
	}
	_, err := parseVersion("mysql 8")
	require.Error(t, err)
}

func TestNewestFirst(t *testing.T) {
	t.Parallel()
	dirs := []string{"/usr/lib/postgresql/9.6/bin", "/usr/lib/postgresql/17/bin", "/opt/homebrew/opt/postgresql@16/bin"}
	slices.SortFunc(dirs, newestFirst)
	require.Equal(t, []string{
		"/usr/lib/postgresql/17/bin", "/opt/homebrew/opt/postgresql@16/bin", "/usr/lib/postgresql/9.6/bin",
	}, dirs)
	for _, pattern := range installPlaces() {
		_, err := filepath.Match(pattern, "")
		require.NoError(t, err, pattern)
	}
}

// program writes a directory with an initdb and a postgres that answers version.
func program(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"
	for _, name := range []string{"initdb", "postgres"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700))
	}
	return dir
}

func TestFindTakesTheVersionOfTheCluster(t *testing.T) {
	t.Parallel()
	dirs := []string{program(t, "12.1"), program(t, "17.2"), program(t, "15.3")}
	found, err := (&NotFoundError{}).find(t.Context(), dirs, 0)
	require.NoError(t, err)
	require.Equal(t, Binaries{Dir: dirs[1], Version: 17}, found)
	found, err = (&NotFoundError{}).find(t.Context(), dirs, 15)
	require.NoError(t, err)
	require.Equal(t, dirs[2], found.Dir)
	_, err = Find(t.Context(), dirs[0])
	require.ErrorContains(t, err, "version 12, want 13 or newer")
}

func TestSocketDirOfSomebodyElseIsNotUsed(t *testing.T) {
	t.Parallel()
	cluster := t.TempDir()
	first, err := socketDir(cluster, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(first)) })
	require.NoError(t, os.WriteFile(filepath.Join(first, ".s.PGSQL.5432.lock"), nil, 0o600))
	again, err := socketDir(cluster, nil)
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.NoFileExists(t, filepath.Join(first, ".s.PGSQL.5432.lock"))

	require.NoError(t, os.Chmod(first, 0o777))
	other, err := socketDir(cluster, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(other)) })
	require.NotEqual(t, first, other)
}

func TestFetchSaysWhyNot(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	cfg := embeddedpostgres.DefaultConfig().BinaryRepositoryURL(server.URL)
	err := fetchWith(t.Context(), cfg, filepath.Join(t.TempDir(), "binaries"), nil)
	require.ErrorContains(t, err, "no version found")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, fetchWith(ctx, cfg, filepath.Join(t.TempDir(), "binaries"), nil), context.Canceled)
}
