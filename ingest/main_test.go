package ingest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforce"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/stream/streamtest"
	"github.com/beckonhq/beckon/internal/twilio"
)

const (
	testOrg    = "00D000000000062"
	otherOrg   = "00D00000000006A"
	token      = "0123456789abcdef0123456789abcdef"
	newToken   = "fedcba9876543210fedcba9876543210"
	publicURL  = "https://hooks.example.com/beckon"
	ackElement = "<Ack>true"
)

func TestMain(m *testing.M) {
	const server = "github.com/nats-io/nats-server/v2/server"
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(server+".(*msgBlock).flushLoop"),
		goleak.IgnoreAnyFunction(server+".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(server+"/ats.Register.func1"))
}

// house is the door on a real HTTP server.
type house struct {
	url    string
	ingest *Ingest
	client *http.Client
	log    *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newHouse(tb testing.TB, publisher Publisher, change func(*Config)) *house {
	tb.Helper()
	h := &house{log: &lockedBuffer{}}
	cfg := Config{
		Salesforce: Salesforce{Orgs: []notification.OrgID{testOrg}},
		Twilio:     Twilio{Verifier: twilio.NewVerifier([]string{newToken, token}), PublicURL: publicURL, Senders: ourSenders()},
		Publisher:  publisher,
		Log:        slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Metrics:    prometheus.NewRegistry(),
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	h.ingest, err = New(cfg)
	require.NoError(tb, err)
	e := echo.New()
	h.ingest.Mount(e)
	srv := httptest.NewServer(e) // listens on 127.0.0.1:0
	tb.Cleanup(srv.Close)
	h.url = srv.URL
	transport := &http.Transport{MaxIdleConnsPerHost: 512, DisableCompression: true}
	tb.Cleanup(transport.CloseIdleConnections)
	h.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	return h
}

type reply struct {
	status int
	header http.Header
	body   string
}

func (h *house) do(tb testing.TB, method, path string, body []byte, header map[string]string) reply {
	tb.Helper()
	req, err := http.NewRequest(method, h.url+path, bytes.NewReader(body))
	require.NoError(tb, err)
	for name, value := range header {
		req.Header.Set(name, value)
	}
	res, err := h.client.Do(req)
	require.NoError(tb, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(tb, err)
	return reply{res.StatusCode, res.Header, string(text)}
}

func (h *house) post(tb testing.TB, body []byte) reply {
	tb.Helper()
	return h.do(tb, http.MethodPost, PathSalesforce, body, map[string]string{"Content-Type": "text/xml; charset=UTF-8"})
}

func (h *house) refusals(reason string) float64 {
	return testutil.ToFloat64(h.ingest.metrics.refused.WithLabelValues(reason))
}

func (r reply) acked(tb testing.TB) {
	tb.Helper()
	require.Equal(tb, http.StatusOK, r.status, r.body)
	ack, fault, err := salesforce.ParseResponse([]byte(r.body))
	require.NoError(tb, err)
	require.Empty(tb, fault)
	require.True(tb, ack)
	require.Equal(tb, "text/xml; charset=utf-8", r.header.Get("Content-Type"))
}

func (r reply) fault(tb testing.TB, status int, code string) {
	tb.Helper()
	require.Equal(tb, status, r.status, r.body)
	require.NotContains(tb, r.body, ackElement)
	ack, fault, err := salesforce.ParseResponse([]byte(r.body))
	require.NoError(tb, err, r.body)
	require.False(tb, ack)
	require.NotEmpty(tb, fault)
	require.Contains(tb, r.body, "<faultcode>soapenv:"+code+"</faultcode>")
	require.Equal(tb, "text/xml; charset=utf-8", r.header.Get("Content-Type"))
}

func envelope(tb testing.TB, org notification.OrgID, ids ...string) []byte {
	tb.Helper()
	return envelopeWith(tb, salesforce.EnvelopeSpec{}, org, ids...)
}

func envelopeWith(tb testing.TB, spec salesforce.EnvelopeSpec, org notification.OrgID, ids ...string) []byte {
	tb.Helper()
	env := &notification.Envelope{Org: org, Action: "04k000000000001AAA", Object: "Opportunity"}
	for _, id := range ids {
		full, err := notification.ParseID("04l" + fmt.Sprintf("%012s", id))
		require.NoError(tb, err)
		env.Notifications = append(env.Notifications, notification.Notification{
			ID: full, RecordID: "006000000000001AAA",
			Fields: []notification.Field{{Name: "Id", Value: "006000000000001AAA"}, {Name: "Name", Value: "Ärger & <Co>"}},
		})
	}
	spec.Envelope = env
	var b bytes.Buffer
	require.NoError(tb, salesforce.Encode(&b, spec))
	return b.Bytes()
}

func openStream(tb testing.TB, srv *streamtest.Server) *stream.Client {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := stream.Open(ctx, srv.Connect(tb), stream.Options{ConfirmTimeout: time.Second})
	require.NoError(tb, err)
	tb.Cleanup(c.Close)
	return c
}

func newServer(tb testing.TB) *streamtest.Server {
	tb.Helper()
	return streamtest.StartServer(tb, tb.TempDir(), 8<<20)
}

// fakePublisher answers as a test wants.
type fakePublisher func(ctx context.Context) error

func (f fakePublisher) PublishNotification(ctx context.Context, _ stream.Envelope, _ []byte) error {
	return f(ctx)
}

func (f fakePublisher) PublishCallback(
	ctx context.Context, _ stream.CallbackKind, _ string, _ map[string]string, _ []byte,
) error {
	return f(ctx)
}

func stores(context.Context) error { return nil }

func fetch(tb testing.TB, c *stream.Client, name stream.ConsumerName, n int) []*stream.Delivery {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var all []*stream.Delivery
	for len(all) < n {
		got, err := c.Consumer(name).Fetch(ctx, 100)
		require.NoError(tb, err)
		all = append(all, got...)
	}
	return all
}

func contains(tb testing.TB, text string, parts ...string) {
	tb.Helper()
	for _, part := range parts {
		require.Contains(tb, text, part)
	}
}
