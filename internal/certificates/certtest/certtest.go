package certtest

import (
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
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Pair is a certificate with its key.
type Pair struct {
	Cert, Key string // paths
	TLS       tls.Certificate
}

// New makes DIR/NAME.pem and DIR/NAME.key: a self-signed certificate for a server on 127.0.0.1, valid for that time from now, a
// year old already. Its key usage is that of servers only, as public authorities give it since 2026: who looks at the usage
// of a client certificate refuses it.
func New(tb testing.TB, dir, name string, valid time.Duration) Pair {
	tb.Helper()
	return issue(tb, dir, name, nil, &x509.Certificate{
		NotAfter: time.Now().Add(valid), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	})
}

// Chain makes root, intermediate and leaf, each with its files: the leaf is like one of New.
func Chain(tb testing.TB, dir string) (root, intermediate, leaf Pair) {
	tb.Helper()
	authority := func(name string, parent *Pair) Pair {
		return issue(tb, dir, name, parent, &x509.Certificate{
			NotAfter: time.Now().Add(10 * 365 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		})
	}
	root = authority("root", nil)
	intermediate = authority("intermediate", &root)
	leaf = issue(tb, dir, "leaf", &intermediate, &x509.Certificate{
		NotAfter: time.Now().Add(365 * 24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, DNSNames: []string{"localhost"},
	})
	return root, intermediate, leaf
}

// issue makes a key and a certificate of it, signed by the parent or by itself.
func issue(tb testing.TB, dir, name string, parent *Pair, template *x509.Certificate) Pair {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	template.NotBefore = time.Now().Add(-365 * 24 * time.Hour)
	issuer, signer := template, any(key)
	if parent != nil {
		issuer, signer = parent.TLS.Leaf, parent.TLS.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	require.NoError(tb, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(tb, err)
	p := Pair{Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}
	Write(tb, p.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	Write(tb, p.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	p.TLS, err = tls.LoadX509KeyPair(p.Cert, p.Key)
	require.NoError(tb, err)
	return p
}

// Write replaces a file at once, as good programs that renew certificates do.
func Write(tb testing.TB, path string, content []byte) {
	tb.Helper()
	require.NoError(tb, os.WriteFile(path+".new", content, 0o600)) //nolint:gosec // a test says which file
	require.NoError(tb, os.Rename(path+".new", path))
}

// Join writes the certificates of the pairs into one file.
func Join(tb testing.TB, path string, pairs ...Pair) {
	tb.Helper()
	var all []byte
	for _, p := range pairs {
		text, err := os.ReadFile(p.Cert)
		require.NoError(tb, err)
		all = append(all, text...)
	}
	Write(tb, path, all)
}
