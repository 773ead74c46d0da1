package app

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/stream"
)

// A server that refuses us is an error at the start, and not one to wait for; it names no password.
func TestStartSaysThatNATSRefuses(t *testing.T) {
	t.Parallel()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, Username: "beckon", Password: "right", NoSigs: true, NoLog: true,
	})
	require.NoError(t, err)
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	require.True(t, srv.ReadyForConnections(patience))
	for name, c := range map[string]struct {
		settings []string
		want     error
	}{
		"a wrong password":  {[]string{"BECKON_NATS_URL=nats://beckon:wrong@" + srv.Addr().String()}, stream.ErrRefused},
		"no server's TLS":   {[]string{"BECKON_NATS_URL=tls://beckon:right@" + srv.Addr().String()}, stream.ErrRefused},
		"a missing CA file": {[]string{"BECKON_NATS_URL=tls://127.0.0.1:1", "BECKON_NATS_CA=/nowhere.pem"}, ErrSetup},
	} {
		opts, _ := options(settings(t, c.settings...), config.RoleIngest)
		_, err := Start(t.Context(), opts)
		require.ErrorIs(t, err, c.want, name)
		require.NotContains(t, err.Error(), "wrong", name)
	}
}
