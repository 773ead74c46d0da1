package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/stream/streamtest"
)

const serveNATS = "serve-nats" // first argument that makes the test binary a nats-server

// TestMain runs the tests, or, in a process that a test started, a nats-server.
func TestMain(m *testing.M) {
	if streamtest.RunNode() {
		return
	}
	if len(os.Args) == 4 && os.Args[1] == serveNATS {
		runNATS(os.Args[2], os.Args[3])
		return
	}
	defer func() {
		if built.dir != "" {
			_ = os.RemoveAll(built.dir)
		}
	}()
	m.Run()
}

// runNATS serves on an address until it is asked to end, with what deploy/nats.conf sets.
func runNATS(address, dir string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		panic(err)
	}
	number, err := net.LookupPort("tcp", port)
	if err != nil {
		panic(err)
	}
	srv, err := server.NewServer(&server.Options{
		ServerName: "e2e", Host: host, Port: number, Username: natsUser, Password: natsPassword, MaxPayload: 8 << 20,
		JetStream: true, StoreDir: dir, SyncAlways: true, NoSigs: true, DisableShortFirstPing: true,
	})
	if err != nil {
		panic(err)
	}
	srv.Start()
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	<-ended.Done()
	srv.Shutdown()
	srv.WaitForShutdown()
}

// built is one binary for all tests of a run.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// binary is the path of the program, built once.
func binary(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "beckon-e2e-binary-"); built.err != nil { //nolint:usetesting // it outlives the first test
			return
		}
		cmd := exec.CommandContext(context.Background(), "go", "build", "-o", built.dir, "./cmd/beckon")
		cmd.Dir = filepath.Join("..", "..")
		if text, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build the program: %w: %s", err, text)
		}
	})
	require.NoError(t, built.err)
	return filepath.Join(built.dir, "beckon")
}

// tempDir is a directory that Postgres's account can reach: t.TempDir is below one of mode 0700 when the tests run as root.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "beckon-e2e-") //nolint:usetesting // see above
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// freeAddress is an address of 127.0.0.1 that was free a moment ago. A process must know its own for BECKON_PUBLIC_URL.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// output keeps what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write adds to it.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// String is all so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// process is a running program.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   output
	ended chan struct{}
	err   error // set when ended is closed
}

// start runs a program in the background. It is killed at the end of the test when it still runs then.
func start(t *testing.T, name, path string, environ []string, args ...string) *process {
	t.Helper()
	p := &process{name: name, ended: make(chan struct{})}
	p.cmd = exec.CommandContext(context.Background(), path, args...)
	p.cmd.Env = environ
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		if p.running() {
			p.terminate(t)
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", p.name, p.log.String())
		}
	})
	return p
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// kill is kill -9.
func (p *process) kill(t *testing.T) {
	t.Helper()
	require.True(t, p.running(), "%s has ended by itself", p.name)
	require.NoError(t, p.cmd.Process.Kill())
	<-p.ended
}

// terminate asks the process to end, and demands that it does so in order.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(40 * time.Second):
		_ = p.cmd.Process.Kill()
		t.Errorf("%s does not end", p.name)
		return
	}
	if p.err != nil {
		t.Errorf("%s ended with %v", p.name, p.err)
	}
}
