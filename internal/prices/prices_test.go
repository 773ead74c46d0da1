package prices_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/prices"
)

func TestCost(t *testing.T) {
	t.Parallel()
	table, err := prices.Load("p.yaml", []byte(`currency: USD
prices:
  - {channel: sms, country: US, per: segment, price: 0.01}
  - {channel: sms, category: mms, per: message, price: "0.03"}
  - {channel: sms, country: US, category: mms, per: message, price: 0.02}
  - {channel: whatsapp, category: service, per: message, price: 0}
  - {channel: whatsapp, country: DE, per: message, price: 0.1}
`))
	require.NoError(t, err)
	require.Equal(t, "USD", table.Currency())
	for _, c := range []struct {
		channel           message.Channel
		country, category string
		want              string // empty: no price
	}{
		{message.SMS, "US", "sms", "0.30"},
		{message.SMS, "US", "mms", "0.20"},
		{message.SMS, "DE", "mms", "0.30"},
		{message.SMS, "DE", "sms", ""},
		{message.WhatsApp, "DE", "service", "1.00"},
		{message.WhatsApp, "", "service", "0.00"},
		{message.WhatsApp, "US", "utility", ""},
	} {
		got, known := table.Cost(c.channel, c.country, c.category, 10, 30)
		require.Equal(t, c.want != "", known, c)
		if known {
			require.Equal(t, c.want, got.FloatString(2), c)
		}
	}
}

func TestLoadReportsAllProblems(t *testing.T) {
	t.Parallel()
	_, err := prices.Load("p.yaml", []byte(`currency: dollars
prices:
  - {channel: fax, per: message, price: 1}
  - {channel: sms, category: service, per: message, price: 1}
  - {channel: sms, country: usa, per: message, price: 1}
  - {channel: sms, per: mile, price: 1}
  - {channel: whatsapp, per: segment, price: 1}
  - {channel: sms, category: sms, per: message}
  - {channel: sms, category: sms, per: message, price: 1}
`))
	for _, part := range []string{
		"prices p.yaml", "currency must", "price 1: channel", "price 2: category", "price 3: country", "price 4: per", "price 5: only SMS",
		"price 6: price is missing", "price 7: the same",
	} {
		require.ErrorContains(t, err, part)
	}
	for _, bad := range []string{"", "currency: USD", "currency: USD\nprices: [{channel: sms, per: message, price: much}]", "currency: USD\nprises: []"} {
		_, err := prices.Load("p.yaml", []byte(bad))
		require.Error(t, err, bad)
	}
}
