package templates_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/segment"
	"github.com/beckonhq/beckon/templates"
)

// shipped holds usual variables of each shipped template.
func shipped() map[string]map[string]any {
	return map[string]map[string]any{
		"closed-won-welcome":   {"first_name": "Maria", "link": "https://example.com/start/006Hs00001ABCDE"},
		"case-escalated":       {"first_name": "Maria", "case_number": "00001026"},
		"case-closed":          {"first_name": "Maria", "case_number": "00001026"},
		"appointment-reminder": {"first_name": "Maria", "starts_at": "2026-03-14T15:30:00-05:00", "location": "12 Main Street"},
		"expense-approved":     {"first_name": "Maria", "report_name": "Sales kickoff, travel", "amount": 1234567.5, "currency": "USD"},
		"payment-overdue": {
			"first_name": "Maria", "invoice_number": "INV-2042", "amount": 80.0, "currency": "EUR", "due_date": "2026-03-01",
		},
		"appointment-confirmed": {}, "appointment-declined": {}, "rating-thanks": {}, "rating-reason": {},
		"rating-again":       {},
		"payment-plan-offer": {"first_name": "Maria", "link": "https://example.com/plan/2042"},
	}
}

func TestShippedTemplates(t *testing.T) {
	t.Parallel()
	set, err := templates.Load(templates.Defaults())
	require.NoError(t, err)
	require.Len(t, set.Names(), len(shipped()))
	require.Empty(t, set.Lint())
	var out strings.Builder
	for _, name := range set.Names() {
		vars := shipped()[name]
		require.Equal(t, []string{"en", "es"}, set.Languages(name))
		require.Len(t, set.Variables(name), len(vars))
		for _, language := range []string{"en_US", "es_MX", "es"} {
			content, err := set.Render(name, language, vars)
			require.NoError(t, err)
			require.Equal(t, segment.GSM7, content.SMS.Encoding, content.SMS.Text)
			require.Equal(t, 1, content.SMS.Segments, content.SMS.Text)
			text, err := json.MarshalIndent(content, "", "  ")
			require.NoError(t, err)
			fmt.Fprintf(&out, "%s %s %s\n", name, language, text)
		}
		for missing := range vars {
			some := shipped()[name]
			some[missing] = nil
			_, err := set.Render(name, "en", some)
			require.ErrorContains(t, err, "variable "+missing+": is null")
			delete(some, missing)
			_, err = set.Render(name, "en", some)
			require.ErrorContains(t, err, "variable "+missing+": is missing")
		}
	}
	golden(t, "shipped", out.String())
}

func TestLanguageFallback(t *testing.T) {
	t.Parallel()
	set := mustLoad(t,
		"all.yaml", `sms: {fr: fr, en: en, es: es, es_MX: es-MX, zh-Hant: zh-Hant, he: he}`,
		"latin.yaml", `sms: {es-419: es-419, es: es}`,
		"foreign.yaml", `sms: {de: de, es: es}`,
	)
	for _, tc := range []struct{ template, asked, want string }{
		{"all", "es_MX", "es-MX"},
		{"all", "es-MX", "es-MX"},
		{"all", "ES-mx", "es-MX"},
		{"all", "es_AR", "es"},
		{"all", "es", "es"},
		{"all", "en_US", "en"},
		{"all", "en_GB", "en"},
		{"all", "fr_CA", "fr"},
		{"all", "iw", "he"},
		{"all", "zh_TW", "zh-Hant"},
		{"all", "en_IE_EURO", "en"},
		{"all", "ja", "en"},
		{"all", "", "en"},
		{"all", "und", "en"},
		{"all", "not a language", "en"},
		{"all", "es__PREEURO", "es"},
		{"all", "es_MX_nowhere", "es-MX"},
		{"all", " es ", "es"},
		{"latin", "es_MX", "es-419"},
		{"latin", "es_ES", "es"},
		{"latin", "en", "es-419"},
		{"foreign", "ja", "de"},
		{"foreign", "", "de"},
	} {
		content, err := set.Render(tc.template, tc.asked, nil)
		require.NoError(t, err)
		require.Equalf(t, tc.want, content.SMS.Text, "%+v", tc)
		require.Equalf(t, tc.want, content.SMS.Language, "%+v", tc)
	}
}

