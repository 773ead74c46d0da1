package webhook_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/webhook"
)

// secret and the signature below are those of the example in the specification of Standard Webhooks.
const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func TestSign(t *testing.T) {
	t.Parallel()
	c, err := webhook.New([]string{secret}, false)
	require.NoError(t, err)
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", c.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", `{"test": 2432232314}`))
	for _, bad := range []string{
		"", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_x", "whsec_" + base64.StdEncoding.EncodeToString([]byte("short")),
		"whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 65)),
	} {
		_, err := webhook.New([]string{bad}, false)
		require.Error(t, err)
		if bad != "" {
			require.NotContains(t, err.Error(), strings.TrimPrefix(bad, "whsec_")+" ")
		}
	}
}

func TestPost(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body string
	status := http.StatusNoContent
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		data, _ := io.ReadAll(r.Body)
		body = string(data)
		w.Header().Set("Location", "http://127.0.0.1:1/")
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	c, err := webhook.New([]string{secret}, true)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	require.NoError(t, c.Post(t.Context(), server.URL, "id-1", `{"a":1}`))
	require.Equal(t, `{"a":1}`, body)
	require.Equal(t, "id-1", got.Header.Get("Webhook-Id"))
	require.Equal(t, c.Sign("id-1", got.Header.Get("Webhook-Timestamp"), body), got.Header.Get("Webhook-Signature"))
	for _, bad := range []int{http.StatusFound, http.StatusBadRequest, http.StatusInternalServerError} {
		status = bad
		require.ErrorContains(t, c.Post(t.Context(), server.URL, "id-1", "secret words"), "answered", "a redirect is not followed")
	}
	status = http.StatusGone
	require.ErrorIs(t, c.Post(t.Context(), server.URL, "id-1", "{}"), webhook.ErrGone)
	shut, err := webhook.New([]string{secret}, false)
	require.NoError(t, err)
	t.Cleanup(shut.Close)
	got = nil
	for _, url := range []string{server.URL, "http://169.254.169.254/"} {
		require.ErrorIs(t, shut.Post(t.Context(), url, "id-1", "{}"), webhook.ErrPrivate, url)
	}
	require.Nil(t, got)
}

// Whoever uses the library of the scheme takes our notices, also while a secret is rotated; and no changed or old one.
func TestTheLibraryOfTheSchemeVerifies(t *testing.T) {
	t.Parallel()
	next := "whsec_" + base64.StdEncoding.EncodeToString([]byte("another secret of 32 bytes, long"))
	const body = `{"type":"reply.matched","data":{"text":"sí"}}`
	var header http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { header = r.Header.Clone() }))
	t.Cleanup(server.Close)
	c, err := webhook.New([]string{next, secret}, true)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	require.NoError(t, c.Post(t.Context(), server.URL, "0196a0de-0000-7000-8000-000000000001", body))
	require.Len(t, strings.Fields(header.Get("Webhook-Signature")), 2)
	for _, one := range []string{next, secret} {
		receiver, err := standardwebhooks.NewWebhook(one)
		require.NoError(t, err)
		require.NoError(t, receiver.Verify([]byte(body), header))
		require.Error(t, receiver.Verify([]byte(body+" "), header))
		other := header.Clone()
		other.Set("Webhook-Id", "x")
		require.Error(t, receiver.Verify([]byte(body), other))
		other = header.Clone()
		other.Set("Webhook-Timestamp", "1614265330")
		require.Error(t, receiver.Verify([]byte(body), other))
	}
}

// A receiver may be slow, broken or hostile: nothing of its answer is held in memory, waited for, or told.
func TestHostileReceivers(t *testing.T) {
	t.Parallel()
	const words = "what a person wrote"
	gone := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/endless":
			defer close(gone)
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done() // the answer has begun and does not end
		case "/head":
			w.Header().Set("X-Large", strings.Repeat("x", 1<<20))
		case "/echo":
			body, _ := io.ReadAll(r.Body)
			connection, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = connection.Write(append(body, "\r\n\r\n"...))
				_ = connection.Close()
			}
		}
	}))
	t.Cleanup(server.Close)
	c, err := webhook.New([]string{secret}, true)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	began := time.Now()
	require.NoError(t, c.Post(t.Context(), server.URL+"/endless", "id-1", "{}"), "its status is its answer")
	require.Less(t, time.Since(began), 10*time.Second)
	<-gone
	for _, path := range []string{"/head", "/echo"} {
		err := c.Post(t.Context(), server.URL+path, "id-1", `"`+words+`"`)
		require.ErrorContains(t, err, "no answer of HTTP that can be read", path)
		require.NotContains(t, err.Error(), words)
	}
	require.ErrorContains(t, c.Post(t.Context(), "http://127.0.0.1:1/", "id-1", "{}"), "connection refused")
}
