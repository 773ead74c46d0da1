package natsd_test

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/beckonhq/beckon/internal/embedded/natsd"
)

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// Three servers keep a stream together: what was confirmed is there when one of them is gone.
func TestClusterOutlivesAMember(t *testing.T) {
	t.Parallel()
	dir, token := t.TempDir(), "a-token"
	var clients, routes []string
	for range 3 {
		clients, routes = append(clients, free(t)), append(routes, free(t))
	}
	servers := make([]*natsd.Server, 3)
	var starting errgroup.Group
	for i := range servers {
		starting.Go(func() (err error) {
			name := fmt.Sprintf("node-%d", i)
			servers[i], err = natsd.Start(natsd.Config{Dir: filepath.Join(dir, name), Cluster: &natsd.Cluster{
				Name: name, Address: clients[i], Token: token, RouteAddress: routes[i], Routes: routes,
			}})
			return err
		})
	}
	require.NoError(t, starting.Wait())
	for _, server := range servers {
		t.Cleanup(server.Shutdown)
	}
	require.Equal(t, "nats://"+clients[0], servers[0].Address())
	conn, err := nats.Connect("nats://"+strings.Join(clients[1:], ",nats://"), nats.Token(token), nats.MaxReconnects(-1))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "NOTES", Subjects: []string{"notes.>"}, Replicas: 3})
		return err == nil
	}, time.Minute, 100*time.Millisecond)
	_, err = js.Publish(t.Context(), "notes.one", []byte("one"))
	require.NoError(t, err)
	servers[0].Shutdown()
	require.Eventually(t, func() bool {
		stream, err := js.Stream(t.Context(), "NOTES")
		return err == nil && stream.CachedInfo().State.Msgs == 1 && stream.CachedInfo().Cluster.Leader != ""
	}, time.Minute, 100*time.Millisecond)
}
