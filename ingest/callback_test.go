package ingest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/twilio"
)

const messageSID = "SM00000000000000000000000000000001"

type denies struct{}

func (denies) Verify(string, string, []byte, string) error { return errors.New("no") }

func inboundForm() url.Values {
	return url.Values{
		"MessageSid": {messageSID}, "From": {"+15005550006"}, "To": {"+15005550001"}, "Body": {"Stop & go ✓"},
		"AccountSid": {"AC1"},
	}
}

func statusForm(status, code string) url.Values {
	form := url.Values{"MessageSid": {messageSID}, "MessageStatus": {status}}
	if code != "" {
		form.Set("ErrorCode", code)
	}
	return form
}

// callback posts a form as Twilio does: signed for the public URL.
func (h *house) callback(tb testing.TB, target string, form url.Values, token string) reply {
	tb.Helper()
	return h.do(tb, http.MethodPost, target, []byte(form.Encode()), map[string]string{
		"Content-Type":       "application/x-www-form-urlencoded; charset=UTF-8",
		"X-Twilio-Signature": twilio.Sign(token, publicURL+target, form),
		// What a request says of itself must not count.
		"X-Forwarded-Host": "evil.example.com", "X-Forwarded-Proto": "http",
	})
}

func TestCallbacksAreStoredThenAnswered(t *testing.T) {
	t.Parallel()
	c := openStream(t, newServer(t))
	h := newHouse(t, c, nil)
	before := time.Now()
	for _, key := range []string{token, newToken} { // the second is a repeat, signed with the other token
		r := h.callback(t, PathMessages, inboundForm(), key)
		require.Equal(t, http.StatusOK, r.status, r.body)
		require.Equal(t, "text/xml; charset=utf-8", r.header.Get("Content-Type"))
		require.Equal(t, `<?xml version="1.0" encoding="UTF-8"?><Response/>`, r.body)
	}
	inbound := fetch(t, c, stream.Inbound, 1)
	require.Len(t, inbound, 1)
	require.Equal(t, inboundForm().Encode(), string(inbound[0].Data))
	require.Contains(t, inbound[0].Get(stream.HeaderContentType), "x-www-form-urlencoded")
	received, err := time.Parse(time.RFC3339Nano, inbound[0].Get(stream.HeaderReceived))
	require.NoError(t, err)
	require.WithinRange(t, received, before, time.Now())

	target := PathStatus + "?message=m%2F1&attempt=a1"
	for _, form := range []url.Values{
		statusForm("sent", ""), statusForm("sent", ""), statusForm("failed", "30003"), statusForm("failed", "30005"),
	} {
		r := h.callback(t, target, form, token)
		require.Equal(t, http.StatusNoContent, r.status, r.body)
		require.Empty(t, r.body)
	}
	for _, code := range []string{"21610", "63014"} {
		require.Equal(t, http.StatusNoContent, h.callback(t, target, statusForm("undelivered", code), token).status)
	}
	h.callback(t, target, statusForm("sent", "21610"), token) // no failure, whatever its code
	optOuts := fetch(t, c, stream.Inbound, 2)
	require.Len(t, optOuts, 2, "what says that the person opted out is among the replies, for which sending waits")
	require.True(t, optOuts[0].OptOut())
	require.False(t, inbound[0].OptOut())
	require.Equal(t, "message=m%2F1&attempt=a1", optOuts[0].Get(stream.HeaderQuery))
	last, err := c.LastInbound(t.Context())
	require.NoError(t, err)
	require.Equal(t, optOuts[1].Seq, last)
	status := fetch(t, c, stream.StatusCallbacks, 4)
	require.Len(t, status, 4, "the repeat is stored once")
	require.Equal(t, "message=m%2F1&attempt=a1", status[0].Get(stream.HeaderQuery))
	for _, value := range []string{"15005550006", "Stop", messageSID} {
		require.NotContains(t, h.log.String(), value)
	}
}

