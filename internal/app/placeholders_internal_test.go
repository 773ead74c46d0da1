package app

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/config"
)

func TestPlaceholdersAreWarnedAbout(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(`rules:
  - {name: a-rule, object: Case, when: "true", to: record.Phone, channels: [whatsapp, sms], template: closed-won-welcome, purpose: transactional, vars: {first_name: '"x"', link: '"y"'}}
`), 0o600))
	quiet := slog.New(slog.DiscardHandler)
	policies, err := newPolicies(PolicySource{RulesDir: dir}, quiet, prometheus.NewRegistry())
	require.NoError(t, err)
	for _, c := range []struct {
		url, whatsApp string
		warns         int
	}{
		{"https://api.twilio.com", "+14155238886", 2}, // en and es of the one template that a rule uses
		{"http://127.0.0.1:8010", "+14155238886", 0},
		{"https://api.twilio.com", "", 0},
	} {
		var out bytes.Buffer
		a := &App{log: slog.New(slog.NewTextHandler(&out, nil)), policies: policies, cfg: &config.Config{}}
		a.cfg.Twilio.APIURL = c.url
		a.cfg.Senders = []config.Sender{{Name: "default", WhatsAppFrom: address.Address(c.whatsApp)}}
		a.warnOfPlaceholders(t.Context())
		require.Equal(t, c.warns, bytes.Count(out.Bytes(), []byte("placeholder")), c)
	}
}
