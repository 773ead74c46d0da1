package deploy_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/stream/streamtest"
)

// clusterOptions reads nats-cluster.conf for one of the servers, with the certificates of a directory.
func clusterOptions(t *testing.T, name, certificates string) *server.Options {
	t.Helper()
	t.Setenv("NATS_NAME", name)
	t.Setenv("NATS_PASSWORD", "secret")
	text, err := os.ReadFile("nats-cluster.conf")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(text), "/etc/nats/", certificates+"/")), 0o600))
	opts, err := server.ProcessConfigFile(path)
	require.NoError(t, err)
	return opts
}

// The example, on three servers of this machine: they find each other, demand certificate and password, and keep Beckon's
// streams three times.
func TestNATSClusterConfiguration(t *testing.T) {
	authority := streamtest.NewAuthority(t)
	authority.Issue(t, "server")
	authority.Issue(t, "beckon")
	routes := streamtest.NewAuthority(t)
	routes.Issue(t, "route")
	certificates := t.TempDir()
	for name, path := range map[string]string{
		"ca.pem": authority.Path("ca.pem"), "server.pem": authority.Path("server.pem"), "server.key": authority.Path("server.key"),
		"route-ca.pem": routes.Path("ca.pem"), "route.pem": routes.Path("route.pem"), "route.key": routes.Path("route.key"),
	} {
		require.NoError(t, os.Symlink(path, filepath.Join(certificates, name)))
	}
	var first *server.Server
	ports := streamtest.FreePorts(t, 3)
	for i, name := range []string{"nats-1", "nats-2", "nats-3"} {
		opts := clusterOptions(t, name, certificates)
		require.Equal(t, name, opts.ServerName)
		require.True(t, opts.SyncAlways, "what is confirmed must be on the disk")
		require.Equal(t, int32(8<<20), opts.MaxPayload)
		require.Equal(t, "/data", opts.StoreDir)
		require.Equal(t, "127.0.0.1", opts.HTTPHost)
		require.Len(t, opts.Routes, 3)

		opts.Host, opts.Port, opts.HTTPPort, opts.Cluster.Host, opts.Cluster.Port = "127.0.0.1", server.RANDOM_PORT, 0, "127.0.0.1", ports[i]
		opts.StoreDir, opts.NoLog, opts.NoSigs = t.TempDir(), true, true
		for k, route := range opts.Routes {
			route.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[k]))
		}
		s, err := server.NewServer(opts)
		require.NoError(t, err)
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		if first == nil {
			first = s
		}
	}
	require.True(t, first.ReadyForConnections(time.Minute))
	good := stream.Target{
		URL: "tls://beckon:secret@" + first.Addr().String(), CA: authority.Path("ca.pem"),
		Cert: authority.Path("beckon.pem"), Key: authority.Path("beckon.key"),
	}
	conn, err := stream.Connect(good)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		client, err := stream.Open(ctx, conn, stream.Options{Replicas: 3})
		if err == nil {
			client.Close()
		}
		return err == nil
	}, time.Minute, 50*time.Millisecond)

	wrong := good
	wrong.URL = "tls://beckon:wrong@" + first.Addr().String()
	_, err = stream.Connect(wrong)
	require.ErrorIs(t, err, stream.ErrRefused)
	wrong = good
	wrong.Cert, wrong.Key = "", ""
	_, err = stream.Connect(wrong)
	require.Error(t, err, "a certificate is demanded")
}
