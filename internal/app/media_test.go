package app

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twiliosim"
	"github.com/beckonhq/beckon/internal/twiliosim/twiliosimtest"
)

// picture begins as a PNG does.
const picture = "\x89PNG\r\n\x1a\na picture"

// sends lets a reply come with these files.
func (h *house) sends(sid string, links ...string) {
	h.t.Helper()
	reply := store.Reply{SID: sid, Sender: "default", Channel: message.SMS, From: "+14155550100", Received: time.Now()}
	for _, link := range links {
		reply.Media = append(reply.Media, store.Media{URL: link, ContentType: "image/png"})
	}
	_, err := h.store.ApplyReply(h.t.Context(), reply)
	require.NoError(h.t, err)
}

// file asks for one of the files of a reply.
func (h *house) file(ctx context.Context, method, path string) (*http.Response, error) {
	h.t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, h.AdminURL()+"/api/v1/media/"+path, http.NoBody)
	require.NoError(h.t, err)
	request.Header.Set("Range", "bytes=0-3")
	return h.client.Do(request)
}

func TestMediaIsPassedOn(t *testing.T) {
	t.Parallel()
	sim := twiliosimtest.NewServer(t, twiliosim.Config{})
	h := start(t, withPostgres(t, "BECKON_TWILIO_API_URL="+sim.URL), config.RoleRouter)
	h.healthy()
	large := append([]byte(picture), make([]byte, 3<<20)...)
	gone := sim.AddMedia("image/png", []byte(picture))
	sim.RemoveMedia(gone)
	h.sends("MM1", sim.URL+sim.AddMedia("image/png", large), "http://127.0.0.1:1"+gone, sim.URL+gone, sim.URL+sim.AddMedia("text/html", []byte("<p>")),
		sim.URL+sim.AddMedia("image/png", []byte("<html>")), sim.URL+sim.AddMedia("image/png", make([]byte, 17<<20)))
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		res, err := h.file(t.Context(), method, "MM1/0")
		require.NoError(t, err)
		data, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusOK, res.StatusCode, "a part is answered with all of it")
		for name, want := range map[string]string{
			"Content-Type": "image/png", "Content-Length": strconv.Itoa(len(large)), "X-Content-Type-Options": "nosniff", "Accept-Ranges": "none",
			"Cache-Control": "private, no-store", "Content-Disposition": `attachment; filename="MM1-0.png"`,
			"Content-Security-Policy": "sandbox; default-src 'none'",
		} {
			require.Equal(t, want, res.Header.Get(name), name)
		}
		require.True(t, method == http.MethodHead && len(data) == 0 || bytes.Equal(large, data), method)
	}
	var wrong problem
	for path, want := range map[string]int{
		"MM1/1": http.StatusForbidden, "MM1/2": http.StatusNotFound, "MM1/3": http.StatusUnsupportedMediaType,
		"MM1/4": http.StatusUnsupportedMediaType, "MM1/5": http.StatusRequestEntityTooLarge,
		"MM1/6": http.StatusNotFound, "MM1/-1": http.StatusNotFound, "MM1/x": http.StatusNotFound, "MM1/3000000000": http.StatusNotFound, "MM2/0": http.StatusNotFound,
	} {
		require.Equal(t, want, h.admin("/api/v1/media/"+path, &wrong), path)
		require.NotEmpty(t, wrong.Error)
	}
	for _, fault := range []twiliosim.Fault{{Kind: twiliosim.RateLimit, RetryAfterSeconds: 7}, {Kind: twiliosim.Reset}, {Kind: twiliosim.ServerError}} {
		fault.Op = twiliosim.OpMedia
		sim.AddFault(fault)
		res, err := h.file(t.Context(), http.MethodGet, "MM1/0")
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		if fault.Kind == twiliosim.RateLimit {
			require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
			require.Equal(t, "7", res.Header.Get("Retry-After"))
			continue
		}
		require.Equal(t, http.StatusBadGateway, res.StatusCode, fault.Kind)
	}
}

// endless is a Twilio whose files never end: it writes what is asked for and then waits until the other side has gone.
func endless(t *testing.T, write int) (url string, gone <-chan struct{}) {
	t.Helper()
	ended := make(chan struct{}, 2*mediaAtOnce)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { ended <- struct{}{} }()
		w.Header().Set("Content-Type", "image/png")
		_, _ = w.Write([]byte(picture))
		_, _ = w.Write(make([]byte, write))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	return server.URL, ended
}

// A file goes on while it arrives. Only so many do at once, whoever comes then is told to come again, and a client that goes makes room
// and ends the request to Twilio.
func TestMediaIsPassedOnWhileItArrivesAndNotToAnyNumber(t *testing.T) {
	t.Parallel()
	url, gone := endless(t, 1<<20)
	h := start(t, withPostgres(t, "BECKON_TWILIO_API_URL="+url), config.RoleRouter)
	h.healthy()
	h.sends("MM1", url+"/2010-04-01/Accounts/"+h.cfg.Senders[0].Account.AccountSID+"/Messages/MM1/Media/ME1")
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	for range mediaAtOnce {
		res, err := h.file(ctx, http.MethodGet, "MM1/0")
		require.NoError(t, err)
		defer res.Body.Close()
		require.Equal(t, http.StatusOK, res.StatusCode)
		_, err = io.CopyN(io.Discard, res.Body, 1<<20)
		require.NoError(t, err, "what has come is passed on")
	}
	res, err := h.file(t.Context(), http.MethodGet, "MM1/0")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	require.Equal(t, "1", res.Header.Get("Retry-After"))
	leave()
	for range mediaAtOnce {
		<-gone
	}
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		res, err := h.file(ctx, http.MethodGet, "MM1/0")
		return err == nil && res.Body.Close() == nil && res.StatusCode == http.StatusOK
	}, patience, tick)
}

// A file that turns out to be too large is cut off, so that nobody takes the part for the whole.
func TestMediaThatIsTooLargeIsCutOff(t *testing.T) {
	t.Parallel()
	url, gone := endless(t, 16<<20)
	h := start(t, withPostgres(t, "BECKON_TWILIO_API_URL="+url), config.RoleRouter)
	h.healthy()
	h.sends("MM1", url+"/2010-04-01/Accounts/"+h.cfg.Senders[0].Account.AccountSID+"/Messages/MM1/Media/ME1")
	res, err := h.file(t.Context(), http.MethodGet, "MM1/0")
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, res.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.LessOrEqual(t, n, int64(16<<20))
	require.NoError(t, res.Body.Close())
	<-gone
}
