package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Config is what Start needs.
type Config struct {
	// Dir is the directory of the server, for example data/postgres. It is made when it is not there.
	Dir string
	// BinDir is the directory of the Postgres programs; empty means search, and fetch them if there are none.
	BinDir string
	// NoFetch forbids to fetch the programs from the network.
	NoFetch bool
	// Log hears about starts, stops and take-overs; nil drops that.
	Log *slog.Logger
}

// Server is a running Postgres server.
type Server struct {
	cmd      *exec.Cmd
	dsn      string
	socket   string
	logFile  string
	log      *slog.Logger
	done     chan struct{}
	exit     error // how the process ended, set before done is closed
	stopping atomic.Bool
}

// Start finds or fetches the programs, makes the cluster if there is none, stops a server that an earlier process left
// behind, and starts the server. It returns when the server answers a connection, which after a crash is when it has
// recovered; ctx bounds the wait. The error is a *NotFoundError, or wraps ErrUnreachable or ErrNotReady.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	run, dir, err := prepareDir(ctx, cfg.Dir)
	if err != nil {
		return nil, err
	}
	cluster := filepath.Join(dir, clusterName)
	bin, err := programs(ctx, cfg, run.account, dir)
	if err != nil {
		return nil, err
	}
	if version, err := madeBy(cluster); err != nil {
		return nil, err
	} else if version == 0 {
		cfg.Log.InfoContext(ctx, "making the private database", "dir", cluster, "postgres", bin.Version)
		if err := run.create(ctx, bin, dir); err != nil {
			return nil, err
		}
	}
	stopped, err := takeOver(ctx, cluster)
	if err != nil {
		return nil, err
	}
	if stopped {
		cfg.Log.WarnContext(ctx, "stopped a private Postgres that an earlier process left running", "dir", cluster)
	}
	return launch(ctx, run, bin, cluster, cfg.Log)
}

// prepareDir makes the directory and gives it to the account that Postgres runs as.
func prepareDir(ctx context.Context, dir string) (runner, string, error) {
	account, err := RunAs()
	if err != nil {
		return runner{}, "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return runner{}, "", fmt.Errorf("make directory of the private Postgres: %w", err)
	}
	// The real path is the one that the kernel shows as the working directory of a server.
	if dir, err = filepath.Abs(dir); err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return runner{}, "", fmt.Errorf("make directory of the private Postgres: %w", err)
	}
	if err := account.Own(dir); err != nil {
		return runner{}, "", err
	}
	run, err := runner{account: account}.reach(ctx, dir)
	return run, dir, err
}

// programs finds the Postgres programs that fit the cluster, or fetches some.
func programs(ctx context.Context, cfg Config, account *Account, dir string) (Binaries, error) {
	want, err := madeBy(filepath.Join(dir, clusterName))
	if err != nil {
		return Binaries{}, err
	}
	fetched := filepath.Join(dir, "binaries")
	missing := &NotFoundError{BinDir: cfg.BinDir}
	dirs := candidates(cfg.BinDir)
	if _, err := os.Stat(fetched); err == nil && cfg.BinDir == "" {
		dirs = append(dirs, filepath.Join(fetched, "bin"))
	}
	found, err := missing.find(ctx, dirs, want)
	if err == nil || cfg.NoFetch || cfg.BinDir != "" {
		return found, err
	}
	cfg.Log.InfoContext(ctx, "no Postgres on this machine, fetching one")
	if missing.Fetch = fetch(ctx, fetched, account); missing.Fetch != nil {
		return Binaries{}, missing
	}
	return missing.find(ctx, []string{filepath.Join(fetched, "bin")}, want)
}

// launch starts the server on a cluster that nobody else uses, and waits until it answers.
func launch(ctx context.Context, run runner, bin Binaries, cluster string, log *slog.Logger) (*Server, error) {
	password, err := readPassword(cluster)
	if err != nil {
		return nil, err
	}
	socket, err := socketDir(cluster, run.account)
	if err != nil {
		return nil, err
	}
	s := &Server{
		dsn: dsn(socket, password), socket: socket, log: log, done: make(chan struct{}),
		logFile: filepath.Join(filepath.Dir(cluster), "postgres.log"),
	}
	out, err := openLog(s.logFile)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(socket))
	}
	defer out.Close() // the server has its own copy
	// The server outlives ctx: it ends by Stop.
	s.cmd = run.command(context.WithoutCancel(ctx), syscall.SIGINT, bin.Postgres(), settings(cluster, socket)...)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	if err := s.spawn(); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrNotReady, err), os.RemoveAll(socket))
	}
	if err := s.await(ctx); err != nil {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), immediatePatience)
		defer cancel()
		return nil, errors.Join(err, s.Stop(stopCtx))
	}
	log.InfoContext(ctx, "private Postgres is ready", "dir", cluster, "postgres", bin.Version, "pid", s.cmd.Process.Pid)
	return s, nil
}

