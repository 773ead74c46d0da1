package cli

import (
	"crypto/x509"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/certificates/certtest"
	"github.com/beckonhq/beckon/internal/config"
)

const day = 24 * time.Hour

// lookAt is what the doctor says of the files, a line for each finding.
func lookAt(t *testing.T, host string, listener certtest.Pair, pins ...certtest.Pair) string {
	t.Helper()
	cfg := &config.Config{HTTP: config.HTTP{TLSCert: listener.Cert, TLSKey: listener.Key}}
	if host != "" {
		cfg.HTTP.PublicURL = "https://" + host + ":8443/base"
	}
	if len(pins) > 0 {
		cfg.Salesforce.ClientCerts = filepath.Join(t.TempDir(), "pins.pem")
		certtest.Join(t, cfg.Salesforce.ClientCerts, pins...)
	}
	var lines []string
	for _, f := range (&doctor{cfg: cfg}).certificates(t.Context()) {
		lines = append(lines, f.Status+" "+f.Text+": "+f.Advice)
	}
	return strings.Join(lines, "\n")
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		require.Contains(t, text, part)
	}
}

func TestDoctorLooksAtTheListenersCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root, intermediate, leaf := certtest.Chain(t, dir)
	file := func(name string, chain ...certtest.Pair) certtest.Pair {
		path := filepath.Join(dir, name)
		certtest.Join(t, path, chain...)
		return certtest.Pair{Cert: path, Key: leaf.Key}
	}
	contains(t, lookAt(t, "localhost", file("full", leaf, intermediate)), "OK the listener's expires on", "OK the listener's is for localhost",
		"OK the listener's chain has 2 certificates", "WARN no client certificate of Salesforce is asked for")
	contains(t, lookAt(t, "", file("alone", leaf)), "WARN the listener's has no intermediate", "SKIP the listener's name")
	contains(t, lookAt(t, "", file("root", leaf, intermediate, root)), "WARN the listener's chain ends with the root")
	contains(t, lookAt(t, "", file("order", leaf, root, intermediate)), "FAIL certificate 1 of the listener's chain is not signed")
	contains(t, lookAt(t, "", certtest.New(t, dir, "own", 100*day)), "WARN the listener's is self-signed")
	contains(t, lookAt(t, "beckon.example.com", file("full", leaf, intermediate)), "FAIL the listener's is not for beckon.example.com")
	contains(t, lookAt(t, "", certtest.New(t, dir, "late", 13*day)), "WARN the listener's expires on", "renew it; ")
	contains(t, lookAt(t, "", certtest.New(t, dir, "early", 15*day)), "OK the listener's expires on")
	contains(t, lookAt(t, "", certtest.New(t, dir, "over", -time.Hour)), "FAIL the listener's expires on", "renew it now")
	contains(t, lookAt(t, "", certtest.Pair{Cert: leaf.Cert, Key: root.Key}), "FAIL use the certificate")
}

func TestDoctorLooksAtPins(t *testing.T) {
	t.Parallel()
	listener := certtest.New(t, t.TempDir(), "listener", 100*day)
	pin := func(valid time.Duration) certtest.Pair { return certtest.New(t, t.TempDir(), "pin", valid) }
	contains(t, lookAt(t, "", listener, pin(13*day)), "WARN Salesforce's ", "pin both for a while")
	text := lookAt(t, "", listener, pin(13*day), pin(200*day))
	require.Equal(t, 2, strings.Count(text, "OK Salesforce's "), text)
	contains(t, lookAt(t, "", listener, pin(-time.Hour), pin(200*day)), "WARN Salesforce's ", "accepted still", "OK Salesforce's ")
	contains(t, lookAt(t, "", listener, certtest.New(t, t.TempDir(), "proxy.salesforce.com", 200*day)), "WARN Salesforce's ", "make one of your own")
	contains(t, lookAt(t, "", listener, certtest.Pair{Cert: listener.Key}), "FAIL use the client certificates in ")
}

func TestACertificateOfAShortLifeIsLateInItsLastThird(t *testing.T) {
	t.Parallel()
	now := time.Now()
	short := &x509.Certificate{NotBefore: now.Add(-3 * day), NotAfter: now.Add(3 * day)}
	require.False(t, late(short, now))
	require.True(t, late(short, now.Add(day+time.Minute)))
	long := &x509.Certificate{NotBefore: now.Add(-30 * day), NotAfter: now.Add(17 * day)}
	require.False(t, late(long, now))
	require.True(t, late(long, now.Add(3*day+time.Minute)))
}
