package certificates

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/beckonhq/beckon/internal/certificates/certtest"
)

const (
	patience = 30 * time.Second
	tick     = 5 * time.Millisecond
	year     = 365 * 24 * time.Hour
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// buffer is a log.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// house is a directory of files, and the certificates that are read from it.
type house struct {
	*Certificates

	dir, pinFile string
	pair         certtest.Pair
	log          *buffer
	metrics      *prometheus.Registry
}

// open reads the files.
func open(t *testing.T, pins ...certtest.Pair) *house {
	t.Helper()
	h := &house{dir: t.TempDir(), log: &buffer{}, metrics: prometheus.NewRegistry()}
	h.pair = certtest.New(t, h.dir, "server", year)
	cfg := Config{
		Cert: h.pair.Cert, Key: h.pair.Key, Every: tick, Metrics: h.metrics, Log: slog.New(slog.NewTextHandler(h.log, nil)),
	}
	if len(pins) > 0 {
		h.pinFile = filepath.Join(h.dir, "pins.pem")
		cfg.Pins = h.pinFile
		certtest.Join(t, h.pinFile, pins...)
	}
	var err error
	h.Certificates, err = New(cfg)
	require.NoError(t, err)
	return h
}

// look reads the files as SIGHUP makes it.
func (h *house) look() {
	h.server.look(context.Background(), true)
	h.pins.look(context.Background(), true)
}

// shown is the certificate that a new connection is shown.
func (h *house) shown(t *testing.T, version uint16) *x509.Certificate {
	t.Helper()
	ours, theirs := net.Pipe()
	defer func() { _ = ours.Close(); _ = theirs.Close() }()
	go func() { _ = tls.Server(theirs, h.TLS()).Handshake() }()
	client := tls.Client(ours, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: version})
	if err := client.Handshake(); err != nil {
		require.ErrorContains(t, err, "protocol version")
		return nil
	}
	return client.ConnectionState().PeerCertificates[0]
}

func (h *house) gauge(t *testing.T, name string) map[string]float64 {
	t.Helper()
	families, err := h.metrics.Gather()
	require.NoError(t, err)
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == name {
				values[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	return values
}

func other(t *testing.T, name string, valid time.Duration) certtest.Pair {
	t.Helper()
	return certtest.New(t, t.TempDir(), name, valid)
}

func TestTheListenerShowsARenewedCertificateWithoutARestart(t *testing.T) {
	t.Parallel()
	h := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); h.Watch(ctx, nil) }()
	t.Cleanup(func() { cancel(); <-ended })
	require.Nil(t, h.Pinned())
	require.Equal(t, h.pair.TLS.Leaf.Raw, h.shown(t, tls.VersionTLS13).Raw)
	require.Equal(t, h.pair.TLS.Leaf.Raw, h.shown(t, tls.VersionTLS12).Raw)
	require.Nil(t, h.shown(t, tls.VersionTLS11), "TLS 1.1 is refused")

	renewed := certtest.New(t, h.dir, "server", 2*year)
	require.Eventually(t, func() bool { return h.shown(t, tls.VersionTLS13).Equal(renewed.TLS.Leaf) }, patience, tick)
	expiry := h.gauge(t, "beckon_certificate_expiry_timestamp_seconds")
	require.Equal(t, map[string]float64{listener: float64(renewed.TLS.Leaf.NotAfter.Unix())}, expiry)
	require.Contains(t, h.log.String(), "a changed certificate is used")
}

// A mistake in one file keeps what runs, is told once, and does not keep the other file back.
func TestAMistakeKeepsWhatRuns(t *testing.T) {
	t.Parallel()
	first, second := other(t, "first", year), other(t, "second", year)
	h := open(t, first)
	pinned := h.Pinned()
	require.Empty(t, h.Warnings())

	stray := other(t, "stray", year)
	key, err := os.ReadFile(stray.Key)
	require.NoError(t, err)
	certtest.Write(t, h.pair.Key, key)
	certtest.Join(t, h.pinFile, second)
	h.look()
	h.look()
	require.Equal(t, h.pair.TLS.Leaf.Raw, h.shown(t, tls.VersionTLS13).Raw)
	require.True(t, pinned(second.TLS.Leaf))
	require.False(t, pinned(first.TLS.Leaf))
	require.Len(t, h.Warnings(), 1)
	require.Contains(t, h.Warnings()[0], "(listener) is not used: use the certificate "+h.pair.Cert)
	require.Equal(t, map[string]float64{listener: 1, salesforce: 0}, h.gauge(t, "beckon_certificate_reload_failed"))
	require.Equal(t, 1, strings.Count(h.log.String(), "the running one stays"), "told once, whatever the number of looks")
	require.NotContains(t, h.log.String(), string(key[40:80]))

	certtest.Write(t, h.pinFile, nil)
	renewed := certtest.New(t, h.dir, "server", 2*year)
	h.look()
	require.Equal(t, renewed.TLS.Leaf.Raw, h.shown(t, tls.VersionTLS13).Raw)
	require.True(t, pinned(second.TLS.Leaf), "an empty file keeps nobody out")
	require.Len(t, h.Warnings(), 1)
	require.Contains(t, h.Warnings()[0], "(salesforce) is not used: use the client certificates in "+h.pinFile)

	certtest.Join(t, h.pinFile, second) // as it was
	h.look()
	require.Empty(t, h.Warnings())
	require.Equal(t, map[string]float64{listener: 0, salesforce: 0}, h.gauge(t, "beckon_certificate_reload_failed"))
	require.NoError(t, os.Remove(h.pinFile))
	h.look()
	h.look()
	require.ErrorContains(t, h.pins.problem, "no such file")
	require.True(t, pinned(second.TLS.Leaf))
}

