package natsd_test

import (
	"bufio"
	"bytes"
	"flag"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/embedded/natsd"
)

func start(t *testing.T, dir string) *natsd.Server {
	t.Helper()
	srv, err := natsd.Start(natsd.Config{Dir: dir})
	require.NoError(t, err)
	t.Cleanup(srv.Shutdown)
	return srv
}

func stream(t *testing.T, conn *nats.Conn) (jetstream.JetStream, jetstream.Stream) {
	t.Helper()
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	s, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{
		Name: "NOTES", Subjects: []string{"notes.>"}, MaxBytes: 10 << 30, Storage: jetstream.FileStorage,
	})
	require.NoError(t, err)
	return js, s
}

func connect(t *testing.T, srv *natsd.Server) *nats.Conn {
	t.Helper()
	conn, err := srv.Conn()
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	return conn
}

func TestRestartKeepsMessages(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "nats")
	first := start(t, dir)
	conn := connect(t, first)
	require.EqualValues(t, natsd.MaxPayload, conn.MaxPayload())
	js, _ := stream(t, conn)
	_, err := js.Publish(t.Context(), "notes.one", make([]byte, 2<<20))
	require.NoError(t, err)
	require.NoError(t, first.Healthy())
	first.Shutdown()
	first.Shutdown()
	require.ErrorIs(t, first.Healthy(), natsd.ErrNotReady)

	_, kept := stream(t, connect(t, start(t, dir)))
	msg, err := kept.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	require.Len(t, msg.Data, 2<<20)
}

// TestChild is what TestKillKeepsConfirmedMessages runs in a process of its own.
func TestChild(t *testing.T) {
	if flag.NArg() == 0 {
		t.Skip("only in a process of its own")
	}
	js, _ := stream(t, connect(t, start(t, flag.Arg(0))))
	for range 10 {
		_, err := js.Publish(t.Context(), "notes.killed", []byte("kept"))
		require.NoError(t, err)
	}
	_, err := os.Stdout.WriteString("confirmed\n")
	require.NoError(t, err)
	select {}
}

func TestKillKeepsConfirmedMessages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", dir)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	require.Equal(t, "confirmed", lines.Text())
	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait())

	_, kept := stream(t, connect(t, start(t, dir)))
	msg, err := kept.GetMsg(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, "kept", string(msg.Data))
}

func TestListensOnLoopbackWithToken(t *testing.T) {
	t.Parallel()
	srv := start(t, t.TempDir())
	require.True(t, strings.HasPrefix(srv.Address(), "nats://127.0.0.1:"), srv.Address())

	conn, err := nats.Connect(srv.URL())
	require.NoError(t, err)
	conn.Close()
	conn, err = nats.Connect(srv.Address(), nats.Token(srv.Token()))
	require.NoError(t, err)
	conn.Close()
	_, err = nats.Connect(srv.Address())
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

func TestStartSaysWhyNot(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := natsd.Start(natsd.Config{Dir: filepath.Join(file, "nats")})
	require.ErrorIs(t, err, natsd.ErrNotReady)
	require.ErrorContains(t, err, "not a directory")
}

func TestLogHoldsNoToken(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	srv, err := natsd.Start(natsd.Config{Dir: t.TempDir(), Log: log})
	require.NoError(t, err)
	srv.Shutdown()
	require.Contains(t, out.String(), "level=DEBUG")
	require.NotContains(t, out.String(), "level=ERROR")
	require.NotContains(t, out.String(), srv.Token())
}
