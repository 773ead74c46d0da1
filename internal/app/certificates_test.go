package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/ingest"
	"github.com/beckonhq/beckon/internal/certificates/certtest"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforce"
	"github.com/beckonhq/beckon/internal/twilio"
	"github.com/beckonhq/beckon/internal/twiliosim/twiliosimtest"
)

const (
	year      = 365 * 24 * time.Hour
	pinMetric = "beckon_certificate_reload_failed"
)

// door is a process whose public listener speaks TLS.
type door struct {
	*house

	dir, pins string
	server    certtest.Pair
	hup       chan os.Signal
}

// openDoor starts ingest; it looks at its files every so often.
func openDoor(t *testing.T, look time.Duration, pinned ...certtest.Pair) *door {
	t.Helper()
	dir := t.TempDir()
	d := &door{dir: dir, server: certtest.New(t, dir, "server", year), hup: make(chan os.Signal, 1)}
	more := []string{"BECKON_HTTP_TLS_CERT=" + d.server.Cert, "BECKON_HTTP_TLS_KEY=" + d.server.Key}
	if len(pinned) > 0 {
		d.pins = filepath.Join(dir, "pins.pem")
		certtest.Join(t, d.pins, pinned...)
		more = append(more, "BECKON_SALESFORCE_CLIENT_CERTS="+d.pins)
	}
	opts, log := options(settings(t, more...), config.RoleIngest)
	opts.Look, opts.Reload = look, d.hup
	d.house = launch(t, opts, log)
	d.healthy()
	return d
}

func client(t *testing.T, name string) certtest.Pair {
	t.Helper()
	return certtest.New(t, t.TempDir(), name, year)
}

// caller is a client of the door with connections of its own.
type caller struct {
	*http.Client

	d      *door
	reused bool // the last request came on a connection that was there
}

// caller trusts the listener and shows a certificate, if any; change may change its TLS.
func (d *door) caller(show *certtest.Pair, http2 bool, change func(*tls.Config)) *caller {
	d.t.Helper()
	trusted := x509.NewCertPool()
	trusted.AddCert(d.server.TLS.Leaf)
	config := &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}
	if show != nil {
		config.Certificates = []tls.Certificate{show.TLS}
	}
	if change != nil {
		change(config)
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: http2}
	d.t.Cleanup(transport.CloseIdleConnections)
	return &caller{Client: &http.Client{Transport: transport, Timeout: patience}, d: d}
}

// said is an answer.
type said struct {
	status      int
	proto, text string
}

// post sends a request and reads the answer.
func (c *caller) post(path string, body io.Reader, header http.Header) said {
	c.d.t.Helper()
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { c.reused = info.Reused }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(c.d.t.Context(), trace), http.MethodPost, c.d.URL()+path, body)
	require.NoError(c.d.t, err)
	req.Header = header
	res, err := c.Do(req)
	require.NoError(c.d.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(c.d.t, err)
	return said{res.StatusCode, res.Proto, string(text)}
}

// failure is why there is no answer.
func (c *caller) failure() error {
	c.d.t.Helper()
	res, err := c.Get(c.d.URL())
	if err == nil {
		_ = res.Body.Close()
	}
	return err
}

// envelope posts an outbound message, and returns the status after the answer was seen to be an acknowledgement or a fault.
func (c *caller) envelope() int {
	c.d.t.Helper()
	env := &notification.Envelope{
		Org: testOrg, Action: "04k000000000001AAA", Object: "Case",
		Notifications: []notification.Notification{{ID: "04l000000000001AAA", RecordID: "500000000000001AAA"}},
	}
	var body bytes.Buffer
	require.NoError(c.d.t, salesforce.Encode(&body, salesforce.EnvelopeSpec{Envelope: env}))
	answer := c.post(ingest.PathSalesforce, &body, http.Header{"Content-Type": {"text/xml; charset=UTF-8"}})
	ack, fault, err := salesforce.ParseResponse([]byte(answer.text))
	require.NoError(c.d.t, err, answer.text)
	require.Equal(c.d.t, answer.status == http.StatusOK, ack)
	require.Equal(c.d.t, ack, fault == "")
	return answer.status
}

func (c *caller) status() int {
	c.d.t.Helper()
	form := url.Values{"MessageSid": {"SM00000000000000000000000000000001"}, "MessageStatus": {"delivered"}}
	target := ingest.PathStatus + "?message=1"
	return c.post(target, strings.NewReader(form.Encode()), http.Header{
		"Content-Type":        {"application/x-www-form-urlencoded"},
		"X-Twilio-Signature":  {twilio.Sign(twiliosimtest.AuthToken, "https://hooks.example.com"+target, form)},
		"X-Ssl-Client-Verify": {"SUCCESS"},
	}).status
}

