package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforce"
	"github.com/beckonhq/beckon/internal/stream"
)

func TestEnvelopeIsStoredThenAcknowledged(t *testing.T) {
	t.Parallel()
	c := openStream(t, newServer(t))
	h := newHouse(t, c, nil)
	body := envelope(t, testOrg, "1", "2", "3")
	before := time.Now()
	h.post(t, body).acked(t)
	h.post(t, body).acked(t) // Salesforce asks again
	h.post(t, envelope(t, testOrg, "3", "1", "2")).acked(t)
	h.post(t, envelope(t, testOrg, "4")).acked(t)

	got := fetch(t, c, stream.Router, 2)
	require.Len(t, got, 2, "the same notifications are stored once")
	stored, err := got[0].Body()
	require.NoError(t, err)
	require.Equal(t, string(body), string(stored), "as it came")
	about, err := got[0].Envelope()
	require.NoError(t, err)
	require.EqualValues(t, testOrg, about.Org)
	require.Equal(t, "Opportunity", about.Object)
	require.Equal(t, 3, about.Count)
	require.WithinRange(t, about.Received, before, time.Now())
	require.InEpsilon(t, 4.0, testutil.ToFloat64(h.ingest.metrics.envelopes), 0)
	require.InEpsilon(t, 10.0, testutil.ToFloat64(h.ingest.metrics.notifications), 0)
	require.NotContains(t, h.log.String(), "Ärger")
}

func TestOrganisationInBothLengths(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fakePublisher(stores), nil)
	long := envelope(t, testOrg, "1")
	h.post(t, long).acked(t)
	i := bytes.Index(long, []byte(testOrg)) + len(testOrg)
	short := append(bytes.Clone(long[:i]), long[i+3:]...)
	h.post(t, short).acked(t)
	other := bytes.ReplaceAll(long, []byte(testOrg), []byte(strings.ToLower(testOrg[:3])+testOrg[3:]))
	h.post(t, other).fault(t, http.StatusBadRequest, "Client")
}

func TestSessionTokenIsNotStored(t *testing.T) {
	t.Parallel()
	c := openStream(t, newServer(t))
	h := newHouse(t, c, nil)
	h.post(t, envelopeWith(t, salesforce.EnvelopeSpec{SessionID: testOrg + "!SECRET"}, testOrg, "1")).acked(t)
	body, err := fetch(t, c, stream.Router, 1)[0].Body()
	require.NoError(t, err)
	require.NotContains(t, string(body), "SECRET")
	require.Contains(t, string(body), "<SessionId></SessionId>")
	_, err = salesforce.Decode(body, salesforce.DefaultLimits())
	require.NoError(t, err)
	require.NotContains(t, h.log.String(), "SECRET")
}

