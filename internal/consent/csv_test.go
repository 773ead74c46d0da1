package consent_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
)

func read(t *testing.T, text string) ([]consent.Entry, []string) {
	t.Helper()
	entries, wrong, err := consent.ReadCSV(strings.NewReader(text), consent.Import{
		Region: "US", Program: "news", Source: "web forms", By: "ana", Now: at(59),
	})
	require.NoError(t, err)
	var texts []string
	for _, w := range wrong {
		texts = append(texts, w.Error())
	}
	return entries, texts
}

func TestReadCSV(t *testing.T) {
	t.Parallel()
	entries, wrong := read(t, "\xef\xbb\xbfAction,address, occurred_at,channel,program,disclosure,source_url,ip,evidence\r\n"+
		"opt_in,(415) 555-0100,2026-05-01T12:00:00Z,sms,acme/offers,\"News,\ntwice a week\",https://example.com,192.0.2.1,form 7\r\n"+
		"OPT_OUT,US.1A2B,2026-04-30,,,,,,\r\n")
	require.Empty(t, wrong)
	require.Len(t, entries, 2)
	first := entries[0]
	require.Regexp(t, `^form 7 row [0-9a-f]{16}$`, first.Evidence)
	require.Equal(t, consent.Entry{
		Org: consent.AnyOrg, Address: "+14155550100", Channel: message.SMS, Action: consent.OptIn, Scope: consent.ProgramScope("acme/offers"),
		Purpose: message.Marketing, Source: consent.FromImport, Evidence: first.Evidence, Note: "web forms", OccurredAt: at(0),
		Proof: consent.Proof{Disclosure: "News,\ntwice a week", SourceURL: "https://example.com", IP: "192.0.2.1", Operator: "ana"},
	}, first)
	require.Equal(t, consent.ProgramScope("news"), entries[1].Scope)
	require.Equal(t, consent.AllChannels, entries[1].Channel)

	again, _ := read(t, "address,action,occurred_at\n+1 415 555 0100,opt_out,2026-05-01T12:00:00Z\n+14155550100,opt_out,2026-05-01T14:00:00+02:00\n+14155550100,opt_out,2026-05-01\n")
	require.Equal(t, again[0].Evidence, again[1].Evidence, "the same thing, written in another way")
	require.NotEqual(t, again[0].Evidence, again[2].Evidence)
}

func TestReadCSVTellsEveryMistake(t *testing.T) {
	t.Parallel()
	_, wrong := read(t, "address,action,occurred_at,channel,program,ip\n"+
		"12,maybe,soon,fax,Big,x\n"+
		"+14155550100,opt_in\n"+
		"+14155550100,opt_in,2030-01-01,sms,,\n"+
		"+14155550100,\"opt_in\"x,2030-01-01,sms,,\n"+
		"+14155550100,opt_in,2026-01-01,sms,,\n")
	require.Equal(t, []string{
		"line 2: address: not a valid phone number in region US", "line 2: channel: want all, sms or whatsapp",
		"line 2: action: want opt_in, confirm, opt_out or re_opt_in", "line 2: program: want a name in kebab-case, or brand/name",
		"line 2: occurred_at: want a time in RFC 3339 such as 2026-05-01T12:00:00Z, or a date", "line 2: ip: want an IP address",
		"line 3: it has 2 fields, want 6", "line 4: occurred_at: it is in the future", `line 5: extraneous or missing " in quoted-field`,
	}, wrong)
	_, wrong = read(t, "phone,action,action\n")
	require.Len(t, wrong, 4)
	_, wrong = read(t, "")
	require.Equal(t, []string{"line 1: the file is empty: want a line of column names"}, wrong)
}
