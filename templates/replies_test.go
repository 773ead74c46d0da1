package templates_test

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/segment"
	"github.com/beckonhq/beckon/templates"
)

func none() *templates.Set { return nil }

func TestReplies(t *testing.T) {
	t.Parallel()
	r, err := templates.NewReplies(none, "", "")
	require.NoError(t, err)
	named, err := templates.NewReplies(none, "Acme", "555-0100")
	require.NoError(t, err)
	for _, name := range []string{templates.OptOutConfirmation, templates.OptInConfirmation, templates.Help} {
		for _, language := range []string{"", "en_US", "es-MX", "fr"} {
			content, err := r.Render(name, language)
			require.NoError(t, err)
			require.Equal(t, segment.GSM7, content.SMS.Encoding)
			require.Equal(t, 1, content.SMS.Segments)
			require.Equal(t, content.SMS.Text, content.WhatsApp.Text)
		}
		content, err := named.Render(name, "es")
		require.NoError(t, err)
		require.Regexp(t, "^Acme: .*(START|STOP)", content.SMS.Text)
	}
	for _, render := range []func(*templates.Replies, string) (message.Content, error){
		func(r *templates.Replies, language string) (message.Content, error) {
			return r.Question(language, "acme/news")
		},
		func(r *templates.Replies, language string) (message.Content, error) {
			return r.Render(templates.OptInConfirmation, language)
		},
	} {
		for _, language := range []string{"", "en_US", "es-MX", "fr"} {
			content, err := render(named, language)
			require.NoError(t, err)
			require.Equal(t, segment.GSM7, content.SMS.Encoding)
			require.Equal(t, 1, content.SMS.Segments, content.SMS.Text)
			require.Regexp(t, "^Acme: .*STOP", content.SMS.Text)
			require.Regexp(t, "^Acme: .*STOP", content.WhatsApp.Text)
		}
	}
	content, err := named.Render(templates.Help, "en")
	require.NoError(t, err)
	require.Contains(t, content.SMS.Text, "555-0100")
}

func TestOwnReplies(t *testing.T) {
	t.Parallel()
	own, err := templates.Load(fstest.MapFS{
		"help.yaml":                 {Data: []byte(`{sms: {en: "Ask {{.contact}}"}, whatsapp: {text: {en: "Ask {{.contact}}"}}}`)},
		"opt-out-confirmation.yaml": {Data: []byte(`{sms: {en: "{{.nothing}}"}}`)},
		"double-opt-in.yaml":        {Data: []byte(`{sms: {en: "{{.program}}?"}, whatsapp: {text: {en: "{{.program}}?"}}}`)},
	})
	require.NoError(t, err)
	r, err := templates.NewReplies(func() *templates.Set { return own }, "", "Ana")
	require.NoError(t, err)
	content, err := r.Render(templates.Help, "es")
	require.NoError(t, err)
	require.Equal(t, "Ask Ana", content.SMS.Text)
	content, err = r.Render(templates.OptOutConfirmation, "en")
	require.NoError(t, err)
	require.Contains(t, content.SMS.Text, "opted out", "the shipped one, in place of one that can't be rendered")
	content, err = r.Question("en", "acme/news")
	require.NoError(t, err)
	require.Equal(t, "acme/news?", content.SMS.Text)

	own = nil
	content, err = r.Render(templates.Help, "es")
	require.NoError(t, err)
	require.Contains(t, content.SMS.Text, "Ana.", "the set of the moment counts")
}

// What would silently not be used is warned about.
func TestLintSaysWhichOwnRepliesAreNotUsed(t *testing.T) {
	t.Parallel()
	both := func(text string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(`{sms: {en: "` + text + `"}, whatsapp: {text: {en: "` + text + `"}}}`)}
	}
	own, err := templates.Load(fstest.MapFS{
		"help.yaml":                 both("Ask {{.contact}} about {{.program}}"),
		"double-opt-in.yaml":        both("{{.business}}: news of {{.program}}?"),
		"opt-in-again.yaml":         {Data: []byte(`{sms: {en: "Back again"}}`)},
		"opt-in-confirmation.yaml":  {Data: []byte(`{sms: {en: "In", es: "Dentro, {{.business}}"}, whatsapp: {text: {en: "In"}}}`)},
		"opt-out-confirmation.yaml": {Data: []byte(`{whatsapp: {text: {en: "Out"}}}`)},
		"welcome.yaml":              {Data: []byte(`{sms: {en: "Hi {{.first_name}}"}}`)},
	})
	require.NoError(t, err)
	said := map[string]string{}
	for _, w := range own.Lint() {
		said[w.File] = w.Message
	}
	require.Len(t, said, 3)
	require.Regexp(t, `^the shipped text goes in its place: .*program`, said["help.yaml"])
	require.Equal(t, "the shipped text goes in its place: it has nothing for whatsapp", said["opt-in-again.yaml"])
	require.Equal(t, "the shipped text goes in its place: it has nothing for sms", said["opt-out-confirmation.yaml"])
}