func TestWithoutSession(t *testing.T) {
	t.Parallel()
	wrap := func(inner string) string {
		return `<?xml version="1.0"?><!-- <SessionId>a</SessionId> --><e:E a="<'>"><e:B><n b='">'><O/>` + inner + `</n></e:B></e:E>`
	}
	for name, tt := range map[string]struct{ in, want string }{
		"nil":        {`<SessionId x:nil="true"/><N/>`, `<SessionId x:nil="true"/><N/>`},
		"empty":      {`<SessionId></SessionId>`, `<SessionId></SessionId>`},
		"text":       {`<SessionId>00D!x</SessionId><N/>`, `<SessionId></SessionId><N/>`},
		"prefixed":   {`<o:SessionId >00D!x</o:SessionId ><N/>`, `<o:SessionId ></o:SessionId ><N/>`},
		"cdata":      {`<SessionId>a<![CDATA[</SessionId>]]>b</SessionId>`, `<SessionId></SessionId>`},
		"comment":    {`<SessionId>a<!--</SessionId>-->b</SessionId>`, `<SessionId></SessionId>`},
		"two":        {`<SessionId>a</SessionId><SessionId>b</SessionId>`, `<SessionId></SessionId><SessionId></SessionId>`},
		"at the end": {`<N><I>1</I></N><SessionId>b</SessionId>`, `<N><I>1</I></N><SessionId></SessionId>`},
		"a field":    {`<N><s><SessionId>kept</SessionId></s></N>`, `<N><s><SessionId>kept</SessionId></s></N>`},
		"field text": {`<N><![CDATA[<SessionId>kept</SessionId>]]></N>`, `<N><![CDATA[<SessionId>kept</SessionId>]]></N>`},
	} {
		require.Equal(t, wrap(tt.want), string(withoutSession([]byte(wrap(tt.in)))), name)
	}
	require.Equal(t, "<SessionId>", string(withoutSession([]byte("<SessionId>"))))
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	good := envelope(t, testOrg, "1")
	gzip := map[string]string{"Content-Encoding": "gzip"}
	json := map[string]string{"Content-Type": "application/json"}
	for name, tt := range map[string]struct {
		method, path string
		body         []byte
		header       map[string]string
		err          error
		status       int
		code, reason string
	}{
		"another path":   {path: PathSalesforce + "/guess", body: good, status: 404, code: "Client", reason: "not_found"},
		"a deeper path":  {path: PathSalesforce + "/a/b", body: good, status: 404, code: "Client", reason: "not_found"},
		"GET":            {method: http.MethodGet, status: 405, code: "Client", reason: "method"},
		"PUT":            {method: http.MethodPut, body: good, status: 405, code: "Client", reason: "method"},
		"JSON":           {body: []byte("{}"), header: json, status: 415, code: "Client", reason: "media_type"},
		"compressed":     {body: good, header: gzip, status: 415, code: "Client", reason: "media_type"},
		"too large":      {body: make([]byte, 64<<10+1), status: 413, code: "Client", reason: "too_large"},
		"empty":          {status: 400, code: "Client", reason: "malformed"},
		"cut off":        {body: good[:len(good)-20], status: 400, code: "Client", reason: "malformed"},
		"twice":          {body: append(bytes.Clone(good), good...), status: 400, code: "Client", reason: "malformed"},
		"a DTD":          {body: append([]byte("<!DOCTYPE a>"), good...), status: 400, code: "Client", reason: "malformed"},
		"an ack":         {body: salesforce.AckBody(), status: 400, code: "Client", reason: "malformed"},
		"other org":      {body: envelope(t, otherOrg, "1"), status: 403, code: "Client", reason: "unknown_org"},
		"other case":     {body: envelope(t, "00D00000000006a", "1"), status: 403, code: "Client", reason: "unknown_org"},
		"stream: large":  {body: good, err: stream.ErrTooLarge, status: 413, code: "Client", reason: "too_large"},
		"stream: full":   {body: good, err: stream.ErrFull, status: 503, code: "Server", reason: "full"},
		"stream: away":   {body: good, err: stream.ErrUnavailable, status: 503, code: "Server", reason: "unavailable"},
		"stream: closed": {body: good, err: stream.ErrClosed, status: 503, code: "Server", reason: "unavailable"},
		"stream: late":   {body: good, err: stream.ErrNotConfirmed, status: 503, code: "Server", reason: "not_confirmed"},
		"stream: a bug":  {body: good, err: errors.New("surprise"), status: 500, code: "Server", reason: "internal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, fakePublisher(func(context.Context) error {
				if tt.err == nil {
					t.Error("published")
				}
				return tt.err
			}), func(c *Config) { c.Salesforce.MaxBody = 64 << 10 })
			method, path := tt.method, tt.path
			if method == "" {
				method = http.MethodPost
			}
			if path == "" {
				path = PathSalesforce
			}
			r := h.do(t, method, path, tt.body, tt.header)
			r.fault(t, tt.status, tt.code)
			require.InEpsilon(t, 1.0, h.refusals(tt.reason), 0)
			contains(t, h.log.String(), "level=", "reason="+tt.reason)
			require.Equal(t, tt.status == 405, r.header.Get("Allow") == "POST")
			require.Equal(t, tt.status == 503, r.header.Get("Retry-After") != "")
			require.Zero(t, testutil.ToFloat64(h.ingest.metrics.envelopes))
		})
	}
}

