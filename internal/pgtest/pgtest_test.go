package pgtest_test

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/beckonhq/beckon/internal/pgtest"
)

const childFlag = "-test.run=^TestChild$"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDatabasesAreApart(t *testing.T) {
	t.Parallel()
	first, second := pgtest.DSN(t), pgtest.DSN(t)
	require.NotEqual(t, first, second)
	for _, dsn := range []string{first, second} {
		conn, err := pgx.Connect(t.Context(), dsn)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), "create table notes (text text)")
		require.NoError(t, err, "the database is not empty")
		require.NoError(t, conn.Close(t.Context()))
	}
}

func TestDatabaseGoesWithItsTest(t *testing.T) { //nolint:tparallel // the outer test looks at what the inner one left
	t.Parallel()
	var dsn string
	t.Run("inner", func(t *testing.T) {
		dsn = pgtest.DSN(t)
		_, err := pgx.Connect(t.Context(), dsn) // left open on purpose
		require.NoError(t, err)
	})
	_, err := pgx.Connect(t.Context(), dsn)
	require.ErrorContains(t, err, "does not exist")
}

// TestChild is what TestServerGoesWhenTheTestIsKilled runs in a process of its own.
func TestChild(t *testing.T) {
	if !strings.Contains(strings.Join(os.Args, " "), childFlag) {
		t.Skip("only in a process of its own")
	}
	dsn := pgtest.DSN(t)
	_, err := os.Stdout.WriteString("DSN " + dsn + "\n")
	require.NoError(t, err)
	select {}
}

func TestServerGoesWhenTheTestIsKilled(t *testing.T) {
	t.Parallel()
	child := exec.CommandContext(t.Context(), os.Args[0], childFlag)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	var dsn string
	for lines := bufio.NewScanner(out); dsn == "" && lines.Scan(); {
		dsn = strings.TrimPrefix(lines.Text(), "DSN ")
	}
	config, err := pgx.ParseConfig(dsn)
	require.NoError(t, err)
	require.DirExists(t, config.Host)
	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait())
	require.Eventually(t, func() bool {
		_, err := os.Stat(config.Host)
		return os.IsNotExist(err)
	}, time.Minute, 20*time.Millisecond, "the server's directory is left behind")
}
