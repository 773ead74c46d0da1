package mediaprobe

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/publicnet"
)

// files serves one file in the ways in which servers do.
func files(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	picture := func(w http.ResponseWriter, size string) {
		w.Header().Set("Content-Type", "image/jpeg")
		w.Header().Set("Content-Length", size)
	}
	mux.HandleFunc("/plain.jpg", func(w http.ResponseWriter, _ *http.Request) { picture(w, "7000000") })
	mux.HandleFunc("/get-only.jpg", func(w http.ResponseWriter, r *http.Request) { // as a URL that is signed for GET
		if r.Method != http.MethodGet {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Range", "bytes 0-0/1234")
		picture(w, "1")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write([]byte{0xff})
	})
	mux.HandleFunc("/head-page.jpg", func(w http.ResponseWriter, r *http.Request) {
		picture(w, "9")
		if r.Method == http.MethodHead {
			w.Header().Set("Content-Type", "text/html")
			return
		}
		_, _ = w.Write(make([]byte, 9)) // all of it: the server knows no ranges
	})
	mux.HandleFunc("/page.jpg", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
	})
	mux.HandleFunc("/moved.jpg", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/plain.jpg", http.StatusFound) })
	mux.HandleFunc("/down.jpg", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+r.Host+"/plain.jpg", http.StatusFound)
	})
	mux.HandleFunc("/round.jpg", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round.jpg", http.StatusFound) })
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	return server
}

func TestProbe(t *testing.T) {
	t.Parallel()
	server := files(t)
	p := newProber(server.Client().Transport)
	for path, want := range map[string]Facts{
		"/plain.jpg":     {"image/jpeg", 7_000_000},
		"/moved.jpg":     {"image/jpeg", 7_000_000},
		"/get-only.jpg":  {"image/jpeg", 1234},
		"/head-page.jpg": {"image/jpeg", 9},
		"/page.jpg":      {"text/html; charset=utf-8", -1},
	} {
		facts, err := p.Probe(t.Context(), server.URL+path)
		require.NoError(t, err, path)
		if path == "/page.jpg" {
			facts.Size = -1 // 0 or unknown, as the server's library likes
		}
		require.Equal(t, want, facts, path)
	}
	for _, path := range []string{"/none.jpg", "/down.jpg", "/round.jpg"} {
		_, err := p.Probe(t.Context(), server.URL+path)
		require.ErrorIs(t, err, errNoFile, path)
		require.NotContains(t, err.Error(), path[1:])
	}
	_, err := p.Probe(t.Context(), "http://example.com/secret.jpg")
	require.EqualError(t, err, "it is not an https URL")
	server.Close()
	_, err = p.Probe(t.Context(), server.URL+"/plain.jpg?name=secret")
	require.EqualError(t, err, "the server can't be reached")
}

func TestProbeStaysOutOfOurNetwork(t *testing.T) {
	t.Parallel()
	server := files(t)
	p := New(false)
	defer p.Close()
	for _, link := range []string{server.URL + "/plain.jpg", "https://169.254.169.254/latest"} {
		_, err := p.Probe(t.Context(), link)
		require.ErrorIs(t, err, publicnet.ErrPrivate)
	}
}

// answering stands for a server in a bubble, where there is no network.
type answering func(*http.Request) (*http.Response, error)

func (f answering) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func picture() *http.Response {
	return &http.Response{StatusCode: http.StatusOK, ContentLength: 5, Header: http.Header{"Content-Type": {"image/png"}}, Body: http.NoBody}
}

func newTestCache(t *testing.T, transport http.RoundTripper) *Cache {
	t.Helper()
	c, err := NewCache(newProber(transport), prometheus.NewRegistry())
	require.NoError(t, err)
	return c
}

func TestCacheAsksOnceInTheBackground(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		c := newTestCache(t, answering(func(*http.Request) (*http.Response, error) {
			calls.Add(1)
			<-time.After(time.Second) // of the bubble
			return picture(), nil
		}))
		defer c.Close()
		for range 3 {
			_, answer := c.Ask("https://example.com/a.png")
			require.Equal(t, Pending, answer)
		}
		<-time.After(1100 * time.Millisecond)
		facts, answer := c.Ask("https://example.com/a.png")
		require.Equal(t, Known, answer)
		require.Equal(t, Facts{"image/png", 5}, facts)
		require.Equal(t, int64(1), calls.Load())
		<-time.After(remembered)
		_, answer = c.Ask("https://example.com/a.png")
		require.Equal(t, Pending, answer)
		synctest.Wait()
	})
}

// A server that does not answer holds up nothing, however many files it has.
func TestCacheGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestCache(t, answering(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		link := func(n int) string { return "https://example.com/" + string(rune('a'+n%26)) + string(rune('0'+n/26)) }
		const many = 10 * mostAtOnce
		for n := range many {
			_, answer := c.Ask(link(n))
			require.Equal(t, Pending, answer)
		}
		<-time.After(longest + time.Millisecond)
		for n := range many {
			_, answer := c.Ask(link(n))
			require.Equal(t, Unknown, answer, n)
		}
		c.Close() // ends those that wait for a slot too
		_, answer := c.Ask("https://example.com/later")
		require.Equal(t, Unknown, answer)
		require.InDelta(t, 1, testutil.ToFloat64(c.asked.WithLabelValues("skipped")), 0)
	})
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := newTestCache(t, answering(func(*http.Request) (*http.Response, error) { return picture(), nil }))
	defer c.Close()
	now := time.Now()
	for n := range mostKept {
		c.entries[[32]byte{byte(n), byte(n >> 8), 1}] = &entry{answer: Known, until: now.Add(time.Minute)}
	}
	_, answer := c.Ask("https://example.com/a.png")
	require.Equal(t, Unknown, answer)
	for _, e := range c.entries {
		e.until = now
	}
	c.swept = time.Time{}
	_, answer = c.Ask("https://example.com/a.png")
	require.Equal(t, Pending, answer)
	c.mu.Lock()
	defer c.mu.Unlock()
	require.Len(t, c.entries, 1)
}