func TestTrailingSlashIsNoRedirect(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fakePublisher(stores), nil)
	h.do(t, http.MethodPost, PathSalesforce+"/", envelope(t, testOrg, "1"), nil).acked(t)
	r := h.do(t, http.MethodPost, "/"+PathSalesforce, envelope(t, testOrg, "1"), nil)
	require.Equal(t, http.StatusNotFound, r.status)
}

func TestPathSecret(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fakePublisher(stores), func(c *Config) { c.Salesforce.PathSecret = "hunter2" })
	body := envelope(t, testOrg, "1")
	h.do(t, http.MethodPost, PathSalesforce+"/hunter2", body, nil).acked(t)
	h.do(t, http.MethodPost, PathSalesforce+"/hunter2/", body, nil).acked(t)
	var texts []string
	for _, path := range []string{"", "/", "/hunter", "/hunter22", "/HUNTER2", "/hunter2/x", "/%20hunter2"} {
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			r := h.do(t, method, PathSalesforce+path, body, nil)
			r.fault(t, http.StatusNotFound, "Client")
			texts = append(texts, r.body)
		}
	}
	for _, text := range texts {
		require.Equal(t, texts[0], text, "the answer tells nothing")
	}
	h.do(t, http.MethodGet, PathSalesforce+"/hunter2", nil, nil).fault(t, http.StatusMethodNotAllowed, "Client")
	require.NotContains(t, h.log.String(), "unter")
}

func TestPanicIsAFaultAndLoggedOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fakePublisher(func(context.Context) error { panic("+15551234567") }), nil)
	h.post(t, envelope(t, testOrg, "1")).fault(t, http.StatusInternalServerError, "Server")
	require.Equal(t, 1, strings.Count(h.log.String(), "panicked"))
	require.NotContains(t, h.log.String(), "5551234567")
	require.Empty(t, h.ingest.salesforceSlots)
	require.True(t, h.ingest.bodies.budget.TryAcquire(h.ingest.cfg.MaxBytes), "memory was not given back")
}

func TestConfirmationIsWaitedForNotLonger(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fakePublisher(func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}), func(c *Config) { c.ConfirmTimeout = 30 * time.Millisecond })
	h.post(t, envelope(t, testOrg, "1")).fault(t, http.StatusServiceUnavailable, "Server")
	require.InEpsilon(t, 1.0, h.refusals("not_confirmed"), 0)
}

func TestConcurrencyIsBounded(t *testing.T) {
	t.Parallel()
	open := make(chan struct{})
	inside := make(chan struct{}, 10)
	h := newHouse(t, fakePublisher(func(context.Context) error {
		inside <- struct{}{}
		<-open
		return nil
	}), func(c *Config) { c.MaxConcurrent = 2 })
	body := envelope(t, testOrg, "1")
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() { h.post(t, body).acked(t) })
		<-inside
	}
	h.post(t, body).fault(t, http.StatusServiceUnavailable, "Server")
	require.InEpsilon(t, 1.0, h.refusals("busy"), 0)
	// Replies have slots of their own.
	wait.Go(func() { require.Equal(t, 200, h.callback(t, PathMessages, inboundForm(), token).status) })
	<-inside
	close(open)
	wait.Wait()
	h.post(t, body).acked(t)
}

