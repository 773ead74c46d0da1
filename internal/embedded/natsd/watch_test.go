package natsd

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// After a write that failed the store is started again: at the same address, with what it held, and for connections that were
// there before. The failing write itself, with a disk that is full, is in internal/e2e.
func TestStoreStartsAgain(t *testing.T) {
	t.Parallel()
	srv, err := Start(Config{Dir: filepath.Join(t.TempDir(), "nats")})
	require.NoError(t, err)
	t.Cleanup(srv.Shutdown)
	conn, err := srv.Conn()
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "NOTES", Subjects: []string{"notes.>"}})
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "notes.one", nil)
	require.NoError(t, err)

	url, first := srv.URL(), srv.nats
	srv.log.Errorf("Filestore [%s] Critical write error: %v", "NOTES", "no space left on device")
	require.Eventually(t, srv.broken.Load, 10*time.Second, time.Millisecond)
	require.ErrorIs(t, srv.Healthy(), ErrJetStreamOff)
	require.Eventually(t, func() bool { return srv.Healthy() == nil }, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, url, srv.URL())
	srv.mu.RLock()
	require.NotSame(t, first, srv.nats)
	srv.mu.RUnlock()
	require.Eventually(t, func() bool {
		ack, err := js.Publish(t.Context(), "notes.two", nil)
		return err == nil && ack.Sequence >= 2
	}, 30*time.Second, 10*time.Millisecond)
}

func TestRoom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, room(dir))
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Empty(t, left)
	require.Error(t, room(filepath.Join(dir, "away")))
}
