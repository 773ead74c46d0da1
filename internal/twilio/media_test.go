package twilio_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/twilio"
	"github.com/beckonhq/beckon/internal/twiliosim/twiliosimtest"
)

// mediaAt is where Twilio keeps a picture of our account.
const mediaAt = "/2010-04-01/Accounts/" + twiliosimtest.AccountSID + "/Messages/MM1/Media/"

func mediaServer(t *testing.T, hits *int) (*twilio.Client, string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*hits++
		user, password, ok := r.BasicAuth()
		if !ok || user != twiliosimtest.AccountSID || password != twiliosimtest.AuthToken {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "image/png; x=y")
		switch strings.TrimPrefix(r.URL.Path, mediaAt) {
		case "ME1":
			_, _ = w.Write([]byte("a picture"))
		case "MEhtml":
			w.Header().Set("Content-Type", "text/html")
		case "MElarge":
			w.Header().Set("Content-Length", "16777217")
		case "MEendless":
			for range 20 {
				_, _ = w.Write(make([]byte, 1<<20))
			}
		case "MEelsewhere":
			http.Redirect(w, r, "https://169.254.169.254/latest/meta-data", http.StatusTemporaryRedirect)
		case "MEback":
			http.Redirect(w, r, mediaAt+"ME1", http.StatusTemporaryRedirect)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	client := twilio.New(twilio.Config{AccountSID: twiliosimtest.AccountSID, AuthToken: twiliosimtest.AuthToken, BaseURL: server.URL})
	t.Cleanup(client.Close)
	return client, server.URL
}

func TestMedia(t *testing.T) {
	t.Parallel()
	hits := 0
	client, at := mediaServer(t, &hits)
	got, err := client.Media(t.Context(), at+mediaAt+"ME1")
	require.NoError(t, err)
	require.Equal(t, twilio.MediaContent{Type: "image/png", Data: []byte("a picture")}, got)
	for name, want := range map[string]error{
		"MEhtml": twilio.ErrMediaType, "MElarge": twilio.ErrMediaTooLarge, "MEendless": twilio.ErrMediaTooLarge, "MEnone": twilio.ErrMediaGone,
		"MEelsewhere": twilio.ErrMediaURL, "MEback": twilio.ErrMediaURL,
	} {
		_, err := client.Media(t.Context(), at+mediaAt+name)
		require.ErrorIs(t, err, want, name)
	}
}

// A link comes from outside: none but one to our own media at the configured API is touched.
func TestMediaElsewhereIsNotFetched(t *testing.T) {
	t.Parallel()
	hits := 0
	client, at := mediaServer(t, &hits)
	host := strings.TrimPrefix(at, "http://")
	for _, link := range []string{
		"", "x", "http://127.0.0.1:1" + mediaAt + "ME1", "https://" + host + mediaAt + "ME1", "http://user@" + host + mediaAt + "ME1",
		at + "/", at + mediaAt, at + mediaAt + "../ME1", at + mediaAt + "..%2fME1", at + mediaAt + "ME1/x", "file://" + host + mediaAt + "ME1",
		at + "/2010-04-01/Accounts/AC00000000000000000000000000000099/Messages/MM1/Media/ME1",
		at + "/2010-04-01/Accounts/" + twiliosimtest.AccountSID + "/Messages/MM1/Other/ME1", "//" + host + mediaAt + "ME1",
		"http://" + host + "@example.com" + mediaAt + "ME1", "http://" + host + ".example.com" + mediaAt + "ME1",
	} {
		_, err := client.Media(t.Context(), link)
		require.ErrorIs(t, err, twilio.ErrMediaURL, link)
	}
	require.Zero(t, hits)
}