func TestBytesInProgressAreBounded(t *testing.T) {
	t.Parallel()
	open, inside := make(chan struct{}), make(chan struct{}, 4)
	h := newHouse(t, fakePublisher(func(context.Context) error {
		inside <- struct{}{}
		<-open
		return nil
	}), func(c *Config) { c.Salesforce.MaxBody, c.MaxBytes = 1<<20, 1<<20 })
	body := envelope(t, testOrg, "1")
	padded := append(bytes.Clone(body), bytes.Repeat([]byte(" "), 700<<10)...)
	var wait sync.WaitGroup
	wait.Go(func() { h.post(t, padded).acked(t) })
	<-inside
	h.post(t, padded).fault(t, http.StatusServiceUnavailable, "Server")
	// Without a length only the first part is reserved, and the rest when it comes.
	req, err := http.NewRequest(http.MethodPost, h.url+PathSalesforce, io.MultiReader(bytes.NewReader(padded)))
	require.NoError(t, err)
	res, err := h.client.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	close(open)
	wait.Wait()
	req, err = http.NewRequest(http.MethodPost, h.url+PathSalesforce, io.MultiReader(bytes.NewReader(padded)))
	require.NoError(t, err)
	res, err = h.client.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusOK, res.StatusCode)
	req, err = http.NewRequest(http.MethodPost, h.url+PathSalesforce, io.MultiReader(bytes.NewReader(make([]byte, 2<<20))))
	require.NoError(t, err)
	res, err = h.client.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
}

func TestNothingIsAcknowledgedThatIsNotStored(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	c := openStream(t, srv)
	h := newHouse(t, c, func(cfg *Config) { cfg.ConfirmTimeout = time.Second })
	var acked sync.Map
	var count atomic.Int32
	var wait sync.WaitGroup
	for caller := range 16 {
		wait.Go(func() {
			for n := range 2_000 {
				id := fmt.Sprintf("c%dn%d", caller, n)
				r := h.post(t, envelope(t, testOrg, id))
				if r.status == http.StatusOK {
					acked.Store(id, true)
					count.Add(1)
					continue
				}
				r.fault(t, http.StatusServiceUnavailable, "Server")
				return
			}
		})
	}
	require.Eventually(t, func() bool { return count.Load() > 100 }, 10*time.Second, time.Millisecond)
	srv.Stop()
	wait.Wait()
	h.post(t, envelope(t, testOrg, "x")).fault(t, http.StatusServiceUnavailable, "Server")
	srv.Restart(t)
	require.Eventually(t, func() bool { return h.post(t, envelope(t, testOrg, "y")).status == 200 },
		10*time.Second, 10*time.Millisecond)
	for _, d := range fetch(t, c, stream.Router, int(count.Load())+1) {
		body, err := d.Body()
		require.NoError(t, err)
		env, err := salesforce.Decode(body, salesforce.DefaultLimits())
		require.NoError(t, err)
		acked.Delete(strings.TrimLeft(string(env.Notifications[0].ID[3:15]), "0"))
	}
	acked.Range(func(id, _ any) bool {
		t.Errorf("acknowledged and not stored: %v", id)
		return true
	})
}

func FuzzNoGarbageIsAcknowledged(f *testing.F) {
	good := envelope(f, testOrg, "1", "2")
	f.Add(good, PathSalesforce)
	f.Add(salesforce.AckBody(), PathSalesforce)
	f.Add([]byte("{}"), PathSalesforce+"/x")
	i, err := New(Config{
		Salesforce: Salesforce{Orgs: []notification.OrgID{testOrg}}, Twilio: Twilio{Verifier: denies{}, PublicURL: publicURL},
		Publisher: fakePublisher(stores),
	})
	require.NoError(f, err)
	e := echo.New()
	i.Mount(e)
	f.Fuzz(func(t *testing.T, body []byte, path string) {
		req := httptest.NewRequest(http.MethodPost, PathSalesforce, bytes.NewReader(body))
		req.URL.Path = path
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, req)
		if strings.Contains(rec.Body.String(), ackElement) || rec.Code < 400 {
			env, err := salesforce.Decode(body, salesforce.DefaultLimits())
			require.NoError(t, err)
			require.EqualValues(t, testOrg, env.Org)
			require.NotEmpty(t, env.Notifications)
			again, err := salesforce.Decode(withoutSession(body), salesforce.DefaultLimits())
			require.NoError(t, err)
			require.Equal(t, env, again, "what is stored says the same")
		}
	})
}
