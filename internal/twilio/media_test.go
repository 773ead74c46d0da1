package twilio_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/twilio"
	"github.com/beckonhq/beckon/internal/twiliosim/twiliosimtest"
)

// mediaAt is where Twilio keeps a picture of our account.
const mediaAt = "/2010-04-01/Accounts/" + twiliosimtest.AccountSID + "/Messages/MM1/Media/"

// picture begins as a PNG does.
const picture = "\x89PNG\r\n\x1a\na picture"

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
			_, _ = w.Write([]byte(picture))
		case "MEhtml":
			w.Header().Set("Content-Type", "text/html")
		case "MEdisguised":
			_, _ = w.Write([]byte("<html><script>alert(1)</script>"))
		case "MEempty":
		case "MEpacked":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write([]byte(picture))
		case "MElarge":
			w.Header().Set("Content-Length", "16777217")
		case "MEendless":
			_, _ = w.Write([]byte(picture))
			for range 20 {
				_, _ = w.Write(make([]byte, 1<<20))
			}
		case "MEshort":
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(picture + strings.Repeat("x", 600)))
		case "MEtrickle", "MEsilent":
			if r.URL.Path == mediaAt+"MEtrickle" {
				_, _ = w.Write([]byte(picture))
				_ = http.NewResponseController(w).Flush()
			}
			<-r.Context().Done()
		case "MEelsewhere":
			http.Redirect(w, r, "https://169.254.169.254/latest/meta-data", http.StatusTemporaryRedirect)
		case "MEback":
			http.Redirect(w, r, mediaAt+"ME1", http.StatusTemporaryRedirect)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	client := twilio.New(twilio.Config{
		AccountSID: twiliosimtest.AccountSID, AuthToken: twiliosimtest.AuthToken, BaseURL: server.URL, MediaTimeout: 300 * time.Millisecond,
	})
	t.Cleanup(client.Close)
	return client, server.URL
}

func TestMedia(t *testing.T) {
	t.Parallel()
	hits := 0
	client, at := mediaServer(t, &hits)
	got, err := client.Media(t.Context(), at+mediaAt+"ME1")
	require.NoError(t, err)
	require.Equal(t, "image/png", got.Type)
	require.Equal(t, int64(len(picture)), got.Size)
	data, err := io.ReadAll(got.Body)
	require.NoError(t, err)
	require.Equal(t, picture, string(data))
	require.NoError(t, got.Body.Close())
	for name, want := range map[string]error{
		"MEhtml": twilio.ErrMediaType, "MElarge": twilio.ErrMediaTooLarge, "MEnone": twilio.ErrMediaGone, "MEpacked": twilio.ErrMediaType,
		"MEelsewhere": twilio.ErrMediaURL, "MEback": twilio.ErrMediaURL, "MEdisguised": twilio.ErrMediaContent, "MEempty": twilio.ErrMediaContent,
		"MEtrickle": context.DeadlineExceeded, "MEsilent": context.DeadlineExceeded,
	} {
		_, err := client.Media(t.Context(), at+mediaAt+name)
		require.ErrorIs(t, err, want, name)
	}
}

// What is wrong with a body behind its first bytes shows while it is read.
func TestMediaOfAnotherLength(t *testing.T) {
	t.Parallel()
	hits := 0
	client, at := mediaServer(t, &hits)
	for name, want := range map[string]error{"MEendless": twilio.ErrMediaTooLarge, "MEshort": io.ErrUnexpectedEOF} {
		got, err := client.Media(t.Context(), at+mediaAt+name)
		require.NoError(t, err, name)
		n, err := io.Copy(io.Discard, got.Body)
		require.ErrorIs(t, err, want, name)
		require.LessOrEqual(t, n, int64(twilio.MaxMedia), name)
		require.NoError(t, got.Body.Close(), name)
	}
}

// A file is told by its first bytes where they tell anything.
func TestMediaIsWhatItIsSaidToBe(t *testing.T) {
	t.Parallel()
	var kind, data string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write([]byte(data))
	}))
	t.Cleanup(server.Close)
	client := twilio.New(twilio.Config{AccountSID: twiliosimtest.AccountSID, AuthToken: twiliosimtest.AuthToken, BaseURL: server.URL})
	t.Cleanup(client.Close)
	const jpeg, film, page = "\xff\xd8\xff\xe0\x00", "\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp41isom", "<!DOCTYPE html><p>"
	for _, one := range []struct {
		kind, data string
		good       bool
	}{
		{"image/jpeg", jpeg, true},
		{"image/png", jpeg, true}, // a picture all the same
		{"image/heic", "\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", true},
		{"audio/mp4", film, true},
		{"audio/ogg", "OggS\x00\x02", true},
		{"audio/amr", "#!AMR\n\x3c\x00\x01", true},
		{"application/pdf", "%PDF-1.7\n", true},
		{"text/vcard", "BEGIN:VCARD\r\nN:Ana;;;;\r\n", true},
		{"text/plain; charset=utf-8", "Sí", true},
		{"image/jpeg", page, false},
		{"image/jpeg", film, false},
		{"image/jpeg", "just words", false},
		{"video/mp4", "PK\x03\x04", false},
		{"application/pdf", page, false},
		{"application/pdf", "PK\x03\x04", false},
		{"text/plain", page, false},
		{"text/plain", "\x00\x01\x02", false},
		{"image/svg+xml", "<svg/>", false},
	} {
		kind, data = one.kind, one.data
		got, err := client.Media(t.Context(), server.URL+mediaAt+"ME1")
		if one.good {
			require.NoError(t, err, "%s %q", one.kind, one.data)
			require.NoError(t, got.Body.Close())
			continue
		}
		require.Error(t, err, "%s %q", one.kind, one.data)
	}
}

// The rest of a file is left at its server until somebody reads it, and a caller who has gone ends the request.
func TestMediaIsNotHeldInMemory(t *testing.T) {
	t.Parallel()
	more, ended := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		w.Header().Set("Content-Type", "image/png")
		_, _ = w.Write([]byte(picture + strings.Repeat("x", 600)))
		_ = http.NewResponseController(w).Flush()
		<-more
		_, _ = w.Write([]byte("more"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	client := twilio.New(twilio.Config{AccountSID: twiliosimtest.AccountSID, AuthToken: twiliosimtest.AuthToken, BaseURL: server.URL})
	t.Cleanup(client.Close)
	ctx, cancel := context.WithCancel(t.Context())
	got, err := client.Media(ctx, server.URL+mediaAt+"ME1")
	require.NoError(t, err, "the head is here before the server has written all of it")
	require.Negative(t, got.Size, "it did not say")
	close(more)
	_, err = io.ReadFull(got.Body, make([]byte, len(picture)+600+len("more")))
	require.NoError(t, err)
	cancel()
	_, err = got.Body.Read(make([]byte, 1))
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, got.Body.Close())
	<-ended
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