func TestCallbackRefusals(t *testing.T) {
	t.Parallel()
	form := inboundForm()
	formType := "application/x-www-form-urlencoded"
	sign := func(target string, f url.Values) string { return twilio.Sign(token, target, f) }
	noSID, badSID := url.Values{"Body": {"x"}}, url.Values{"MessageSid": {"SM1\r\nX: y"}}
	for name, tt := range map[string]struct {
		method, target, body, signature string
		err                             error
		status                          int
		reason                          string
	}{
		"GET":             {method: http.MethodGet, status: 405, reason: "method"},
		"no signature":    {body: form.Encode(), status: 403, reason: "bad_signature"},
		"other token":     {body: form.Encode(), signature: twilio.Sign("x", publicURL+PathMessages, form), status: 403, reason: "bad_signature"},
		"other body":      {body: form.Encode() + "&x=y", signature: sign(publicURL+PathMessages, form), status: 403, reason: "bad_signature"},
		"for another URL": {body: form.Encode(), signature: sign(publicURL+PathStatus, form), status: 403, reason: "bad_signature"},
		"other query":     {target: PathMessages + "?a=1", body: form.Encode(), signature: sign(publicURL+PathMessages, form), status: 403, reason: "bad_signature"},
		"for our host":    {body: form.Encode(), signature: sign("http://evil.example.com"+PathMessages, form), status: 403, reason: "bad_signature"},
		"too large":       {body: strings.Repeat("x", maxCallbackBody+1), signature: "x", status: 413, reason: "too_large"},
		"no SID":          {body: noSID.Encode(), signature: sign(publicURL+PathMessages, noSID), status: 400, reason: "no_sid"},
		"hostile SID":     {body: badSID.Encode(), signature: sign(publicURL+PathMessages, badSID), status: 400, reason: "no_sid"},
		"no SID, status":  {target: PathStatus, body: noSID.Encode(), signature: sign(publicURL+PathStatus, noSID), status: 400, reason: "no_sid"},
		"not durable":     {body: form.Encode(), signature: sign(publicURL+PathMessages, form), err: stream.ErrNotConfirmed, status: 503, reason: "not_confirmed"},
		"away":            {target: PathStatus, body: form.Encode(), signature: sign(publicURL+PathStatus, form), err: stream.ErrUnavailable, status: 503, reason: "unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, fakePublisher(func(context.Context) error {
				if tt.err == nil {
					t.Error("published")
				}
				return tt.err
			}), nil)
			method, target := tt.method, tt.target
			if method == "" {
				method = http.MethodPost
			}
			if target == "" {
				target = PathMessages
			}
			header := map[string]string{"Content-Type": formType, "X-Forwarded-Host": "evil.example.com"}
			if tt.signature != "" {
				header["X-Twilio-Signature"] = tt.signature
			}
			r := h.do(t, method, target, []byte(tt.body), header)
			require.Equal(t, tt.status, r.status, r.body)
			require.Equal(t, "text/plain; charset=utf-8", r.header.Get("Content-Type"))
			require.InEpsilon(t, 1.0, h.refusals(tt.reason), 0)
		})
	}
}

func TestWithoutPublicURLNoCallbackIsTaken(t *testing.T) {
	t.Parallel()
	h := newHouse(t, fakePublisher(stores), func(c *Config) { c.Twilio.PublicURL = "" })
	require.Equal(t, http.StatusForbidden, h.callback(t, PathMessages, inboundForm(), token).status)
	require.InEpsilon(t, 1.0, h.refusals("no_public_url"), 0)
	h.post(t, envelope(t, testOrg, "1")).acked(t)
}

func TestNewChecksItsConfiguration(t *testing.T) {
	t.Parallel()
	good := func() Config {
		return Config{
			Salesforce: Salesforce{Orgs: []notification.OrgID{testOrg}},
			Twilio:     Twilio{Verifier: denies{}, PublicURL: publicURL + "/"}, Publisher: fakePublisher(stores),
		}
	}
	_, err := New(good())
	require.NoError(t, err)
	for name, spoil := range map[string]func(*Config){
		"no organisation": func(c *Config) { c.Salesforce.Orgs = nil },
		"long org":        func(c *Config) { c.Salesforce.Orgs[0] += "AAA" },
		"no publisher":    func(c *Config) { c.Publisher = nil },
		"no verifier":     func(c *Config) { c.Twilio.Verifier = nil },
		"slash in secret": func(c *Config) { c.Salesforce.PathSecret = "a/b" },
		"relative URL":    func(c *Config) { c.Twilio.PublicURL = "hooks.example.com" },
		"URL with query":  func(c *Config) { c.Twilio.PublicURL += "?a" },
	} {
		cfg := good()
		spoil(&cfg)
		_, err := New(cfg)
		require.ErrorIs(t, err, ErrConfig, name)
	}
}
