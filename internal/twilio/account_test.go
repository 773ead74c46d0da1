package twilio_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/twilio"
	"github.com/beckonhq/beckon/internal/twiliosim"
	"github.com/beckonhq/beckon/internal/twiliosim/twiliosimtest"
)

func TestAccount(t *testing.T) {
	t.Parallel()
	const service, hello, sale, plain = "MG00000000000000000000000000000001", "HX0000000000000000000000000000000a",
		"HX0000000000000000000000000000000b", "HX0000000000000000000000000000000c"
	sim := twiliosimtest.NewServer(t, twiliosim.Config{
		Services:    []twiliosim.Service{{SID: service, Senders: []string{"+15005550006"}}},
		Senders:     []string{"+15005550009", "whatsapp:+14155238886"},
		InboundURL:  "https://beckon.example.com/twilio/messages",
		Templates:   map[string]string{hello: "Hello {{1}} {{2}}", sale: "Sale", plain: "Plain"},
		Approvals:   map[string]twiliosim.Approval{sale: {Name: "sale", Language: "es", Status: "rejected", Category: "MARKETING"}},
		ContentPage: 1,
	})
	client := sim.Client(t)
	status, err := client.AccountStatus(t.Context())
	require.NoError(t, err)
	require.Equal(t, "active", status)

	found, err := client.Templates(t.Context()) // three pages
	require.NoError(t, err)
	require.Len(t, found, 3)
	require.Equal(t, twilio.Template{
		SID: hello, Name: "hx0000000000000000000000000000000a", Language: "en", Status: twilio.Approved, Category: "UTILITY", Variables: []string{"1", "2"},
	}, found[0])
	require.Equal(t, twilio.Template{SID: sale, Name: "sale", Language: "es", Status: "rejected", Category: "MARKETING"}, found[1])

	here := twilio.Endpoint{InboundURL: "https://beckon.example.com/twilio/messages"}
	online := here
	online.Status = "ONLINE"
	look := func(e twilio.Endpoint, there bool, err error) any {
		require.NoError(t, err)
		if !there {
			return nil
		}
		return e
	}
	require.Equal(t, here, look(client.MessagingService(t.Context(), service)))
	require.Nil(t, look(client.MessagingService(t.Context(), "MG00000000000000000000000000000002")))
	require.Equal(t, here, look(client.Number(t.Context(), "+15005550009")))
	require.Nil(t, look(client.Number(t.Context(), "+15005550010")))
	require.Equal(t, online, look(client.WhatsAppSender(t.Context(), "+14155238886")))
	require.Nil(t, look(client.WhatsAppSender(t.Context(), "+15005550009")))

	wrong := sim.Config()
	wrong.AuthToken = "wrong"
	stranger := twilio.New(wrong)
	t.Cleanup(stranger.Close)
	_, err = stranger.Templates(t.Context())
	failure, ok := twilio.AsError(err)
	require.True(t, ok)
	require.Equal(t, 20003, failure.Code)
	require.NotContains(t, err.Error(), "wrong")
}

// The Content API has a host of its own, which can be set apart.
func TestContentURL(t *testing.T) {
	t.Parallel()
	sim := twiliosimtest.NewServer(t, twiliosim.Config{Templates: map[string]string{"HX0000000000000000000000000000000a": "x"}})
	config := sim.Config()
	config.BaseURL, config.ContentURL = "http://127.0.0.1:1", sim.URL
	client := twilio.New(config)
	t.Cleanup(client.Close)
	found, err := client.Templates(t.Context())
	require.NoError(t, err)
	require.Len(t, found, 1)
	_, err = client.AccountStatus(t.Context())
	require.Error(t, err)
	config.ContentURL = "ftp://example.com"
	require.Error(t, config.Validate())
}