func TestWhatsAppLanguages(t *testing.T) {
	t.Parallel()
	const en, es, other = "HX0000000000000000000000000000000e", "HX0000000000000000000000000000000f", "HX00000000000000000000000000000000"
	set := mustLoad(t,
		"both.yaml", `whatsapp: {content_sid: {en: `+en+`, es: `+es+`}, text: {en: "Hi", es-MX: "Hola"}}`,
		"one.yaml", `whatsapp: {content_sid: `+other+`, content_variables: {"1": "{{currency .n \"EUR\"}}"}, text: {de: "Hallo", en: Hi}}`,
		"plain.yaml", `whatsapp: {content_sid: `+other+`, content_variables: {"1": n}}`,
	)
	for _, tc := range []struct {
		name, asked string
		want        message.WhatsAppContent
	}{
		{"both", "en", message.WhatsAppContent{ContentSID: en, Text: "Hi", Language: "en"}},
		{"both", "es", message.WhatsAppContent{ContentSID: es, Language: "es"}},
		{"both", "es_MX", message.WhatsAppContent{ContentSID: es, Text: "Hola", Language: "es-MX"}},
		{"both", "fr", message.WhatsAppContent{ContentSID: en, Text: "Hi", Language: "en"}},
		{"one", "de", message.WhatsAppContent{ContentSID: other, Variables: map[string]string{"1": "1.500,00 €"}, Text: "Hallo", Language: "de"}},
		{"one", "fr", message.WhatsAppContent{ContentSID: other, Variables: map[string]string{"1": "€1,500.00"}, Text: "Hi", Language: "en"}},
		{"plain", "de", message.WhatsAppContent{ContentSID: other, Variables: map[string]string{"1": "1500"}, Language: "en"}},
	} {
		content, err := set.Render(tc.name, tc.asked, map[string]any{"n": 1500.0})
		require.NoError(t, err)
		require.Nil(t, content.SMS)
		require.Equal(t, &tc.want, content.WhatsApp)
	}
}

func TestUnknownTemplate(t *testing.T) {
	t.Parallel()
	content, err := mustLoad(t).Render("nobody", "en", nil)
	require.ErrorIs(t, err, templates.ErrNotFound)
	require.Equal(t, message.Content{}, content)
}

// TestOneChannelFails keeps what is good and says what isn't.
func TestOneChannelFails(t *testing.T) {
	t.Parallel()
	set := mustLoad(t, "a.yaml", `
sms: {en: "Hi {{.a}}"}
whatsapp:
  content_sid: HX00000000000000000000000000000001
  content_variables: {"1": b, "2": c}
  text: {en: "Hello {{.a}}"}
`)
	content, err := set.Render("a", "en", map[string]any{"a": "Maria", "b": "secret\nsecret", "c": nil})
	require.Equal(t, "Hi Maria", content.SMS.Text)
	require.Equal(t, &message.WhatsAppContent{Text: "Hello Maria", Language: "en"}, content.WhatsApp)
	require.EqualError(t, err, "template a (whatsapp, en): variable b: has a line break or a tab, which WhatsApp refuses\n"+
		"template a (whatsapp, en): variable c: is null")
	var one *templates.RenderError
	require.ErrorAs(t, err, &one)
	require.Equal(t, message.WhatsApp, one.Channel)

	content, err = set.Render("a", "en", map[string]any{"b": "x", "c": "y"})
	require.Nil(t, content.SMS)
	require.Equal(t, map[string]string{"1": "x", "2": "y"}, content.WhatsApp.Variables)
	require.ErrorContains(t, err, "template a (sms, en): variable a: is missing")

	content, err = set.Render("a", "en", nil)
	require.Equal(t, message.Content{}, content)
	require.Error(t, err)
}

func TestContentVariableRules(t *testing.T) {
	t.Parallel()
	set := mustLoad(t, "a.yaml", `whatsapp: {content_sid: HX00000000000000000000000000000001, content_variables: {"1": a}}`)
	for value, want := range map[string]string{
		"": "is empty", "  ": "is empty", "a\nb": "line break", "a\tb": "tab", "a     b": "four spaces",
		strings.Repeat("x", 1025): "longer than 1024",
	} {
		content, err := set.Render("a", "en", map[string]any{"a": value})
		require.ErrorContains(t, err, want)
		require.Nil(t, content.WhatsApp)
	}
	content, err := set.Render("a", "en", map[string]any{"a": "a    b"})
	require.NoError(t, err)
	require.Equal(t, "a    b", content.WhatsApp.Variables["1"])
}

