package app

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twiliosim/twiliosimtest"
)

func TestMediaIsPassedOn(t *testing.T) {
	t.Parallel()
	twilio := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, _, _ := r.BasicAuth(); user != twiliosimtest.AccountSID {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "image/png")
		_, _ = w.Write([]byte("a picture"))
	}))
	t.Cleanup(twilio.Close)
	cfg := withPostgres(t, "BECKON_TWILIO_API_URL="+twilio.URL)
	h := start(t, cfg, config.RoleRouter)
	h.healthy()
	_, err := h.store.ApplyReply(t.Context(), store.Reply{
		SID: "MM1", Sender: "default", Channel: message.SMS, From: "+14155550100", Received: time.Now(),
		Media: []store.Media{
			{URL: twilio.URL + "/2010-04-01/Accounts/" + cfg.Senders[0].Account.AccountSID + "/Messages/MM1/Media/ME1", ContentType: "image/png"},
			{URL: "http://127.0.0.1:1/2010-04-01/Accounts/x/Messages/MM1/Media/ME1", ContentType: "image/png"},
		},
	})
	require.NoError(t, err)
	res, err := h.client.Get(h.AdminURL() + "/api/v1/media/MM1/0")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "image/png", res.Header.Get("Content-Type"))
	require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
	require.Equal(t, `attachment; filename="MM1-0.png"`, res.Header.Get("Content-Disposition"))
	var wrong problem
	require.Equal(t, http.StatusForbidden, h.admin("/api/v1/media/MM1/1", &wrong))
	for _, path := range []string{"MM1/2", "MM1/-1", "MM1/x", "MM1/3000000000", "MM2/0"} {
		require.Equal(t, http.StatusNotFound, h.admin("/api/v1/media/"+path, &wrong), path)
	}
}
