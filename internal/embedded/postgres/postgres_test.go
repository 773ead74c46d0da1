package postgres_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/embedded/postgres"
)

// dataDir makes a directory that the server's account can reach; t.TempDir is below a directory of mode 0700 when the
// tests run as root.
func dataDir(t *testing.T, parent string) string {
	t.Helper()
	dir, err := os.MkdirTemp(parent, "beckon-test-") //nolint:usetesting // see above
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return filepath.Join(dir, "postgres")
}

func start(t *testing.T, dir string) *postgres.Server {
	t.Helper()
	srv, err := postgres.Start(t.Context(), postgres.Config{Dir: dir, NoFetch: true})
	require.NoError(t, err)
	t.Cleanup(func() { stop(t, srv) })
	return srv
}

func stop(t *testing.T, srv *postgres.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	require.NoError(t, srv.Stop(ctx))
}

func query[T any](t *testing.T, dsn, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	var value T
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&value))
	return value
}

func socketOf(t *testing.T, dsn string) string {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	require.NoError(t, err)
	return config.Host
}

func TestStartStopStart(t *testing.T) {
	t.Parallel()
	dir := dataDir(t, "")
	first := start(t, dir)
	for setting, want := range map[string]string{
		"listen_addresses": "", "synchronous_commit": "on", "fsync": "on", "data_checksums": "on",
		"server_encoding": "UTF8", "is_superuser": "off",
	} {
		require.Equal(t, want, query[string](t, first.DSN(), "select current_setting('"+setting+"')"), setting)
	}
	query[int](t, first.DSN(), "with made as (select 1) select 1")
	conn, err := pgx.Connect(t.Context(), first.DSN())
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "create table kept as select 42 as answer")
	require.NoError(t, err)

	_, err = pgx.Connect(t.Context(), strings.Replace(first.DSN(), "beckon:", "beckon:x", 1))
	require.ErrorContains(t, err, "password authentication failed")
	socket := socketOf(t, first.DSN())
	info, err := os.Stat(socket)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())

	stop(t, first) // also with a session open
	stop(t, first)
	<-first.Done()
	require.NoError(t, first.Err())
	require.NoDirExists(t, socket)

	second := start(t, dir)
	require.Equal(t, 42, query[int](t, second.DSN(), "select answer from kept"))
	require.Equal(t, socket, socketOf(t, second.DSN()))
}

func TestExitIsNoticed(t *testing.T) {
	t.Parallel()
	srv := start(t, dataDir(t, ""))
	require.NoError(t, srv.Err())
	require.NoError(t, syscall.Kill(srv.PID(), syscall.SIGQUIT))
	<-srv.Done()
	require.ErrorIs(t, srv.Err(), postgres.ErrExited)
}

func TestUnfinishedClusterIsMadeAnew(t *testing.T) {
	t.Parallel()
	dir := dataDir(t, "")
	half := filepath.Join(dir, "cluster.unfinished")
	require.NoError(t, os.MkdirAll(half, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(half, "PG_VERSION"), []byte("9\n"), 0o600))
	srv := start(t, dir)
	require.Equal(t, "beckon", query[string](t, srv.DSN(), "select current_user::text"))
	require.NoDirExists(t, half)
}

func TestForeignPIDFile(t *testing.T) {
	t.Parallel()
	dir := dataDir(t, "")
	stop(t, start(t, dir))
	// A live process of the server's own account that is no postgres: the case that Postgres itself cannot tell.
	account, err := postgres.RunAs()
	require.NoError(t, err)
	other := exec.CommandContext(t.Context(), "/bin/cat")
	account.Use(other)
	pipe, err := other.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, other.Start())
	file := filepath.Join(dir, "cluster", "postmaster.pid")
	text := fmt.Sprintf("%d\n%s\n1700000000\n5432\n\n\n  1 1\n", other.Process.Pid, filepath.Join(dir, "cluster"))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	require.NoError(t, account.Own(file))

	srv := start(t, dir)
	require.Equal(t, 1, query[int](t, srv.DSN(), "select 1"))
	require.NoError(t, pipe.Close())
	require.NoError(t, other.Wait(), "the other process was hit")
}

