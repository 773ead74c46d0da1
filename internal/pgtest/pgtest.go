package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/embedded/postgres"
)

// startTimeout is how long the server may take to come up on a busy machine.
const startTimeout = 90 * time.Second

// maxSocketDir keeps <dir>/.s.PGSQL.5432 within the 104 bytes that macOS allows for a socket (Linux: 108).
const maxSocketDir = 85

// watch makes the cluster, starts the server, and waits on its standard input, a pipe that closes when the test binary
// ends. TERM before QUIT: a shell starts background programs with QUIT ignored, until the server sets its handler.
const watch = `
initdb=$1; postgres=$2; dir=$3; pid=
if "$initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$dir/log" 2>&1 </dev/null; then
	"$postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c port=5432 -c max_connections=200 \
		-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=64MB -c autovacuum_naptime=10min \
		-c wal_level=minimal -c max_wal_senders=0 -c max_wal_size=256MB -c jit=off >>"$dir/log" 2>&1 </dev/null &
	pid=$!
else
	: >"$dir/failed"
fi
read -r _
if [ -n "$pid" ]; then
	kill -TERM "$pid"
	kill -QUIT "$pid"
	wait "$pid"
fi
cd /
rm -rf "$dir"
`

// server is the one Postgres of this test binary.
type server struct {
	once  sync.Once
	dir   string
	err   error
	count atomic.Int64
	// pipe is kept open (and from the garbage collector) until the process ends: its end is the signal to clean up.
	pipe *os.File
}

//nolint:gochecknoglobals // one server for all tests of a binary is what this package is for
var shared server

// DSN makes a new, empty database and returns its URL, for example for pgxpool.New. The database is removed when the
// test and its sub-tests end, with force: a connection that is still open then is cut off. The test fails at once if
// Postgres is not installed or does not start.
func DSN(tb testing.TB) string {
	tb.Helper()
	shared.once.Do(shared.start)
	if shared.err != nil {
		tb.Fatalf("pgtest: %v", shared.err)
	}
	name := fmt.Sprintf("test_%d", shared.count.Add(1))
	// A test's own context is cancelled before its cleanups run, so the two statements get one that is not.
	if err := shared.exec("create database " + name + " template template0"); err != nil {
		tb.Fatalf("pgtest: create a database: %v\n%s", err, shared.log())
	}
	tb.Cleanup(func() {
		if err := shared.exec("drop database if exists " + name + " with (force)"); err != nil {
			tb.Errorf("pgtest: drop the database: %v", err)
		}
	})
	return shared.url(name)
}

// Copy makes a copy of a database as it is now, as a backup that is put back would be, and returns its URL. Connections to the
// original are cut off: what uses it has to connect again.
func Copy(tb testing.TB, dsn string) string {
	tb.Helper()
	original, err := url.Parse(dsn)
	if err != nil {
		tb.Fatalf("pgtest: read the URL: %v", err)
	}
	from := strings.TrimPrefix(original.Path, "/")
	name := fmt.Sprintf("test_%d", shared.count.Add(1))
	err = shared.exec("select pg_terminate_backend(pid) from pg_stat_activity where datname = '" + from + "'")
	if err == nil {
		err = shared.exec("create database " + name + " template " + from)
	}
	if err != nil {
		tb.Fatalf("pgtest: copy a database: %v", err)
	}
	tb.Cleanup(func() {
		if err := shared.exec("drop database if exists " + name + " with (force)"); err != nil {
			tb.Errorf("pgtest: drop the database: %v", err)
		}
	})
	return shared.url(name)
}

func (s *server) url(database string) string {
	query := url.Values{"host": {s.dir}, "sslmode": {"disable"}}
	return "postgres://postgres@/" + database + "?" + query.Encode()
}

func (s *server) log() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (s *server) exec(sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

func (s *server) start() {
	s.err = s.launch()
	if s.err == nil {
		s.err = s.await()
	}
}

// launch starts the shell that watches over the server.
func (s *server) launch() error {
	binaries, err := postgres.Find(context.Background(), "")
	if err != nil {
		return err
	}
	account, err := postgres.RunAs()
	if err != nil {
		return err
	}
	if s.dir, err = makeDir(account); err != nil {
		return err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make the pipe of the watching shell: %w", err)
	}
	defer read.Close() // the shell has its own copy
	s.pipe = write
	cmd := exec.CommandContext(context.Background(), "/bin/sh", "-c", watch, //nolint:gosec // our own script
		"pgtest", binaries.InitDB(), binaries.Postgres(), s.dir)
	cmd.Stdin = read
	cmd.Dir = s.dir
	// In a process group of its own, an interrupt from the terminal does not end the shell before it has cleaned up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	account.Use(cmd)
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start the watching shell: %w", err), os.RemoveAll(s.dir))
	}
	return nil
}

// makeDir makes a directory that only the server's account can enter, with a path short enough for a socket.
func makeDir(account *postgres.Account) (string, error) {
	parent := os.TempDir()
	if len(parent) > maxSocketDir-len("/beckon-pgtest-0123456789") {
		parent = "/tmp"
	}
	dir, err := os.MkdirTemp(parent, "beckon-pgtest-")
	if err != nil {
		return "", fmt.Errorf("make a directory for the server: %w", err)
	}
	if err := account.Own(dir); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// await connects until the server answers.
func (s *server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.url("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		if _, failed := os.Stat(filepath.Join(s.dir, "failed")); failed == nil {
			return fmt.Errorf("initdb failed:\n%s", s.log())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server did not start within %s: %w\n%s", startTimeout, err, s.log())
		case <-tick.C:
		}
	}
}
