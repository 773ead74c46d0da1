package twilio

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// Twilio sends us on to where it stores the file: there go no credentials, and nothing else of our request to Twilio.
func TestMediaOfTheStoreIsFetchedWithoutCredentials(t *testing.T) {
	t.Parallel()
	const account, file = "AC1", "\xff\xd8\xff\xe0 a picture"
	var asked http.Header
	store := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Clone()
		asked.Set("Host", r.Host)
		w.Header().Set("Content-Type", "image/jpeg")
		_, _ = w.Write([]byte(file))
	}))
	t.Cleanup(store.Close)
	authorized := false
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _, authorized = r.BasicAuth()
		http.Redirect(w, r, "https://mms.twiliocdn.com/AC1/file?Signature=s", http.StatusTemporaryRedirect)
	}))
	t.Cleanup(api.Close)
	client := New(Config{AccountSID: account, AuthToken: "secret", BaseURL: api.URL})
	t.Cleanup(client.Close)
	dial := client.transport.DialContext
	client.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == "mms.twiliocdn.com:443" {
			address = store.Listener.Addr().String()
		}
		return dial(ctx, network, address)
	}
	roots := x509.NewCertPool()
	roots.AddCert(store.Certificate())
	client.transport.TLSClientConfig = &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12}
	got, err := client.Media(t.Context(), api.URL+"/2010-04-01/Accounts/AC1/Messages/MM1/Media/ME1")
	require.NoError(t, err)
	data, err := io.ReadAll(got.Body)
	require.NoError(t, err)
	require.NoError(t, got.Body.Close())
	require.Equal(t, file, string(data))
	require.True(t, authorized)
	require.Equal(t, "mms.twiliocdn.com", asked.Get("Host"))
	for _, secret := range []string{"Authorization", "Cookie", "Referer"} {
		require.Empty(t, asked.Get(secret), secret)
	}
}

func TestWhereTwilioStoresMedia(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]bool{
		"https://mms.twiliocdn.com/AC1/file":                                         true,
		"https://media.twiliocdn.com/AC1/file":                                       true,
		"https://s3.amazonaws.com/media.twiliocdn.com/AC1/file":                      true,
		"https://s3-external-1.amazonaws.com/media.twiliocdn.com/AC1/file":           true,
		"https://s3.us-east-1.amazonaws.com/media.twiliocdn.com/AC1/file":            true,
		"http://mms.twiliocdn.com/AC1/file":                                          false,
		"https://mms.twiliocdn.com:8443/AC1/file":                                    false,
		"https://user@mms.twiliocdn.com/AC1/file":                                    false,
		"https://twiliocdn.com.example.com/AC1/file":                                 false,
		"https://eviltwiliocdn.com/AC1/file":                                         false,
		"https://s3.amazonaws.com/another-bucket/file":                               false,
		"https://s3.amazonaws.com/media.twiliocdn.com%2f../another-bucket/file":      false,
		"https://somebodys-bucket.s3.amazonaws.com/media.twiliocdn.com/file":         false,
		"https://s3-somebodys.s3.amazonaws.com/media.twiliocdn.com/file":             false,
		"https://ec2-192-0-2-1.compute-1.amazonaws.com/media.twiliocdn.com/AC1/file": false,
		"https://169.254.169.254/media.twiliocdn.com/AC1/file":                       false,
	} {
		target, err := url.Parse(link)
		require.NoError(t, err)
		require.Equal(t, want, storesMedia(target), link)
	}
}