func (d *door) refused(reason string, times int) {
	d.t.Helper()
	_, metrics := d.get(d.AdminURL() + "/metrics")
	require.Contains(d.t, metrics, fmt.Sprintf("beckon_ingest_refused_total{reason=%q} %d\n", reason, times))
}

func both(t *testing.T, do func(t *testing.T, http2 bool)) {
	t.Helper()
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(name, func(t *testing.T) { t.Parallel(); do(t, http2) })
	}
}

func TestOnlyAPinnedCertificateComesIn(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, http2 bool) {
		t.Helper()
		ours, theirs, retired := client(t, "ours"), client(t, "theirs"), certtest.New(t, t.TempDir(), "retired", -time.Hour)
		d := openDoor(t, time.Hour, ours, retired)
		require.Equal(t, http.StatusOK, d.caller(&ours, http2, nil).envelope())
		require.Equal(t, http.StatusOK, d.caller(&retired, http2, nil).envelope(), "an expired pin is a pin")
		d.refused("no_client_cert", 0)

		require.Equal(t, http.StatusForbidden, d.caller(nil, http2, nil).envelope())
		d.refused("no_client_cert", 1)
		require.Equal(t, http.StatusForbidden, d.caller(&theirs, http2, nil).envelope())
		d.refused("wrong_client_cert", 1)
		chain := certtest.Pair{TLS: tls.Certificate{
			Certificate: [][]byte{theirs.TLS.Certificate[0], ours.TLS.Certificate[0]}, PrivateKey: theirs.TLS.PrivateKey,
		}}
		require.Equal(t, http.StatusForbidden, d.caller(&chain, http2, nil).envelope(), "a pin in the chain of another one proves nothing")
		d.refused("wrong_client_cert", 2)

		// What a proxy would say of a certificate is not believed, and nobody learns what the path is.
		answer := d.caller(nil, http2, nil).post(ingest.PathSalesforce+"/guess", strings.NewReader("x"), http.Header{"X-Ssl-Client-Verify": {"SUCCESS"}})
		require.Equal(t, http.StatusForbidden, answer.status)
		require.Equal(t, map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[http2], answer.proto)

		require.Equal(t, http.StatusNoContent, d.caller(nil, http2, nil).status(), "Twilio has no certificate")
		require.Equal(t, http.StatusNoContent, d.caller(&theirs, http2, nil).status())
	})
}

// A certificate whose key the client does not have fails in the handshake.
func TestAStolenCertificateIsOfNoUse(t *testing.T) {
	t.Parallel()
	ours, theirs := client(t, "ours"), client(t, "theirs")
	d := openDoor(t, time.Hour, ours)
	stolen := certtest.Pair{TLS: tls.Certificate{Certificate: ours.TLS.Certificate, PrivateKey: theirs.TLS.PrivateKey}}
	require.ErrorContains(t, d.caller(&stolen, false, nil).failure(), "tls:")
	d.refused("wrong_client_cert", 0)
	require.Eventually(t, func() bool {
		return slices.Contains(d.log.levels(t, "TLS handshake error"), "DEBUG")
	}, patience, tick)
}

func TestRefusedBeforeTheBody(t *testing.T) {
	t.Parallel()
	d := openDoor(t, time.Hour, client(t, "ours"))
	body, _ := io.Pipe() // nothing is ever written
	answer := d.caller(nil, true, nil).post(ingest.PathSalesforce, body, http.Header{})
	require.Equal(t, http.StatusForbidden, answer.status)
	require.Contains(t, answer.text, "a client certificate is needed, and none was shown")
}

// Salesforce changes its certificate: both are pinned, then the new one alone. Connections stay.
func TestPinsAreRotatedWhileConnectionsStay(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, http2 bool) {
		t.Helper()
		before, after := client(t, "before"), client(t, "after")
		d := openDoor(t, tick, before)
		first, second := d.caller(&before, http2, nil), d.caller(&after, http2, nil)
		require.Equal(t, http.StatusOK, first.envelope())
		require.Equal(t, http.StatusForbidden, second.envelope())

		certtest.Join(t, d.pins, before, after)
		require.Eventually(t, func() bool { return second.envelope() == http.StatusOK }, patience, tick)
		require.Equal(t, http.StatusOK, first.envelope())
		require.True(t, first.reused)

		certtest.Join(t, d.pins, after)
		require.Eventually(t, func() bool { return first.envelope() == http.StatusForbidden }, patience, tick)
		require.True(t, first.reused, "refused on the connection that was let in before")
		require.Equal(t, http.StatusOK, second.envelope())
		require.True(t, second.reused)
	})
}

