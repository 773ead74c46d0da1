package config_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/config"
)

func TestSenders(t *testing.T) {
	t.Parallel()
	c, err := config.Load("testdata/senders.yaml", []string{"TWILIO_RATE=3/s"})
	require.NoError(t, err)
	common := config.Account{AccountSID: "AC1", AuthTokens: []config.Secret{"sesame1"}}
	require.Equal(t, []config.Sender{
		{Name: "default", SMSFrom: "+15557654321", Rate: config.Rate{Segments: 3, Per: time.Second}, Concurrency: 8, Account: common},
		{Name: "marketing", MessagingServiceSID: "MG1", Rate: config.Rate{Segments: 180, Per: time.Minute}, Concurrency: 2, Account: common},
		{
			Name: "emea", SMSFrom: "+15551112222", WhatsAppFrom: "+15551112222", Concurrency: 8,
			Account: config.Account{AccountSID: "AC2", AuthTokens: []config.Secret{"sesame2", "sesame3"}},
		},
	}, c.Senders)
	require.Equal(t, []string{"default", "marketing", "emea"}, c.SenderNames())
	require.Equal(t, []config.Secret{"sesame1", "sesame2", "sesame3"}, c.Tokens())
	require.Equal(t, time.Second/3, c.Senders[1].Rate.Pace())
	require.Zero(t, c.Senders[2].Rate.Pace())
	require.NoError(t, c.Check([]string{config.RoleDispatcher}))

	var out bytes.Buffer
	require.NoError(t, c.Print(&out))
	require.NotContains(t, out.String(), "sesame")
	require.NotContains(t, out.String(), "+1555")
	golden(t, "printsenders.golden", out.String())
}

func TestAllProblemsOfSendersAtOnce(t *testing.T) {
	t.Parallel()
	_, err := config.Load("testdata/badsenders.yaml", nil)
	var bad *config.Error
	require.ErrorAs(t, err, &bad)
	require.NotContains(t, err.Error(), "sesame")
	require.NotContains(t, err.Error(), "7654321")
	golden(t, "badsenders.golden", err.Error()+"\n")
}

// With accounts of their own for all senders, none in common is needed.
func TestSendersWithAccountsOfTheirOwn(t *testing.T) {
	t.Parallel()
	text := "senders:\n  - {name: one, from: '+15551112222', account_sid: AC2, auth_tokens: t}\n"
	c, err := config.Load(file(t, text), []string{"BECKON_SALESFORCE_ORG_IDS=00D000000000001"})
	require.NoError(t, err)
	require.NoError(t, c.Check(config.Roles()))
	c, err = config.Load(file(t, text+"  - {name: two, from: '+15551112223'}\n"), nil)
	require.NoError(t, err)
	require.ErrorContains(t, c.Check([]string{config.RoleDispatcher}), "TWILIO_ACCOUNT_SID")
}

func TestRateIsWrittenAsItIsRead(t *testing.T) {
	t.Parallel()
	for text, pace := range map[string]time.Duration{"1/s": time.Second, "180/m": time.Second / 3, "3600/h": time.Second, "": 0} {
		c := load(t, "TWILIO_RATE="+text, "TWILIO_FROM=+15557654321")
		require.Equal(t, pace, c.Senders[0].Rate.Pace(), text)
		require.Equal(t, text, c.Senders[0].Rate.String())
	}
	for _, text := range []string{"3", "0/s", "-1/s", "3/d", "3.5/s", "3 / s", "1000001/s"} {
		_, err := config.Load(empty(t), []string{"TWILIO_RATE=" + text})
		require.Error(t, err, text)
	}
}

// Who asks for a double opt-in must be there, and should have a name.
func TestWhoAsksForADoubleOptIn(t *testing.T) {
	t.Parallel()
	path := file(t, "senders:\n  - {name: one, from: '+15551112222', account_sid: AC2, auth_tokens: t}\n")
	_, err := config.Load(path, []string{"BECKON_DOUBLE_OPT_IN=on"})
	require.ErrorContains(t, err, `there is no sender "default" to ask by: set BECKON_ASK_SENDER to one of one`)
	c, err := config.Load(path, []string{"BECKON_DOUBLE_OPT_IN=on", "BECKON_ASK_SENDER=one"})
	require.NoError(t, err)
	require.Len(t, c.Warnings, 1)
	require.Contains(t, c.Warnings[0], "BECKON_BUSINESS_NAME")
	c, err = config.Load(path, []string{"BECKON_DOUBLE_OPT_IN=on", "BECKON_ASK_SENDER=one", "BECKON_BUSINESS_NAME=Acme"})
	require.NoError(t, err)
	require.Empty(t, c.Warnings)
	c, err = config.Load(path, nil)
	require.NoError(t, err)
	require.Empty(t, c.Warnings)
	c, err = config.Load(path, []string{"BECKON_REVOKE_SCOPE=program"})
	require.NoError(t, err)
	require.Empty(t, c.Warnings)
	require.Equal(t, time.Date(2027, time.January, 31, 0, 0, 0, 0, time.UTC), c.Consent.RevokeAllFrom)
	c, err = config.Load(path, []string{"BECKON_REVOKE_SCOPE=program", "BECKON_REVOKE_ALL_FROM=never"})
	require.NoError(t, err)
	require.Contains(t, c.Warnings[0], "2027-01-31")
	require.Zero(t, c.Consent.RevokeAllFrom)
	_, err = config.Load(path, []string{"BECKON_REVOKE_ALL_FROM=soon"})
	require.ErrorContains(t, err, "want a date such as 2027-01-31, or never")
}
