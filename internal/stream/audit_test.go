package stream

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/embedded/natsd"
)

// An auditor sees every envelope, also compressed ones, and how far the consumers have come, and takes nothing away.
func TestAuditorReadsWhatIsThere(t *testing.T) {
	t.Parallel()
	server, err := natsd.Start(natsd.Config{Dir: filepath.Join(t.TempDir(), "nats")})
	require.NoError(t, err)
	t.Cleanup(server.Shutdown)
	conn, err := server.Conn()
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	c := open(t, conn, Options{})
	auditor, err := OpenAuditor(server.URL())
	require.NoError(t, err)
	t.Cleanup(auditor.Close)

	read := func() (bodies [][]byte) {
		require.NoError(t, auditor.Envelopes(t.Context(), func(body []byte) error {
			bodies = append(bodies, bytes.Clone(body))
			return nil
		}))
		return bodies
	}
	require.Empty(t, read())
	large := bytes.Repeat([]byte("large "), compressAbove)
	require.NoError(t, c.PublishNotification(t.Context(), envelope("one"), []byte("small")))
	require.NoError(t, c.PublishNotification(t.Context(), envelope("two"), large))
	for range 2 {
		require.Equal(t, [][]byte{[]byte("small"), large}, read())
	}

	streams, consumers, err := auditor.State(t.Context())
	require.NoError(t, err)
	require.Equal(t, Holding{Name: Notifications, Messages: 2, First: 1, Last: 2}, streams[0])
	require.Equal(t, ConsumerState{Name: Router, Stream: Notifications, Waiting: 2}, consumers[0])

	deliveries, err := c.Consumer(Router).Fetch(t.Context(), 1)
	require.NoError(t, err)
	require.Len(t, deliveries, 1)
	_, consumers, err = auditor.State(t.Context())
	require.NoError(t, err)
	require.Equal(t, ConsumerState{Name: Router, Stream: Notifications, Waiting: 1, Unfinished: 1}, consumers[0])
}