// A client that has connected without a certificate and keeps its session shows its certificate as soon as it has one.
func TestSessionsAreNotResumed(t *testing.T) {
	t.Parallel()
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours := client(t, "ours")
			d := openDoor(t, time.Hour, ours)
			sessions := tls.NewLRUClientSessionCache(8)
			remember := func(c *tls.Config) { c.ClientSessionCache, c.MaxVersion = sessions, version }
			require.Equal(t, http.StatusForbidden, d.caller(nil, false, remember).envelope())
			require.Equal(t, http.StatusOK, d.caller(&ours, false, remember).envelope())
		})
	}
}

// Mistakes keep what runs and are told everywhere, also at once by SIGHUP; connections go on.
func TestCertificatesAreReloaded(t *testing.T) {
	t.Parallel()
	ours := client(t, "ours")
	d := openDoor(t, time.Hour, ours)
	c := d.caller(&ours, false, nil)
	require.Equal(t, http.StatusOK, c.envelope())
	hup := func(until string) {
		t.Helper()
		d.hup <- syscall.SIGHUP
		require.Eventually(t, func() bool { _, text := d.get(d.AdminURL() + "/metrics"); return strings.Contains(text, until+"\n") }, patience, tick)
	}

	certtest.Write(t, d.pins, []byte("nonsense"))
	hup(pinMetric + `{certificate="salesforce"} 1`)
	var whole readiness
	require.Equal(t, 200, d.admin("/readyz", &whole))
	require.Equal(t, statusDegraded, whole.Status)
	require.Contains(t, whole.Warnings[0], d.pins)
	require.Equal(t, http.StatusOK, c.envelope())

	certtest.Join(t, d.pins, ours)
	renewed := certtest.New(t, d.dir, "server", 2*year)
	hup(`beckon_certificate_reloads_total{certificate="listener",result="ok"} 1`)
	require.Equal(t, http.StatusOK, c.envelope())
	require.True(t, c.reused, "a connection keeps the certificate that it began with")
	require.ErrorContains(t, d.caller(&ours, false, nil).failure(), "certificate", "who trusts the old one alone does not trust the new one")
	d.server = renewed
	require.Equal(t, http.StatusOK, d.caller(&ours, false, nil).envelope())
	whole = readiness{}
	d.admin("/readyz", &whole)
	require.Equal(t, statusReady, whole.Status, "%v", whole)
}

func TestTLSWithoutPins(t *testing.T) {
	t.Parallel()
	d := openDoor(t, time.Hour)
	require.True(t, strings.HasPrefix(d.URL(), "https://"))
	theirs := client(t, "theirs")
	require.Equal(t, http.StatusOK, d.caller(nil, true, nil).envelope())
	require.Equal(t, http.StatusOK, d.caller(&theirs, false, nil).envelope())
	status, _ := d.get("http" + strings.TrimPrefix(d.URL(), "https"))
	require.Equal(t, http.StatusBadRequest, status, "plain HTTP is no way in, and no redirect")
	require.True(t, strings.HasPrefix(d.AdminURL(), "http://"), "the private listener stays as it is")
}

func TestCertificatesThatCannotBeUsedEndTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, other := certtest.New(t, dir, "good", year), certtest.New(t, dir, "other", year)
	for name, c := range map[string]struct{ cert, key, pins, want string }{
		"no file":       {dir + "/none.pem", good.Key, "", "none.pem"},
		"another's key": {good.Cert, other.Key, "", "private key does not match"},
		"no pins":       {good.Cert, good.Key, good.Key, "want certificates only"},
	} {
		cfg := settings(t, "BECKON_HTTP_TLS_CERT="+c.cert, "BECKON_HTTP_TLS_KEY="+c.key, "BECKON_SALESFORCE_CLIENT_CERTS="+c.pins)
		opts, _ := options(cfg, config.RoleIngest)
		_, err := Start(context.Background(), opts)
		require.ErrorIs(t, err, ErrSetup, name)
		require.ErrorContains(t, err, c.want, name)
		unlocked(t, cfg.DataDir)
	}
	h := start(t, withPostgres(t, "BECKON_HTTP_TLS_CERT=none", "BECKON_HTTP_TLS_KEY=none"), config.RoleRouter)
	h.healthy() // it has no public listener
}
