package consent_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
)

func read(t *testing.T, text string) ([]consent.Entry, []string) {
	t.Helper()
	var entries []consent.Entry
	wrong, err := consent.ReadCSV(strings.NewReader(text), consent.Import{
		Region: "US", Program: "news", Source: "web forms", By: "ana", Now: at(59),
	}, func(e consent.Entry) bool {
		entries = append(entries, e)
		return true
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

// What spreadsheets write, depending on the country and on what is clicked.
func TestReadCSVOfSpreadsheets(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"semicolons":   "Address;ACTION;Occurred_At;disclosure\r\n+14155550100;opt_in;2026-05-01;\"News; twice, a week\"\r\n",
		"tabs":         "address\taction\toccurred_at\tdisclosure\n+14155550100\topt_in\t2026-05-01\tNews; twice, a week\n",
		"only a quote": "\"address\";\"action\";\"occurred_at\";\"disclosure\"\n+14155550100;opt_in;2026-05-01;News\\; twice\n",
	} {
		entries, wrong := read(t, text)
		if name == "only a quote" {
			require.Equal(t, []string{"line 2: it has 5 fields, want 4"}, wrong)
			continue
		}
		require.Empty(t, wrong, name)
		require.Len(t, entries, 1, name)
		require.Equal(t, "News; twice, a week", entries[0].Proof.Disclosure, name)
	}
	_, wrong := read(t, "\xff\xfea\x00d\x00d\x00")
	require.Equal(t, []string{"line 1: the file is UTF-16 (Excel calls it Unicode text): save it as CSV UTF-8"}, wrong)
	_, wrong = read(t, "address,action,occurred_at,disclosure,evidence\n"+
		"+14155550100,opt_in,2026-05-01,S\xed,\n"+ // Latin-1
		"+14155550100,opt_in,2026-05-01,a\x00b,"+strings.Repeat("x", 501)+"\n")
	require.Equal(t, []string{
		"line 2: disclosure: it is not UTF-8: save the file as CSV UTF-8", "line 3: disclosure has a zero byte", "line 3: evidence is longer than 500 bytes",
	}, wrong)
}

// Of two words of one day, of which only the day is known, the stricter one counts; and nothing counts from later than now.
func TestReadCSVOfDays(t *testing.T) {
	t.Parallel()
	entries, wrong := read(t, "address,action,occurred_at\n"+
		"+14155550100,opt_out,2026-04-30\n+14155550100,opt_in,2026-04-30\n+14155550100,opt_out,2026-05-01\n")
	require.Empty(t, wrong)
	require.Equal(t, time.Date(2026, 4, 30, 23, 59, 59, 999_999_000, time.UTC), entries[0].OccurredAt)
	require.Equal(t, time.Date(2026, 4, 30, 0, 0, 0, 0, time.UTC), entries[1].OccurredAt)
	require.Equal(t, at(59), entries[2].OccurredAt, "it is today")
}

func TestReadCSVEndsWhenNoMoreIsWanted(t *testing.T) {
	t.Parallel()
	n := 0
	wrong, err := consent.ReadCSV(strings.NewReader("address,action,occurred_at\n+14155550100,opt_in,2026-04-30\n+14155550100,opt_out,2026-04-30\nx,y,z\n"),
		consent.Import{Region: "US", Now: at(59)}, func(consent.Entry) bool { n++; return n < 2 })
	require.NoError(t, err)
	require.Empty(t, wrong)
	require.Equal(t, 2, n)
}
