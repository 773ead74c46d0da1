package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/stream/streamtest"
)

// listening runs a nats-server on a port of this machine until the test ends.
func listening(t *testing.T, opts *server.Options) *server.Server {
	t.Helper()
	opts.ServerName, opts.Host, opts.JetStream, opts.StoreDir = "connect", "127.0.0.1", true, t.TempDir()
	opts.NoSigs, opts.NoLog, opts.SyncAlways, opts.MaxPayload = true, true, true, 8<<20
	if opts.Port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	srv, err := server.NewServer(opts)
	require.NoError(t, err)
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	require.True(t, srv.ReadyForConnections(20*time.Second))
	return srv
}

// tlsServer demands a certificate of the authority from its clients.
func tlsServer(t *testing.T, a *streamtest.Authority) *server.Server {
	t.Helper()
	a.Issue(t, "server")
	pair, err := tls.LoadX509KeyPair(a.Path("server.pem"), a.Path("server.key"))
	require.NoError(t, err)
	authority, err := os.ReadFile(a.Path("ca.pem"))
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(authority))
	return listening(t, &server.Options{
		TLS: true, TLSVerify: true, TLSTimeout: 10,
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
		},
	})
}

func TestConnectWithCertificates(t *testing.T) {
	t.Parallel()
	ours, others := streamtest.NewAuthority(t), streamtest.NewAuthority(t)
	srv := tlsServer(t, ours)
	ours.Issue(t, "client")
	others.Issue(t, "client")
	host := srv.Addr().String()
	good := Target{URL: "tls://" + host, CA: ours.Path("ca.pem"), Cert: ours.Path("client.pem"), Key: ours.Path("client.key")}

	for _, scheme := range []string{"tls://", "nats://"} {
		target := good
		target.URL = scheme + host
		conn, err := Connect(target)
		require.NoError(t, err)
		require.True(t, conn.ConnectedUrl() != "" && conn.TLSRequired())
		open(t, conn, Options{}) // works all the way to JetStream
		t.Cleanup(conn.Close)
	}
	seen, err := Inspect(t.Context(), good)
	require.NoError(t, err)
	require.EqualValues(t, 8<<20, seen.MaxPayload)

	text := filepath.Join(t.TempDir(), "text.pem")
	require.NoError(t, os.WriteFile(text, []byte("a secret text"), 0o600))
	for name, c := range map[string]struct {
		change func(*Target)
		want   error
		says   string
	}{
		"no authority":             {func(t *Target) { t.CA = "" }, ErrRefused, "unknown authority"},
		"another authority":        {func(t *Target) { t.CA = others.Path("ca.pem") }, ErrRefused, "unknown authority"},
		"another name":             {func(t *Target) { t.URL = strings.Replace(t.URL, "127.0.0.1", "localhost", 1) }, ErrRefused, "localhost"},
		"no client certificate":    {func(t *Target) { t.Cert, t.Key = "", "" }, nil, "certificate"},
		"another's certificate":    {func(t *Target) { t.Cert, t.Key = others.Path("client.pem"), others.Path("client.key") }, nil, "certificate"},
		"authority missing":        {func(t *Target) { t.CA = "/nowhere/ca.pem" }, ErrUnusable, "/nowhere/ca.pem"},
		"authority is text":        {func(t *Target) { t.CA = text }, ErrUnusable, text},
		"certificate missing":      {func(t *Target) { t.Cert = "/nowhere/c.pem" }, ErrUnusable, "/nowhere/c.pem"},
		"key of another":           {func(t *Target) { t.Key = others.Path("client.key") }, ErrUnusable, "private key does not match"},
		"credentials file missing": {func(t *Target) { t.Creds = "/nowhere/u.creds" }, ErrUnusable, "/nowhere/u.creds"},
		"credentials file is text": {func(t *Target) { t.Creds = text }, ErrUnusable, "no credentials file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := good
			c.change(&target)
			_, err := Inspect(t.Context(), target)
			if c.want != nil { // else the server may have hung up before we saw its alert
				require.ErrorIs(t, err, c.want)
			}
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), "a secret text")
		})
	}
	t.Run("a server without TLS", func(t *testing.T) {
		t.Parallel()
		target := good
		target.URL = "tls://" + listening(t, &server.Options{}).Addr().String()
		_, err := Connect(target)
		require.ErrorIs(t, err, ErrRefused)
		require.ErrorContains(t, err, "secure connection not available")
	})
	t.Run("nobody", func(t *testing.T) {
		t.Parallel()
		target := good
		target.URL = "tls://127.0.0.1:1"
		_, err := Connect(target)
		require.Error(t, err)
		require.NotErrorIs(t, err, ErrRefused, "waiting may help")
		require.NotErrorIs(t, err, ErrUnusable)
	})
}

