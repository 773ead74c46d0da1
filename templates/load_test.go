package templates_test

import (
	"flag"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/templates"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name + ".golden"
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// files makes a folder out of pairs of name and content.
func files(pairs ...string) fs.FS {
	out := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return out
}

func mustLoad(tb testing.TB, pairs ...string) *templates.Set {
	tb.Helper()
	set, err := templates.Load(files(pairs...))
	require.NoError(tb, err)
	return set
}

// TestEveryMistakeAtOnce loads a folder of files, each named after its mistake.
func TestEveryMistakeAtOnce(t *testing.T) {
	t.Parallel()
	bad := os.DirFS("testdata/bad")
	_, err := templates.Load(bad)
	var load *templates.LoadError
	require.ErrorAs(t, err, &load)
	golden(t, "bad", err.Error()+"\n")
	names, err := fs.Glob(bad, "*")
	require.NoError(t, err)
	for _, name := range names {
		require.Contains(t, load.Error(), "\n"+name+":", "every file has a problem")
	}
}

func TestFolderThatIsNotThere(t *testing.T) {
	t.Parallel()
	_, err := templates.Load(os.DirFS("testdata/nowhere"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestFileTooLarge(t *testing.T) {
	t.Parallel()
	_, err := templates.Load(files("a.yaml", "sms: {en: Hi}\n#"+strings.Repeat("x", 1<<20)))
	require.ErrorContains(t, err, "a.yaml: is larger than")
}

func TestSet(t *testing.T) {
	t.Parallel()
	set := mustLoad(t,
		"b.yaml", `whatsapp: {text: {es_MX: "{{.z}} {{default .y .z}}", en: "{{range .list}}{{.q}}{{$.x}}{{end}}"}}`,
		"a.yaml", `sms: {en: "Hi {{with .who}}{{.name}}{{else}}{{.other}}{{end}}"}`,
		"README.md", "not a template", ".hidden.yaml", "{",
	)
	require.Equal(t, []string{"a", "b"}, set.Names())
	require.True(t, set.Has("a"))
	require.False(t, set.Has("c"))
	require.Equal(t, []message.Channel{message.SMS}, set.Channels("a"))
	require.Equal(t, []message.Channel{message.WhatsApp}, set.Channels("b"))
	require.Equal(t, []string{"en", "es-MX"}, set.Languages("b"))
	require.Equal(t, []string{"list", "x", "y", "z"}, set.Variables("b"))
	require.Equal(t, []string{"other", "who"}, set.Variables("a"))
	require.Empty(t, set.Channels("c"))
	require.Empty(t, set.Languages("c"))
	require.Empty(t, set.Variables("c"))
	require.Len(t, set.Version(), 12)
	first := mustLoad(t, "a.yaml", "sms: {en: Hi}").Version()
	again := mustLoad(t, "a.yaml", "sms: {en: Hi}").Version()
	require.Equal(t, first, again)
	require.NotEqual(t, first, mustLoad(t, "a.yaml", "sms: {en: Ho}").Version())
	require.NotEqual(t, first, mustLoad(t, "b.yaml", "sms: {en: Hi}").Version())
}

func TestLint(t *testing.T) {
	t.Parallel()
	set := mustLoad(t, "a.yaml", "sms:\n  en: \"It\u2019s {{.x}}\"\n  es: \""+strings.Repeat("a", 161)+"\"\n  fr: Bonjour\n")
	got := set.Lint()
	require.Len(t, got, 2)
	require.Equal(t, templates.Warning{
		Template: "a", Channel: message.SMS, Language: "en", File: "a.yaml", Line: 2, Column: 7,
		Message: "character 3, '’' (U+2019), is not in GSM-7: the whole message is sent as UCS-2, 70 characters a segment",
	}, got[0])
	require.Equal(t, "2 segments (GSM-7) before any variable is filled in", got[1].Message)
}

func FuzzLoad(f *testing.F) {
	for _, folder := range []fs.FS{os.DirFS("testdata/bad"), templates.Defaults()} {
		names, err := fs.Glob(folder, "*.yaml")
		require.NoError(f, err)
		for _, name := range names {
			data, err := fs.ReadFile(folder, name)
			require.NoError(f, err)
			f.Add(string(data))
		}
	}
	f.Fuzz(func(t *testing.T, data string) {
		set, err := templates.Load(files("a.yaml", data))
		if err != nil {
			var load *templates.LoadError
			require.ErrorAs(t, err, &load)
			require.NotEmpty(t, load.Problems)
			return
		}
		vars := map[string]any{"first_name": "Maria", "link": "x", "list": []any{"a", nil}, "n": 1.5, "null": nil}
		for _, language := range []string{"", "en", "es-MX"} {
			content, err := set.Render("a", language, vars)
			if content.SMS != nil {
				require.NotContains(t, content.SMS.Text, "<no value>")
			}
			require.True(t, err != nil || content.SMS != nil || content.WhatsApp != nil)
		}
		set.Lint()
	})
}
