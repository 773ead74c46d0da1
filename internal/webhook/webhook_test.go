package webhook_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/webhook"
)

// secret and the signature below are those of the example in the specification of Standard Webhooks.
const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func TestSign(t *testing.T) {
	t.Parallel()
	c, err := webhook.New(secret, false)
	require.NoError(t, err)
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", c.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", `{"test": 2432232314}`))
	for _, bad := range []string{"", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_x", "whsec_" + base64.StdEncoding.EncodeToString([]byte("short"))} {
		_, err := webhook.New(bad, false)
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
	c, err := webhook.New(secret, true)
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
	shut, err := webhook.New(secret, false)
	require.NoError(t, err)
	t.Cleanup(shut.Close)
	got = nil
	for _, url := range []string{server.URL, "http://169.254.169.254/"} {
		require.ErrorIs(t, shut.Post(t.Context(), url, "id-1", "{}"), webhook.ErrPrivate, url)
	}
	require.Nil(t, got)
}