// accounts is an operator with an account that has JetStream, and the resolver that servers know them by.
type accounts struct {
	t        *testing.T
	operator nkeys.KeyPair
	account  nkeys.KeyPair
}

func newAccounts(t *testing.T) *accounts {
	t.Helper()
	operator, err := nkeys.CreateOperator()
	require.NoError(t, err)
	account, err := nkeys.CreateAccount()
	require.NoError(t, err)
	return &accounts{t: t, operator: operator, account: account}
}

func (a *accounts) public(pair nkeys.KeyPair) string {
	a.t.Helper()
	key, err := pair.PublicKey()
	require.NoError(a.t, err)
	return key
}

// server is one in operator mode.
func (a *accounts) server() *server.Server {
	a.t.Helper()
	system, err := nkeys.CreateAccount()
	require.NoError(a.t, err)
	resolver := &server.MemAccResolver{}
	for _, pair := range []nkeys.KeyPair{a.account, system} {
		claims := jwt.NewAccountClaims(a.public(pair))
		if pair != system { // JetStream is not for the system account
			claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
		}
		text, err := claims.Encode(a.operator)
		require.NoError(a.t, err)
		require.NoError(a.t, resolver.Store(a.public(pair), text))
	}
	claims := jwt.NewOperatorClaims(a.public(a.operator))
	claims.SystemAccount = a.public(system)
	text, err := claims.Encode(a.operator)
	require.NoError(a.t, err)
	claims, err = jwt.DecodeOperatorClaims(text)
	require.NoError(a.t, err)
	return listening(a.t, &server.Options{
		TrustedOperators: []*jwt.OperatorClaims{claims}, AccountResolver: resolver, SystemAccount: a.public(system),
	})
}

// creds writes the credentials file of a new user.
func (a *accounts) creds(expires time.Time) string {
	a.t.Helper()
	user, err := nkeys.CreateUser()
	require.NoError(a.t, err)
	claims := jwt.NewUserClaims(a.public(user))
	if !expires.IsZero() {
		claims.Expires = expires.Unix()
	}
	text, err := claims.Encode(a.account)
	require.NoError(a.t, err)
	seed, err := user.Seed()
	require.NoError(a.t, err)
	file, err := jwt.FormatUserConfig(text, seed)
	require.NoError(a.t, err)
	path := filepath.Join(a.t.TempDir(), "user.creds")
	require.NoError(a.t, os.WriteFile(path, file, 0o600))
	return path
}

func TestConnectWithCredentialsFile(t *testing.T) {
	t.Parallel()
	ours := newAccounts(t)
	url := ours.server().ClientURL()
	conn, err := Connect(Target{URL: url, Creds: ours.creds(time.Time{})})
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	open(t, conn, Options{})

	for name, creds := range map[string]string{
		"of another operator": newAccounts(t).creds(time.Time{}), "expired": ours.creds(time.Now().Add(-time.Hour)), "none": "",
	} {
		_, err := Inspect(t.Context(), Target{URL: url, Creds: creds})
		require.ErrorIs(t, err, ErrRefused, name)
		require.ErrorContains(t, err, "Authorization Violation", name)
	}
}

// A server that refuses a running process for a while, as when credentials are renewed on both sides, gets it back.
func TestConnectionOutlivesRefusals(t *testing.T) {
	t.Parallel()
	opts := func(password string, port int) *server.Options {
		return &server.Options{Username: "beckon", Password: password, Port: port}
	}
	srv := listening(t, opts("right", 0))
	port := srv.Addr().(*net.TCPAddr).Port
	refusals := make(chan error, 100)
	url := strings.Replace(srv.ClientURL(), "nats://", "nats://beckon:right@", 1)
	conn, err := Connect(Target{URL: url}, nats.MaxReconnects(-1), nats.ReconnectWait(5*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			select {
			case refusals <- err:
			default:
			}
		}))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	srv.Shutdown()
	srv.WaitForShutdown()

	srv = listening(t, opts("another", port))
	for range 4 {
		select {
		case err := <-refusals:
			require.ErrorIs(t, err, nats.ErrAuthorization)
		case <-time.After(20 * time.Second):
			require.Fail(t, "it has given up")
		}
	}
	srv.Shutdown()
	srv.WaitForShutdown()

	listening(t, opts("right", port))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.Eventually(t, conn.IsConnected, 20*time.Second, 5*time.Millisecond)
	open(t, conn, Options{})
	require.NoError(t, conn.FlushWithContext(ctx))
}
