package app

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/view"
)

func TestConsentAPI(t *testing.T) {
	t.Parallel()
	c := withPostgres(t)
	c.Consent.DoubleOptIn = "on"
	h := start(t, c, config.RoleRouter)
	h.healthy()
	const jsonType, person = "application/json", "/api/v1/consent/%2B14155550123"
	var v view.Consent
	require.Equal(t, http.StatusOK, h.admin(person, &v))
	require.Equal(t, map[string]string{"sms": "none", "whatsapp": "none"}, v.State)
	require.Empty(t, v.History)

	const form = `{"address": "415 555 0123", "action": "opt_in", "program": "acme/news", "occurred_at": "2026-05-01T12:00:00Z", "by": "web form",
		"disclosure": "News, twice a week", "source_url": "https://example.com/join", "ip": "192.0.2.1", "key": "form-7"}`
	for range 2 { // the answer to the first one was lost
		v = view.Consent{}
		require.Equal(t, http.StatusOK, h.post("/api/v1/consent", jsonType, form, &v))
		require.Len(t, v.History, 1)
	}
	e := v.History[0]
	require.Equal(t, []string{"opt_in", "api", "form-7", "web form", "192.0.2.1", "acme/news", "marketing"},
		[]string{e.Action, e.Source, e.Evidence, e.Operator, e.IP, e.Program, e.Purpose})
	require.Len(t, e.DisclosureHash, 64)
	require.Empty(t, v.Marketing, "it waits to be confirmed")
	require.Len(t, v.DoubleOptIn, 1)
	require.Equal(t, view.QuestionDue, v.DoubleOptIn[0].State)

	require.Equal(t, http.StatusOK, h.post("/api/v1/consent", jsonType, `{"address": "+14155550123", "action": "confirm", "brand": "acme", "by": "ana"}`, &v))
	require.Equal(t, http.StatusOK, h.admin(person+"?program=acme/news", &v))
	require.Equal(t, []string{"sms", "whatsapp"}, v.Marketing)
	require.Equal(t, view.QuestionConfirmed, v.DoubleOptIn[0].State)
	require.Equal(t, http.StatusOK, h.post("/api/v1/consent", jsonType, `{"address": "+14155550123", "action": "opt_out", "channel": "sms", "by": "ana"}`, &v))
	require.Equal(t, "opt_out", v.State["sms"])

	for body, want := range map[string]string{
		`{"address": "+14155550177", "action": "opt_in"}`:                                                           "by",
		`{"address": "+14155550177", "action": "opt_in", "by": " "}`:                                                "by",
		`{"address": "+14155550177", "action": "opt_in", "by": "ana"} {}`:                                           "openapi.json",
		`{"address": "12", "action": "opt_in", "by": "ana"}`:                                                        "the address must be",
		`{"address": "+14155550177", "action": "erase", "by": "ana"}`:                                               "no action",
		`{"address": "+14155550177", "action": "opt_in", "by": "ana", "program": "a", "brand": "b"}`:                "not both",
		`{"address": "+14155550177", "action": "opt_in", "by": "ana", "channel": "fax"}`:                            "no channel",
		`{"address": "+14155550177", "action": "opt_in", "by": "ana", "ip": "here"}`:                                "IP address",
		`{"address": "+14155550177", "action": "opt_in", "by": "ana", "occurred_at": "2999-01-01T00:00:00Z"}`:       "in the future",
		`{"address": "+14155550177", "action": "opt_in", "by": "ana", "proof": "x"}`:                                "openapi.json",
		`{"address": "+14155550177", "action": "opt_in", "by": "ana", "program": "Big", "channel": "x", "ip": "x"}`: "no channel \"x\": want all, sms, whatsapp\nprogram",
	} {
		var wrong problem
		require.Equal(t, http.StatusBadRequest, h.post("/api/v1/consent", jsonType, body, &wrong), body)
		require.Contains(t, wrong.Error, want)
		require.NotContains(t, wrong.Error, "5550177")
	}
	for _, key := range []string{strings.Repeat("k", 501), `a\u0000b`} {
		body, wrong := `{"address": "+14155550177", "action": "opt_in", "by": "ana", "key": "`+key+`"}`, problem{}
		require.Equal(t, http.StatusBadRequest, h.post("/api/v1/consent", jsonType, body, &wrong))
		require.Contains(t, wrong.Error, "at most 500 bytes")
	}
	var wrong problem
	require.Equal(t, http.StatusUnsupportedMediaType, h.post("/api/v1/consent", "text/plain", form, &wrong), "a form of a web page")
	require.Equal(t, http.StatusBadRequest, h.admin("/api/v1/consent/nobody", &wrong))
	require.Equal(t, http.StatusBadRequest, h.admin(person+"?program=Big", &wrong))
}
