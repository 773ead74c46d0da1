package stream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
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

// authority is a private certificate authority.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.key = a.sign("ca", template, template, nil)
	return a
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// sign writes name.pem and name.key.
func (a *authority) sign(name string, template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	require.NoError(a.t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "PRIVATE KEY", private)
	return cert, key
}

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	require.NoError(a.t, os.WriteFile(a.path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// issue makes a certificate for a server on 127.0.0.1 or a client.
func (a *authority) issue(name string, usage x509.ExtKeyUsage) {
	a.t.Helper()
	a.sign(name, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{usage}, KeyUsage: x509.KeyUsageDigitalSignature,
	}, a.cert, a.key)
}

// tlsServer demands a certificate of the authority from its clients.
func tlsServer(t *testing.T, a *authority) *server.Server {
	t.Helper()
	a.issue("server", x509.ExtKeyUsageServerAuth)
	pair, err := tls.LoadX509KeyPair(a.path("server.pem"), a.path("server.key"))
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return listening(t, &server.Options{
		TLS: true, TLSVerify: true, TLSTimeout: 10,
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
		},
	})
}

func TestConnectWithCertificates(t *testing.T) {
	t.Parallel()
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	srv := tlsServer(t, ours)
	ours.issue("client", x509.ExtKeyUsageClientAuth)
	others.issue("client", x509.ExtKeyUsageClientAuth)
	host := srv.Addr().String()
	good := Target{URL: "tls://" + host, CA: ours.path("ca.pem"), Cert: ours.path("client.pem"), Key: ours.path("client.key")}

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
		"another authority":        {func(t *Target) { t.CA = others.path("ca.pem") }, ErrRefused, "unknown authority"},
		"another name":             {func(t *Target) { t.URL = strings.Replace(t.URL, "127.0.0.1", "localhost", 1) }, ErrRefused, "localhost"},
		"no client certificate":    {func(t *Target) { t.Cert, t.Key = "", "" }, nil, "certificate"},
		"another's certificate":    {func(t *Target) { t.Cert, t.Key = others.path("client.pem"), others.path("client.key") }, nil, "certificate"},
		"authority missing":        {func(t *Target) { t.CA = "/nowhere/ca.pem" }, ErrUnusable, "/nowhere/ca.pem"},
		"authority is text":        {func(t *Target) { t.CA = text }, ErrUnusable, text},
		"certificate missing":      {func(t *Target) { t.Cert = "/nowhere/c.pem" }, ErrUnusable, "/nowhere/c.pem"},
		"key of another":           {func(t *Target) { t.Key = others.path("client.key") }, ErrUnusable, "private key does not match"},
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