// settings are those of a small machine. What makes a commit durable (fsync, synchronous_commit, full_page_writes)
// stays on. The log says what went wrong, but quotes no statement and no row value.
func settings(cluster, socket string) []string {
	args := []string{"-D", cluster, "-k", socket}
	for _, setting := range []string{
		"listen_addresses=", "port=5432", "unix_socket_permissions=0700",
		"max_connections=100", "shared_buffers=128MB", "max_parallel_workers_per_gather=0", "jit=off",
		"fsync=on", "synchronous_commit=on", "full_page_writes=on", "wal_compression=on",
		"wal_level=minimal", "max_wal_senders=0", "max_wal_size=1GB", "min_wal_size=80MB",
		"password_encryption=scram-sha-256", "timezone=UTC", "log_timezone=UTC", "log_checkpoints=off",
		"log_error_verbosity=terse", "log_min_error_statement=panic", "log_parameter_max_length=0",
		"log_parameter_max_length_on_error=0",
	} {
		args = append(args, "-c", setting)
	}
	return args
}

// spawn starts the process on a thread that lives as long as it: on Linux the kernel signals the server when that
// thread ends, which is when this process ends in whatever way.
func (s *Server) spawn() error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is not used again
		err := s.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		s.exit = s.cmd.Wait()
		if !s.stopping.Load() {
			s.log.Error("the private Postgres has ended by itself", "log", s.logFile)
		}
		close(s.done)
	}()
	return <-started
}

// await connects until the server answers.
func (s *Server) await(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.dsn)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.done:
			return fmt.Errorf("%w: %w: %s", ErrNotReady, s.exit, s.lastLog())
		case <-ctx.Done():
			return fmt.Errorf("%w in time: %w: %s", ErrNotReady, ctx.Err(), s.lastLog())
		case <-tick.C:
		}
	}
}

// DSN is the URL of the database beckon over the Unix socket, with the password. It is a secret.
func (s *Server) DSN() string { return s.dsn }

// PID is the process id of the server.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Done is closed when the server has ended, by Stop or by itself.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err is nil while the server runs and after Stop. If the server ended by itself it wraps ErrExited.
func (s *Server) Err() error {
	select {
	case <-s.done:
	default:
		return nil
	}
	if s.stopping.Load() {
		return nil
	}
	return fmt.Errorf("%w (%w), see %s: %s", ErrExited, s.exit, s.logFile, s.lastLog())
}

// Stop ends all sessions, and the server with a checkpoint (fast shutdown). At the end of ctx it cuts that short; the
// next start then recovers from the write-ahead log, and nothing that was committed is lost. It may be called more than
// once.
func (s *Server) Stop(ctx context.Context) error {
	select {
	case <-s.done: // ended by itself: Err goes on saying so
		return s.clean()
	default:
	}
	s.stopping.Store(true)
	err := s.signal(syscall.SIGINT)
	select {
	case <-s.done:
		return s.clean()
	case <-ctx.Done():
	}
	err = errors.Join(err, s.signal(syscall.SIGQUIT))
	timer := time.NewTimer(immediatePatience)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
		err = errors.Join(err, s.signal(syscall.SIGKILL))
		<-s.done
	}
	return errors.Join(err, s.clean())
}

func (s *Server) signal(sig syscall.Signal) error {
	if err := s.cmd.Process.Signal(sig); err != nil && !isGone(err) {
		return fmt.Errorf("stop the private Postgres: %w", err)
	}
	return nil
}

func (s *Server) clean() error {
	if err := os.RemoveAll(s.socket); err != nil {
		return fmt.Errorf("remove directory of the socket: %w", err)
	}
	return nil
}

func (s *Server) lastLog() string {
	text, err := os.ReadFile(s.logFile)
	if err != nil {
		return err.Error()
	}
	return lastLines(text)
}

func dsn(socket, password string) string {
	address := url.URL{
		Scheme: "postgres", User: url.UserPassword("beckon", password), Path: "/beckon",
		RawQuery: url.Values{"host": {socket}, "sslmode": {"disable"}}.Encode(),
	}
	return address.String()
}

// openLog opens the log to append to, and moves it aside first when it has grown.
func openLog(path string) (*os.File, error) {
	const large = 8 << 20
	if info, err := os.Stat(path); err == nil && info.Size() > large {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, fmt.Errorf("move log of the private Postgres: %w", err)
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log of the private Postgres: %w", err)
	}
	return file, nil
}
