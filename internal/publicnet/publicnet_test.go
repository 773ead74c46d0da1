package publicnet_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/publicnet"
)

func TestPrivateAddressesAreNotCalled(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	t.Cleanup(server.Close)
	get := func(private bool, url string) error {
		transport := publicnet.Transport(time.Second, private)
		defer transport.CloseIdleConnections()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		require.NoError(t, err)
		response, err := transport.RoundTrip(request)
		if err == nil {
			err = response.Body.Close()
		}
		return err
	}
	for _, url := range []string{
		server.URL, strings.Replace(server.URL, "127.0.0.1", "localhost", 1), "http://169.254.169.254/", "http://10.0.0.1/", "http://[::1]:1/",
		"http://[::ffff:127.0.0.1]:1/", "http://100.64.0.1/", "http://0.0.0.0:1/", "http://[64:ff9b::7f00:1]/", "http://[fd00::1]/", "http://[fe80::1]/",
		"http://168.63.129.16/",
	} {
		require.ErrorIs(t, get(false, url), publicnet.ErrPrivate, url)
	}
	require.Zero(t, calls.Load())
	require.NoError(t, get(true, server.URL))
	require.Equal(t, int64(1), calls.Load())
}