// TestFailures holds each way in which a text fails to its words, which never hold a value.
func TestFailures(t *testing.T) {
	t.Parallel()
	vars := map[string]any{
		"null": nil, "s": "s3cret", "n": 4.0, "list": []any{nil}, "big": make([]any, 1001), "ch": make(chan int), "empty": "",
		"long": strings.Repeat("s3cret", 300), "huge": strings.Repeat("s3cret", 20000), "nested": map[string]any{"null": nil},
	}
	for text, want := range map[string]string{
		`{{.nobody}}`:                  "variable nobody: is missing",
		`{{.a}} {{.s}} {{.b}}`:         "variable a, b: is missing",
		`{{if .nobody}}x{{end}}y`:      "variable nobody: is missing",
		`{{default "x" .nobody}}`:      "variable nobody: is missing",
		`{{.null}}`:                    "variable null: is null",
		`{{.s}}{{.null}}`:              "variable null: is null",
		`{{upper .null}}`:              "variable null: is null",
		`{{print .null}}`:              "variable null: is null",
		`{{printf "%s" .null}}`:        "variable null: is null",
		`{{range .null}}x{{end}}y`:     "variable null: is null",
		`{{.nested.null}}`:             "is null",
		`{{.nested.nobody}}`:           "cannot take",
		`{{range .list}}{{.}}{{end}}`:  "is null",
		`{{range .n}}x{{end}}`:         "range takes a list",
		`{{range 1000000000}}x{{end}}`: "range takes a list",
		`{{range .big}}x{{end}}`:       "at most 1000",
		`{{.ch}}`:                      "variable ch: has a type",
		`{{currency .s "USD"}}`:        "variable s: is no number",
		`{{currency 1 .s}}`:            "is no ISO 4217 currency code",
		`{{number "NaN"}}`:             "is no number",
		`{{number .n 10}}`:             "0 to 9 decimals",
		`{{date .s}}`:                  "is no date",
		`{{date "2026-01-01" "lnog"}}`: "unknown style",
		`{{date "15:04:05Z"}}`:         "is a time of day",
		`{{time "2026-01-01"}}`:        "without a time of day",
		`{{date "2026-01-01T00:00:00Z" "long" "Mars/Base"}}`: "unknown time zone",
		`{{date "2026-01-01T00:00:00Z" "long" "Local"}}`:     "unknown time zone",
		`{{lt .s 4}}`:            "cannot take",
		`{{index .list 7}}`:      "cannot take",
		`{{.s.Name}}`:            "cannot take",
		`{{truncate -1 .s}}`:     "0 or more",
		`{{.empty}} `:            "the text is empty",
		`{{.long}}`:              "longer than 1600 characters",
		`{{.huge}}`:              "the output is too long",
		`{{printf "%99999d" 1}}`: "the output is too long",
	} {
		set := mustLoad(t, "a.yaml", "sms:\n  en: |-\n    "+text)
		content, err := set.Render("a", "en", vars)
		require.ErrorContainsf(t, err, want, "%s", text)
		require.NotContains(t, err.Error(), "s3cret")
		require.Nil(t, content.SMS)
		var one *templates.RenderError
		require.ErrorAs(t, err, &one)
		require.Equal(t, "a", one.Template)
	}
}