// A pair is two files, and a look may come between them: that is no mistake. Two looks that find it are.
func TestAPairThatIsHalfWrittenIsNoMistakeYet(t *testing.T) {
	t.Parallel()
	h := open(t)
	renewed := other(t, "renewed", 2*year)
	certtest.Join(t, h.pair.Cert, renewed)
	k := h.server
	k.look(t.Context(), false)
	require.Empty(t, k.warning())
	k.look(t.Context(), false)
	require.Len(t, k.warning(), 1)
	key, err := os.ReadFile(renewed.Key)
	require.NoError(t, err)
	certtest.Write(t, h.pair.Key, key)
	k.look(t.Context(), false)
	require.Empty(t, k.warning())
	require.Equal(t, renewed.TLS.Leaf.Raw, k.running.Load().Leaf.Raw)
}

func TestExpired(t *testing.T) {
	t.Parallel()
	old, last := other(t, "old", -time.Hour), other(t, "last", year)
	h := open(t, old, last)
	require.True(t, h.Pinned()(old.TLS.Leaf), "a date says nothing about a key")
	require.InDelta(t, float64(last.TLS.Leaf.NotAfter.Unix()), h.gauge(t, "beckon_certificate_expiry_timestamp_seconds")[salesforce], 0)
	require.Empty(t, h.Warnings())

	certtest.New(t, h.dir, "server", -time.Hour)
	h.look()
	require.Equal(t, h.pair.TLS.Leaf.Raw, h.shown(t, tls.VersionTLS13).Raw, "an expired one does not replace a good one")
	require.Contains(t, h.Warnings()[0], "it has expired")

	expired := other(t, "expired", -time.Hour)
	c, err := New(Config{Cert: expired.Cert, Key: expired.Key, Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err, "a start with it waits for a renewal")
	require.Len(t, c.Warnings(), 1)
	require.Contains(t, c.Warnings()[0], "expired on ")
	require.Equal(t, 1, testutil.CollectAndCount(c.server.metrics.expiry))
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := certtest.New(t, dir, "good", year)
	text, err := os.ReadFile(good.Cert)
	require.NoError(t, err)
	key, err := os.ReadFile(good.Key)
	require.NoError(t, err)
	damaged := bytes.Replace(text, []byte("\nM"), []byte("\n!"), 1)
	nonsense := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("nonsense")})
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"empty":             {nil, "no PEM certificate"},
		"binary":            {good.TLS.Leaf.Raw, "openssl x509 -inform der"},
		"with a key":        {append(bytes.Clone(text), key...), `a block "PRIVATE KEY"`},
		"cut off":           {append(bytes.Clone(text), text[:100]...), "damaged or not whole"},
		"damaged and good":  {append(damaged, text...), "damaged or not whole"},
		"not a certificate": {append(bytes.Clone(text), nonsense...), "certificate 2: "},
	} {
		path := filepath.Join(dir, "pins")
		certtest.Write(t, path, c.text)
		_, err := LoadPins(path)
		require.ErrorContains(t, err, c.want, name)
		require.ErrorContains(t, err, path, name)
	}
	certtest.Join(t, filepath.Join(dir, "pins"), good, good)
	pins, err := LoadPins(filepath.Join(dir, "pins"))
	require.NoError(t, err)
	require.Len(t, pins.All(), 1, "one that stands twice is one")

	_, err = LoadServer(good.Cert, filepath.Join(dir, "none.key"))
	require.ErrorContains(t, err, "none.key")
	_, err = LoadServer(good.Key, good.Cert)
	require.ErrorContains(t, err, good.Cert)
	pair, err := LoadServer(good.Cert, good.Key)
	require.NoError(t, err)
	require.Len(t, Fingerprint(pair.Leaf), 64)
}
