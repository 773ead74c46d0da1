package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/embedded/postgres"
)

const pairDatabase = "beckon"

// watchOne starts one server of a pair and waits, as watch does. Its pid is in the data directory's postmaster.pid.
const watchOne = `
postgres=$1; dir=$2
"$postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c port=5432 >>"$dir/log" 2>&1 </dev/null &
pid=$!
read -r _
kill -TERM "$pid" 2>/dev/null
kill -QUIT "$pid" 2>/dev/null
wait "$pid"
cd /
rm -rf "$dir"
`

// pairSettings are those of a server that may lose power, with what replication needs.
const pairSettings = `
max_connections = 100
shared_buffers = 32MB
jit = off
wal_level = replica
max_wal_senders = 4
max_wal_size = 256MB
hot_standby = on
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 100ms
`

// Pair is a primary and its standby, which follows it by streaming replication. Commits wait until both have them on disk
// (synchronous_commit), so that the standby can take over without a loss.
type Pair struct {
	Primary, Standby *Instance
}

// Instance is one server of a pair.
type Instance struct {
	binaries postgres.Binaries
	account  *postgres.Account
	dir      string
	pipe     *os.File // the end of it is the signal to end
	done     chan struct{}
}

// NewPair starts a primary with an empty database and a standby of it, until the test ends. The test is skipped when the
// program pg_basebackup is not installed.
func NewPair(tb testing.TB) *Pair {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	binaries, err := postgres.Find(ctx, "")
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	basebackup := filepath.Join(binaries.Dir, "pg_basebackup")
	if _, err := os.Stat(basebackup); err != nil {
		tb.Skipf("pgtest: no pg_basebackup in %s: install the client programs of Postgres", binaries.Dir)
	}
	primary, standby := newInstance(tb, binaries), newInstance(tb, binaries)
	primary.run(tb, ctx, binaries.InitDB(), "-D", primary.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	primary.configure(tb, pairSettings)
	primary.start(tb)
	primary.Exec(tb, "postgres", "create database "+pairDatabase)
	standby.run(tb, ctx, basebackup, "-h", primary.dir, "-U", "postgres", "-D", standby.data(), "-R", "-X", "stream", "-c", "fast", "--no-sync")
	standby.start(tb)
	p := &Pair{Primary: primary, Standby: standby}
	primary.Exec(tb, "postgres", "alter system set synchronous_standby_names = '*'")
	primary.Exec(tb, "postgres", "select pg_reload_conf()")
	p.await(tb, primary, "select count(*) = 1 from pg_stat_replication where state = 'streaming' and sync_state = 'sync'")
	return p
}

// DSN leads to both servers; a client takes the first one that answers.
func (p *Pair) DSN() string { return dsnOf(p.Primary.dir + "," + p.Standby.dir) }

// Promote makes the standby a primary that waits for no standby of its own, and returns when it takes writes.
func (p *Pair) Promote(tb testing.TB) {
	tb.Helper()
	p.Standby.Exec(tb, "postgres", "alter system reset synchronous_standby_names")
	p.Standby.Exec(tb, "postgres", "select pg_reload_conf(), pg_promote(true, 60)")
	p.await(tb, p.Standby, "select not pg_is_in_recovery()")
}

func (p *Pair) await(tb testing.TB, on *Instance, question string) {
	tb.Helper()
	deadline := time.Now().Add(startTimeout)
	for {
		var yes bool
		err := on.query(question, &yes)
		if err == nil && yes {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("pgtest: %s: %t, %v\n%s", question, yes, err, on.log())
		}
		<-time.After(20 * time.Millisecond)
	}
}

func newInstance(tb testing.TB, binaries postgres.Binaries) *Instance {
	tb.Helper()
	account, err := postgres.RunAs()
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	dir, err := makeDir(account)
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Errorf("pgtest: %v", err)
		}
	})
	return &Instance{binaries: binaries, account: account, dir: dir}
}

func (i *Instance) data() string { return filepath.Join(i.dir, "data") }

// DSN leads to this server alone.
func (i *Instance) DSN() string { return dsnOf(i.dir) }

func dsnOf(host string) string {
	query := url.Values{"host": {host}, "sslmode": {"disable"}}
	return "postgres://postgres@/" + pairDatabase + "?" + query.Encode()
}

func (i *Instance) run(tb testing.TB, ctx context.Context, name string, args ...string) { //nolint:revive // tb first, as everywhere here
	tb.Helper()
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // programs of Postgres, and our own arguments
	cmd.Dir = i.dir
	i.account.Use(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("pgtest: %s: %v\n%s", filepath.Base(name), err, out)
	}
}

func (i *Instance) configure(tb testing.TB, settings string) {
	tb.Helper()
	file, err := os.OpenFile(filepath.Join(i.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteString(settings)
	}
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	_ = file.Close()
}

// start runs the server and waits until it answers.
func (i *Instance) start(tb testing.TB) {
	tb.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	defer read.Close()                                                                                                  // the shell has its own copy
	cmd := exec.CommandContext(context.Background(), "/bin/sh", "-c", watchOne, "pgtest", i.binaries.Postgres(), i.dir) //nolint:gosec // our own script
	cmd.Stdin, cmd.Dir = read, i.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	i.account.Use(cmd)
	if err := cmd.Start(); err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	i.pipe, i.done = write, make(chan struct{})
	go func() {
		defer close(i.done)
		_ = cmd.Wait()
	}()
	tb.Cleanup(func() {
		_ = write.Close()
		<-i.done
	})
	deadline := time.Now().Add(startTimeout)
	for {
		var one int
		if err = i.query("select 1", &one); err == nil {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("pgtest: the server does not start: %v\n%s", err, i.log())
		}
		<-time.After(20 * time.Millisecond)
	}
}

// Kill is kill -9 of the server. Its sessions end when they notice that it is gone, which is at once.
func (i *Instance) Kill(tb testing.TB) {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(i.data(), "postmaster.pid"))
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	pid, err := strconv.Atoi(strings.SplitN(string(text), "\n", 2)[0])
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		tb.Fatalf("pgtest: kill the server: %v", err)
	}
}

// Exec runs one statement.
func (i *Instance) Exec(tb testing.TB, database, sql string) {
	tb.Helper()
	err := i.do(database, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql)
		return err
	})
	if err != nil {
		tb.Fatalf("pgtest: %s: %v\n%s", sql, err, i.log())
	}
}

func (i *Instance) query(sql string, target any) error {
	return i.do("postgres", func(ctx context.Context, conn *pgx.Conn) error { return conn.QueryRow(ctx, sql).Scan(target) })
}

func (i *Instance) do(database string, with func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	query := url.Values{"host": {i.dir}, "sslmode": {"disable"}}
	conn, err := pgx.Connect(ctx, "postgres://postgres@/"+database+"?"+query.Encode())
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx)
	return with(ctx, conn)
}

func (i *Instance) log() string {
	text, err := os.ReadFile(filepath.Join(i.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}
