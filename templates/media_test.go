package templates_test

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/templates"
)

const withMedia = `sms: {en: "See the plan, {{.name}}", es: "Mira el plan, {{.name}}"}
whatsapp: {text: {en: "See the plan, {{.name}}"}}
media:
  sms:
    en: ["https://example.com/en/{{.plan}}.pdf", "https://example.com/a.png"]
    es: ["https://example.com/es/{{urlquery .plan}}.pdf"]
  whatsapp: ["{{.photo}}"]
`

func TestMedia(t *testing.T) {
	t.Parallel()
	set, err := templates.Load(fstest.MapFS{"plan.yaml": {Data: []byte(withMedia)}})
	require.NoError(t, err)
	require.Equal(t, []string{"name", "photo", "plan"}, set.Variables("plan"))
	vars := map[string]any{"name": "Ana", "plan": "a b", "photo": "https://example.com/p.JPG"}
	content, err := set.Render("plan", "en", vars)
	require.NoError(t, err)
	require.Equal(t, []string{"https://example.com/en/a b.pdf", "https://example.com/a.png"}, content.SMS.Media)
	require.Equal(t, 1, content.SMS.Segments, "files cost no segments")
	require.Equal(t, []string{"https://example.com/p.JPG"}, content.WhatsApp.Media)
	content, err = set.Render("plan", "es-MX", vars)
	require.NoError(t, err)
	require.Equal(t, []string{"https://example.com/es/a+b.pdf"}, content.SMS.Media)

	for _, bad := range []string{"http://example.com/p.jpg", "https://example.com/p.gif", "secret", "https://u:p@example.com/p.jpg"} {
		vars["photo"] = bad
		content, err = set.Render("plan", "en", vars)
		require.ErrorContains(t, err, "variable photo: the URL of a file ")
		require.NotContains(t, err.Error(), bad, "errors hold no values")
		require.Nil(t, content.WhatsApp, "a text without its picture is not what was meant")
		require.NotNil(t, content.SMS, "the other channel is still good")
	}
	warnings := set.Lint()
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0].Message, "no ending")
	require.Equal(t, 7, warnings[0].Line)
	require.Equal(t, []templates.FixedFile{{Template: "plan", File: "plan.yaml", Channel: "sms", URL: "https://example.com/a.png"}}, set.FixedFiles())
}

func TestTextThatNobodySees(t *testing.T) {
	t.Parallel()
	for link, hidden := range map[string]bool{"a.pdf": true, "{{.a}}.ogg": true, "a.jpg": false, "a.mp4": false} {
		set, err := templates.Load(fstest.MapFS{"a.yaml": {Data: []byte("whatsapp: {text: {en: x}}\nmedia: {whatsapp: ['https://example.com/" + link + "']}")}})
		require.NoError(t, err)
		warnings := set.Lint()
		require.Equal(t, hidden, len(warnings) == 1, link)
		if hidden {
			require.Contains(t, warnings[0].Message, "WhatsApp shows no text beside such a file")
		}
	}
}

func TestMediaMistakes(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"sms: {en: x}\nmedia: {sms: ['http://example.com/a.jpg']}":                                 "a.yaml:2:15: the URL is not an https URL",
		"sms: {en: x}\nmedia: {sms: ['http://{{.host}}/a.jpg']}":                                   "is not an https URL",
		"sms: {en: x}\nmedia: {sms: ['https://example.com/{{.a}}.exe']}":                           "has an ending that MMS does not take",
		"whatsapp: {text: {en: x}}\nmedia: {whatsapp: ['https://example.com/a.gif']}":              "has an ending that WhatsApp does not take",
		"whatsapp: {text: {en: x}}\nmedia: {whatsapp: ['https://e.com/a.png', 'https://e.com/b']}": "2 files are too many: whatsapp takes 1",
		"sms: {en: x}\nmedia: {whatsapp: ['https://example.com/a.jpg']}":                           "media of whatsapp goes with its text",
		"whatsapp: {text: {en: x}}\nmedia: {sms: ['https://example.com/a.jpg']}":                   "media of sms goes with its text",
		"sms: {en: x}\nmedia: {fax: ['https://example.com/a.jpg']}":                                `unknown key "fax"`,
		"sms: {en: x}\nmedia: {sms: 'https://example.com/a.jpg'}":                                  "must be a list of https URLs",
		"sms: {en: x}\nmedia: {sms: []}":                                                           "must be a list of https URLs",
		"sms: {en: x}\nmedia: ['https://example.com/a.jpg']":                                       "must be a map",
	} {
		_, err := templates.Load(fstest.MapFS{"a.yaml": {Data: []byte(source)}})
		require.ErrorContains(t, err, want, source)
	}
}

// Variables that each fit and are too long together are found while rendering.
func TestContentVariablesTogether(t *testing.T) {
	t.Parallel()
	set, err := templates.Load(fstest.MapFS{"a.yaml": {Data: []byte("sms: {en: x}\nwhatsapp:\n  content_sid: HX00000000000000000000000000000001\n  content_variables: {'1': a, '2': b}\n")}})
	require.NoError(t, err)
	long := make([]byte, 600)
	for i := range long {
		long[i] = 'x'
	}
	content, err := set.Render("a", "en", map[string]any{"a": string(long), "b": string(long)})
	require.ErrorContains(t, err, "longer than 1024 characters together")
	require.Nil(t, content.WhatsApp)
	require.NotNil(t, content.SMS)
}
