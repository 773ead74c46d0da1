package deploy_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"
)

// natsOptions reads nats.conf with the password as docker-compose.yml hands it over.
func natsOptions(t *testing.T, password string) *server.Options {
	t.Helper()
	var file struct {
		Services struct {
			NATS struct {
				Environment map[string]string `yaml:"environment"`
			} `yaml:"nats"`
		} `yaml:"services"`
	}
	text, _ := interpolate(read(t, "docker-compose.yml"), map[string]string{"NATS_PASSWORD": password})
	require.NoError(t, yaml.Unmarshal([]byte(text), &file))
	for name, value := range file.Services.NATS.Environment {
		t.Setenv(name, value)
	}
	opts, err := server.ProcessConfigFile("nats.conf")
	require.NoError(t, err)
	return opts
}

func TestNATSConfiguration(t *testing.T) {
	opts := natsOptions(t, "secret")
	require.True(t, opts.JetStream)
	require.True(t, opts.SyncAlways, "what is confirmed must be on the disk")
	require.Equal(t, int32(8<<20), opts.MaxPayload)
	require.Equal(t, "/data", opts.StoreDir, "where docker-compose.yml mounts the volume")
	require.Equal(t, int64(64<<30), opts.JetStreamMaxStore)
	require.Equal(t, 4222, opts.Port)
	require.Equal(t, 8222, opts.HTTPPort)
	require.Empty(t, opts.Cluster.Name)
}

func TestNATSDemandsThePassword(t *testing.T) {
	for _, password := range []string{"letters", "12e4", "00123", "true", "5k"} {
		t.Run(password, func(t *testing.T) {
			opts := natsOptions(t, password)
			require.Equal(t, "beckon", opts.Username)
			require.Equal(t, password, opts.Password)

			opts.Host, opts.Port, opts.HTTPPort, opts.HTTPHost = "127.0.0.1", server.RANDOM_PORT, 0, ""
			opts.StoreDir, opts.NoLog, opts.NoSigs = t.TempDir(), true, true
			s, err := server.NewServer(opts)
			require.NoError(t, err)
			s.Start()
			t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
			require.True(t, s.ReadyForConnections(10*time.Second))

			_, err = nats.Connect(s.ClientURL())
			require.ErrorIs(t, err, nats.ErrAuthorization)
			c, err := nats.Connect(s.ClientURL(), nats.UserInfo("beckon", password))
			require.NoError(t, err)
			c.Close()
		})
	}
}
