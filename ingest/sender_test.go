package ingest

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/stream"
)

func ourSenders() []Sender {
	return []Sender{
		{Name: "default", AccountSID: "AC1", SMSFrom: "+15005550001", WhatsAppFrom: "+15005550002"},
		{Name: "marketing", AccountSID: "AC1", MessagingServiceSID: "MG1", WhatsAppFrom: "+15005550001"},
		{Name: "emea", AccountSID: "AC2", SMSFrom: "+15005550003"},
		{Name: "emea-alerts", AccountSID: "AC2", SMSFrom: "+15005550004"},
	}
}

func TestSenderOfACallback(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind stream.CallbackKind
		form map[string]string
		want string
	}{
		"its number":              {stream.KindInbound, map[string]string{"To": "+15005550003", "AccountSid": "AC2"}, "emea"},
		"the same on WhatsApp":    {stream.KindInbound, map[string]string{"To": "whatsapp:+15005550001", "AccountSid": "AC1"}, "marketing"},
		"a number of its service": {stream.KindInbound, map[string]string{"To": "+15005559999", "MessagingServiceSid": "MG1", "AccountSid": "AC1"}, "marketing"},
		"the number goes first":   {stream.KindInbound, map[string]string{"To": "+15005550001", "MessagingServiceSid": "MG1", "AccountSid": "AC1"}, "default"},
		"only the account":        {stream.KindInbound, map[string]string{"To": "+15005559999", "AccountSid": "AC2"}, "emea"},
		"an account's own number": {stream.KindInbound, map[string]string{"To": "+15005550001", "AccountSid": "AC2"}, "emea"},
		"nothing that we know":    {stream.KindInbound, map[string]string{"To": "+15005559999", "AccountSid": "AC9"}, "default"},
		"a person with our words": {stream.KindInbound, map[string]string{"From": "+15005550004", "To": "+15005550001"}, "default"},
		"a status is from us":     {stream.KindStatus, map[string]string{"From": "+15005550004", "To": "+15005550001", "AccountSid": "AC2"}, "emea-alerts"},
		"a status of a service":   {stream.KindStatus, map[string]string{"MessagingServiceSid": "MG1", "To": "+15005550003", "AccountSid": "AC1"}, "marketing"},
	} {
		i := &Ingest{cfg: Config{Twilio: Twilio{Senders: ourSenders()}}}
		form := url.Values{}
		for key, value := range c.form {
			form.Set(key, value)
		}
		require.Equal(t, c.want, i.senderOf(c.kind, form), name)
	}
	require.Equal(t, "default", (&Ingest{}).senderOf(stream.KindStatus, url.Values{"AccountSid": {"AC1"}}))
}

func TestCallbacksGoToTheirSender(t *testing.T) {
	t.Parallel()
	c := openStream(t, newServer(t))
	h := newHouse(t, c, nil)
	form := inboundForm()
	form.Set("To", "+15005550003")
	form.Set("AccountSid", "AC2")
	require.Equal(t, http.StatusOK, h.callback(t, PathMessages, form, newToken).status)
	stored := fetch(t, c, stream.Inbound, 1)[0]
	require.Equal(t, "callbacks.inbound.emea", stored.Subject)
	require.Equal(t, "emea", stored.Get(stream.HeaderSender))
	status := statusForm("sent", "")
	status.Set("From", "whatsapp:+15005550001")
	require.Equal(t, http.StatusNoContent, h.callback(t, PathStatus, status, token).status)
	require.Equal(t, "callbacks.status.marketing", fetch(t, c, stream.StatusCallbacks, 1)[0].Subject)
}