func TestFunctions(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 9, 5, 23, 30, 0, 0, time.UTC)
	vars := map[string]any{
		"at": at, "z": "2026-09-05T23:30:00.000Z", "rest": "2026-09-05T23:30:00.000+0000", "day": "2026-09-05", "clock": "15:04:05.000Z",
		"n": 1234567.5, "i": 42, "text": "1234.5", "neg": -3.0, "null": nil, "empty": "", "name": "maría del carmen", "on": true,
		"list": []string{"a", "b"}, "accent": "e\u0301", "yen": 1500.0,
	}
	for _, tc := range []struct{ language, text, want string }{
		{"en", `{{date .at}}`, "Sep 5, 2026"},
		{"en", `{{date .z "short"}}`, "9/5/2026"},
		{"en", `{{date .rest "long"}}`, "September 5, 2026"},
		{"en", `{{date .day "full"}}`, "Saturday, September 5, 2026"},
		{"en", `{{date .z "long" "America/New_York"}}`, "September 5, 2026"},
		{"en", `{{date .z "long" "Asia/Tokyo"}}`, "September 6, 2026"},
		{"en", `{{date .day "long" "Asia/Tokyo"}}`, "September 5, 2026"},
		{"en", `{{date .z "2006-01-02"}}`, "2026-09-05"},
		{"en-GB", `{{date .z "short"}}, {{date .z "full"}}`, "05/09/2026, Saturday, 5 September 2026"},
		{"es", `{{date .z "short"}}`, "5/9/2026"},
		{"es", `{{date .z "long"}}`, "5 de septiembre de 2026"},
		{"es", `{{date .z "full"}}`, "sábado, 5 de septiembre de 2026"},
		{"es-MX", `{{date .z "Mon 2 Jan"}}`, "sáb 5 sept"},
		{"es", `{{date "2026-03-10" "Mon 2 Jan"}}`, "mar 10 mar"},
		{"de", `{{date .z "long"}}`, "2026-09-05"},
		{"en", `{{time .z}}`, "11:30 PM"},
		{"en", `{{time .z "short" "America/New_York"}}`, "7:30 PM"},
		{"en", `{{time .z "15:04"}}`, "23:30"},
		{"en", `{{time .clock}}`, "3:04 PM"},
		{"es", `{{time .z "short" "Europe/Madrid"}}`, "01:30"},
		{"en", `{{.n}}`, "1234567.5"},
		{"en", `{{number .n}}`, "1,234,567.5"},
		{"en", `{{number .n 2}}`, "1,234,567.50"},
		{"es", `{{number .n 2}}`, "1.234.567,50"},
		{"fr", `{{number .n 2}}`, "1 234 567,50"},
		{"en", `{{number .i}} {{.i}}`, "42 42"},
		{"en", `{{currency .n "USD"}}`, "$1,234,567.50"},
		{"en", `{{currency .text "EUR"}}`, "€1,234.50"},
		{"en", `{{currency .yen "JPY"}}`, "¥1,500"},
		{"en", `{{currency .neg "GBP"}}`, "-£3.00"},
		{"en", `{{currency .neg "CHF"}}`, "-CHF 3.00"},
		{"en", `{{currency .yen "CAD"}}`, "CAD 1,500.00"},
		{"en-CA", `{{currency .yen "CAD"}}`, "$1,500.00"},
		{"en-CA", `{{currency .yen "USD"}}`, "USD 1,500.00"},
		{"es", `{{currency .yen "EUR"}}`, "1.500,00 €"},
		{"es", `{{currency .yen "USD"}}`, "1.500,00 USD"},
		{"es-MX", `{{currency .yen "MXN"}}`, "$1,500.00"},
		{"es-US", `{{currency .yen "USD"}}`, "$1,500.00"},
		{"en", `{{default "there" .null}} {{default "there" .empty}} {{default "there" .name}}`, "there there maría del carmen"},
		{"en", `{{.null | default "there"}}`, "there"},
		{"en", `{{if .null}}a{{else}}b{{end}}{{if .on}}c{{end}}`, "bc"},
		{"en", `{{title .name}}`, "María Del Carmen"},
		{"en", `{{upper .name}} {{lower "ABC"}}`, "MARÍA DEL CARMEN abc"},
		{"tr", `{{upper "i"}}`, "İ"},
		{"en", `[{{trim "  a "}}]`, "[a]"},
		{"en", `{{truncate 9 .name}}|{{truncate 8 .name}}|{{truncate 2 .name}}|{{truncate 99 .name}}`, "maría...|maría...|ma|maría del carmen"},
		{"en", `{{range $i, $e := .list}}{{$i}}{{$e}}{{end}}{{range .list}}{{.}}{{break}}{{end}}`, "0a1ba"},
		{"en", `{{printf "%.1f" .n}}`, "1234567.5"},
		{"en", `{{if gt .n 3.5}}more{{end}}`, "more"},
		{"en", `{{.accent}}`, "é"},
		{"en", `{{.on}}`, "true"},
	} {
		set := mustLoad(t, "a.yaml", "sms:\n  "+tc.language+": |-\n    "+tc.text)
		content, err := set.Render("a", tc.language, vars)
		require.NoErrorf(t, err, "%+v", tc)
		require.Equalf(t, tc.want, content.SMS.Text, "%+v", tc)
	}
}

// TestFunctionList holds the list, the package comment and what texts accept to one another.
func TestFunctionList(t *testing.T) {
	t.Parallel()
	comment, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	for _, f := range templates.Functions() {
		require.Contains(t, string(comment), f.Usage)
		require.Contains(t, f.Usage, "{{"+f.Name+" ")
		require.NotEmpty(t, f.Summary)
		mustLoad(t, "a.yaml", "sms:\n  en: |-\n    "+f.Usage)
	}
}

func TestRenderManyAtOnce(t *testing.T) {
	t.Parallel()
	set, err := templates.Load(templates.Defaults())
	require.NoError(t, err)
	for name, vars := range shipped() {
		for range 4 {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				_, err := set.Render(name, "es", vars)
				require.NoError(t, err)
			})
		}
	}
}

func BenchmarkRender(b *testing.B) {
	set, err := templates.Load(templates.Defaults())
	require.NoError(b, err)
	for name, vars := range shipped() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := set.Render(name, "es-MX", vars); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