// TestChild is what the tests below run in a process of its own.
func TestChild(t *testing.T) {
	if flag.NArg() == 0 {
		t.Skip("only in a process of its own")
	}
	srv, err := postgres.Start(t.Context(), postgres.Config{Dir: flag.Arg(0), NoFetch: true})
	require.NoError(t, err)
	conn, err := pgx.Connect(t.Context(), srv.DSN())
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "create table kept as select 7 as answer")
	require.NoError(t, err)
	_, err = os.Stdout.WriteString("PID " + strconv.Itoa(srv.PID()) + "\n")
	require.NoError(t, err)
	select {}
}

// child starts a process with a server on dir, and returns it and the server's process id.
func child(t *testing.T, dir string) (*exec.Cmd, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "PID "); ok {
			pid, err := strconv.Atoi(text)
			require.NoError(t, err)
			return cmd, pid
		}
	}
	t.Fatal("the child did not start a server")
	return nil, 0
}

func TestKilledProcess(t *testing.T) {
	t.Parallel()
	dir := dataDir(t, "")
	cmd, orphan := child(t, dir)
	// Stopped, the server cannot follow the kernel's signal when its parent dies, and stays behind: the case of a dead
	// parent on a system without that signal. It goes on when it is told to, while the next start is under way.
	require.NoError(t, syscall.Kill(orphan, syscall.SIGSTOP))
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.NoError(t, syscall.Kill(orphan, 0), "the orphan is to be there still")
	resumed := time.AfterFunc(300*time.Millisecond, func() { _ = syscall.Kill(orphan, syscall.SIGCONT) })
	defer resumed.Stop()

	srv := start(t, dir)
	require.NotEqual(t, orphan, srv.PID())
	require.True(t, ended(orphan))
	require.Equal(t, 7, query[int](t, srv.DSN(), "select answer from kept"))
}

// ended says whether a process has ended; one that nobody has waited for yet has no working directory any more.
func ended(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	_, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	return runtime.GOOS == "linux" && err != nil
}

func TestOrphanEndsByItself(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a program that its parent has died")
	}
	dir := dataDir(t, "")
	cmd, orphan := child(t, dir)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.Eventually(t, func() bool { return ended(orphan) }, 30*time.Second, 20*time.Millisecond)
	start(t, dir) // and its stop removes what the killed process left
}

func TestKilledTogether(t *testing.T) {
	t.Parallel()
	dir := dataDir(t, "")
	cmd, server := child(t, dir)
	require.NoError(t, syscall.Kill(server, syscall.SIGKILL))
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.Equal(t, 7, query[int](t, start(t, dir).DSN(), "select answer from kept"))
}

func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	_, err := postgres.Start(t.Context(), postgres.Config{Dir: dataDir(t, ""), BinDir: "/nowhere"})
	var missing *postgres.NotFoundError
	require.ErrorAs(t, err, &missing)
	require.ErrorContains(t, err, "/nowhere: no program initdb")
	require.ErrorContains(t, err, "apt-get install postgresql")
	require.NotContains(t, err.Error(), "\n")

	dir := dataDir(t, "")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "cluster"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cluster", "PG_VERSION"), []byte("12\n"), 0o600))
	_, err = postgres.Start(t.Context(), postgres.Config{Dir: dir, NoFetch: true})
	require.ErrorContains(t, err, "but the data directory was made by version 12")
}

func TestBehindAClosedDirectory(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("an ordinary user's server runs as that user")
	}
	closed, err := os.MkdirTemp("", "beckon-closed-") //nolint:usetesting // exactly mode 0700, owned by root
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(closed)) })
	srv, err := postgres.Start(t.Context(), postgres.Config{Dir: filepath.Join(closed, "data", "postgres"), NoFetch: true})
	if err != nil { // where the capability cannot be given
		require.ErrorIs(t, err, postgres.ErrUnreachable)
		require.ErrorContains(t, err, closed+" on the way")
		return
	}
	t.Cleanup(func() { stop(t, srv) })
	require.Equal(t, 1, query[int](t, srv.DSN(), "select 1"))
	t.Log("the server runs with the capability to search directories")
}
