package docs_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/cli"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/quiet"
	"github.com/beckonhq/beckon/router/rule"
	"github.com/beckonhq/beckon/templates"
)

const root = ".."

// skipped are folders that hold no documentation of ours.
func skipped() []string { return []string{".git", "node_modules", "bin", "data", "testdata"} }

// files returns the text of every file of the repository with one of the endings, by its path from the root.
func files(t *testing.T, endings ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains(skipped(), entry.Name()):
			return filepath.SkipDir
		case entry.IsDir() || !slices.Contains(endings, filepath.Ext(path)):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		found[name] = string(text)
		return err
	}))
	require.NotEmpty(t, found)
	return found
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(text)
}

func TestEverySettingIsDocumentedWithItsDefault(t *testing.T) {
	t.Parallel()
	lines := strings.Split(read(t, "configuration.md"), "\n")
	for _, setting := range config.Reference() {
		standard := "none"
		if setting.Default != "" {
			standard = "`" + setting.Default + "`"
		}
		row := fmt.Sprintf("| `%s` | `%s` | %s | ", setting.Path, setting.Variable, standard)
		require.Truef(t, slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, row) }),
			"configuration.md has no row that begins with %s", row)
	}
}

func TestEveryKeyOfASenderIsDocumented(t *testing.T) {
	t.Parallel()
	text := read(t, "configuration.md")
	for _, setting := range config.SenderReference() {
		require.Containsf(t, text, "\n| `"+setting.Path+"` | ", "configuration.md has no row for a key of the list of senders")
	}
}

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	t.Parallel()
	texts := files(t, ".md")
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for name, text := range texts {
		for _, found := range link.FindAllStringSubmatch(withoutFences(text), -1) {
			target, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			path := filepath.Join(filepath.Dir(name), target)
			if target == "" {
				path = name
			}
			_, err := os.Stat(filepath.Join(root, path))
			require.NoErrorf(t, err, "%s links to %s", name, found[1])
			if anchor != "" {
				require.Containsf(t, anchors(texts[path]), anchor, "%s links to %s", name, found[1])
			}
		}
	}
}

// anchors are the names that headings have in links.
func anchors(text string) []string {
	var names []string
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(withoutFences(text), -1) {
		name := regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}

func TestEveryVariableExists(t *testing.T) {
	t.Parallel()
	// Those of the Compose file alone, and of the configuration file's path.
	known := []string{"BECKON_CONFIG", "BECKON_VERSION", "BECKON_PUBLISH", "BECKON_ADMIN_PORT", "BECKON_DOMAIN"}
	for _, setting := range config.Reference() {
		known = append(known, setting.Variable)
	}
	mentioned := regexp.MustCompile(`\b(?:BECKON|TWILIO)_[A-Z0-9_]+\b`)
	for name, text := range files(t, ".md", ".example") {
		for _, variable := range mentioned.FindAllString(text, -1) {
			require.Containsf(t, known, variable, "%s mentions a variable that does not exist", name)
		}
	}
}

func TestEveryMetricExistsAndIsDocumented(t *testing.T) {
	t.Parallel()
	metric := regexp.MustCompile(`\bbeckon_[a-z]+(?:_[a-z]+)+\b`)
	defined := map[string]bool{}
	for name, text := range files(t, ".go") {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, found := range regexp.MustCompile(`"(beckon_[a-z]+(?:_[a-z]+)+)"`).FindAllStringSubmatch(text, -1) {
			defined[found[1]] = true
		}
	}
	operations := read(t, "operations.md")
	for name := range defined {
		if slices.Contains([]string{"beckon_list"}, name) { // a function of templates, not a metric
			continue
		}
		require.Containsf(t, operations, "`"+name, "operations.md does not mention a metric")
	}
	suffix := regexp.MustCompile(`_(bucket|sum|count)$`)
	volumes := []string{"beckon_outside", "beckon_inside"} // networks of the Compose project
	for name, text := range files(t, ".md") {
		for _, found := range metric.FindAllString(text, -1) {
			if slices.Contains(volumes, found) {
				continue
			}
			require.Truef(t, defined[found] || defined[suffix.ReplaceAllString(found, "")], "%s mentions the metric %s, which does not exist", name, found)
		}
	}
}

// At night one looks for the alert: the list of runbooks has each, and how urgent it is.
func TestEveryAlertExistsAndLeadsToARunbook(t *testing.T) {
	t.Parallel()
	severity := map[string]string{}
	alert := regexp.MustCompile(`(?s)- alert: (\w+)\n.*?severity: (\w+)`)
	for _, found := range alert.FindAllStringSubmatch(read(t, root+"/deploy/prometheus/alerts.yml"), -1) {
		severity[found[1]] = found[2]
	}
	require.NotEmpty(t, severity)
	for name, text := range files(t, ".md") {
		for _, found := range regexp.MustCompile("`(Beckon[A-Z][A-Za-z]+)`").FindAllStringSubmatch(text, -1) {
			require.Containsf(t, severity, found[1], "%s mentions an alert that does not exist", name)
		}
	}
	for name, urgent := range severity {
		require.Regexpf(t, "(?m)^\\| [^|]*`"+name+"`[^|]* \\| "+urgent+" \\| .+ \\|$", read(t, "runbooks/README.md"), "runbooks/README.md has no row for the alert")
	}
}

func TestEveryCommandExists(t *testing.T) {
	t.Parallel()
	commands := subCommands(t)
	// In code only: in prose the word after "beckon" is any word.
	code := regexp.MustCompile("`(?:bin/)?(beckon [^`]*)`|(?m)^ {4,}(?:\\$ )?(?:bin/)?(beckon .*)$")
	for name, text := range files(t, ".md") {
		for _, found := range code.FindAllStringSubmatch(text, -1) {
			words := strings.Fields(strings.NewReplacer("\\|", " | ", "`", " ").Replace(found[1] + found[2]))
			subs, ok := commands[words[1]]
			require.Truef(t, ok || strings.HasPrefix(words[1], "-"), "%s has the command %s", name, strings.Join(words, " "))
			if len(subs) > 0 && len(words) > 2 && !strings.HasPrefix(words[2], "-") {
				require.Containsf(t, subs, words[2], "%s has the command %s", name, strings.Join(words, " "))
			}
		}
	}
	operations := read(t, "operations.md")
	for command, subs := range commands {
		if command != "help" {
			require.Containsf(t, operations, "`beckon "+command, "operations.md does not mention a command")
		}
		for _, sub := range subs {
			require.Regexpf(t, "`beckon "+command+" [^`]*"+sub, operations, "operations.md does not mention a command")
		}
	}
}

// subCommands asks the program for its commands: the sub-commands of each, none for most.
func subCommands(t *testing.T) map[string][]string {
	t.Helper()
	commands := map[string][]string{}
	for _, command := range listed(t, "--help") {
		commands[command] = nil
		if command != "help" {
			commands[command] = listed(t, command, "--help")
		}
	}
	require.NotEmpty(t, commands)
	return commands
}

// listed returns the commands that a help text lists.
func listed(t *testing.T, args ...string) []string {
	t.Helper()
	var out bytes.Buffer
	require.Zero(t, cli.Main(context.WithoutCancel(t.Context()), args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &out}))
	_, list, _ := strings.Cut(out.String(), "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	var names []string
	for line := range strings.Lines(list) {
		names = append(names, strings.Fields(line)[0])
	}
	return names
}

func TestEveryPackageIsInTheArchitecture(t *testing.T) {
	t.Parallel()
	text := read(t, "architecture.md")
	entries, err := os.ReadDir(root + "/internal")
	require.NoError(t, err)
	for _, entry := range entries {
		if entry.IsDir() && entry.Name() != "zz" {
			require.Regexp(t, "`(internal/)?"+entry.Name()+"`", text)
		}
	}
}

func TestEveryRuleKeyIsDocumented(t *testing.T) {
	t.Parallel()
	// A file with only a wrong key makes the loader list the keys that it wants; the rest it says of a full rule.
	text := read(t, "rules.md")
	keys := []string{
		"name", "description", "object", "when", "to", "contact", "channels", "template", "purpose", "language", "vars", "once",
		"delay", "expires_after", "quiet_hours", "place", "breaker", "opt_out_breaker", "sender", "program",
	}
	for _, key := range keys {
		require.Containsf(t, text, "\n| `"+key+"` |", "rules.md has no row for the key")
	}
	full := "rules:\n  - " + strings.Join([]string{
		"name: a", "description: b", "object: C", "when: 'true'", "to: '\"x\"'", "contact: '\"x\"'", "channels: [sms]", "template: t",
		"purpose: marketing", "language: '\"en\"'", "vars: {a: '1'}", "once: record", "delay: 1s", "quiet_hours: respect", "place: {state: '\"FL\"'}", "sender: marketing", "program: a/b",
	}, "\n    ") + "\n"
	_, err := rule.Load(fstest.MapFS{"r.yaml": {Data: []byte(full)}}, rule.Options{})
	require.NoError(t, err, "every documented key exists")
	fields := regexp.MustCompile(`(?s)func ruleKeys\(\) \[\]string \{(.*?)\n\}`).FindStringSubmatch(read(t, root+"/router/rule/parse.go"))
	require.Len(t, fields, 2)
	for _, key := range regexp.MustCompile(`"([a-z_]+)"`).FindAllStringSubmatch(fields[1], -1) {
		require.Containsf(t, keys, key[1], "rules.md has to document a new key")
	}
}

// The table of quiet hours on the page is that of the program, and the example of a file loads.
func TestQuietHoursAreDocumented(t *testing.T) {
	t.Parallel()
	text := read(t, "compliance.md")
	law, err := quiet.Shipped()
	require.NoError(t, err)
	rows := []string{"| --- | --- | --- | --- | --- |"}
	law.EachRow(func(name string, row quiet.Row) { rows = append(rows, row.Markdown(name)) })
	require.Contains(t, text, strings.Join(rows, "\n")+"\n\n")
	examples := fences(text, "yaml hours")
	require.Len(t, examples, 1)
	file := filepath.Join(t.TempDir(), "hours.yaml")
	require.NoError(t, os.WriteFile(file, []byte(examples[0]), 0o600))
	own, err := quiet.Load(law.Zones(), quiet.Options{File: file})
	require.NoError(t, err)
	require.True(t, own.Named("evenings"))
}

func TestCapsAreDocumented(t *testing.T) {
	t.Parallel()
	text := read(t, "rules.md")
	examples := fences(text, "yaml caps")
	require.Len(t, examples, 1)
	set, err := rule.Load(fstest.MapFS{"caps.yaml": {Data: []byte(examples[0])}}, rule.Options{})
	require.NoError(t, err)
	require.Len(t, set.Caps(), 2)
}

func TestEveryTemplateFunctionIsDocumented(t *testing.T) {
	t.Parallel()
	text := read(t, "templates.md")
	for _, function := range templates.Functions() {
		require.Containsf(t, text, "\n| `"+function.Name+"` | `"+function.Usage+"` |", "templates.md has no row for the function")
	}
}

func TestRuleExamplesLoadAndPassTheirTests(t *testing.T) {
	t.Parallel()
	shipped, err := templates.Load(templates.Defaults())
	require.NoError(t, err)
	var first *rule.Set
	for name, text := range files(t, ".md") {
		for i, example := range fences(text, "yaml rules") {
			set, err := rule.Load(fstest.MapFS{"rules.yaml": {Data: []byte(example)}}, rule.Options{Templates: shipped})
			require.NoErrorf(t, err, "%s, example %d", name, i+1)
			require.Emptyf(t, set.Warnings(), "%s, example %d", name, i+1)
			if !strings.Contains(example, "consent:") {
				require.NotEmptyf(t, set.Rules(), "%s, example %d", name, i+1)
			}
			if i == 0 && name == "docs/rules.md" {
				first = set
			}
		}
	}
	require.NotNil(t, first)
	examples := fences(read(t, "rules.md"), "yaml rule-tests")
	require.NotEmpty(t, examples)
	for _, example := range examples {
		tests, err := rule.LoadTests(fstest.MapFS{"rules_test.yaml": {Data: []byte(example)}})
		require.NoError(t, err)
		require.NotEmpty(t, tests)
		for _, result := range rule.RunTests(first, tests, rule.Tools{Render: shipped.Render}) {
			require.Emptyf(t, result.Failures, "%s", result.Name)
		}
	}
}

func TestReplyRuleExamplesLoadAndPassTheirTests(t *testing.T) {
	t.Parallel()
	shipped, err := templates.Load(templates.Defaults())
	require.NoError(t, err)
	sets := map[string]*rule.Set{}
	for name, text := range files(t, ".md") {
		for _, example := range fences(text, "yaml reply-rules") {
			set, err := rule.Load(fstest.MapFS{"replies.yaml": {Data: []byte(example)}}, rule.Options{Templates: shipped})
			require.NoError(t, err, name)
			require.Empty(t, set.Warnings(), name)
			require.NotEmpty(t, set.ReplyRules(), name)
			sets[name] = set
		}
	}
	examples := fences(read(t, "rules.md"), "yaml reply-tests")
	require.NotEmpty(t, examples)
	for _, example := range examples {
		tests, err := rule.LoadTests(fstest.MapFS{"replies_test.yaml": {Data: []byte(example)}})
		require.NoError(t, err)
		require.NotEmpty(t, tests)
		for _, result := range rule.RunTests(sets["docs/rules.md"], tests, rule.Tools{Render: shipped.Render}) {
			require.Emptyf(t, result.Failures, "%s", result.Name)
		}
	}
}

func TestTemplateExamplesLoad(t *testing.T) {
	t.Parallel()
	n := 0
	for name, text := range files(t, ".md") {
		for i, example := range fences(text, "yaml template") {
			n++
			_, err := templates.Load(fstest.MapFS{"example.yaml": {Data: []byte(example)}})
			require.NoErrorf(t, err, "%s, example %d", name, i+1)
		}
	}
	require.NotZero(t, n)
}

func TestOptOutExamplesLoad(t *testing.T) {
	t.Parallel()
	examples := fences(read(t, "compliance.md"), "yaml opt-outs")
	require.NotEmpty(t, examples)
	for _, example := range examples {
		_, err := consent.LoadWords(consent.File{Name: "compliance.md", Data: []byte(example)})
		require.NoError(t, err)
	}
}

// fence is a block between ``` lines.
func fence() *regexp.Regexp { return regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$") }

// fences returns the blocks that are marked with a kind.
func fences(text, kind string) []string {
	var blocks []string
	for _, found := range fence().FindAllStringSubmatch(text, -1) {
		if found[1] == kind {
			blocks = append(blocks, found[2])
		}
	}
	return blocks
}

func withoutFences(text string) string { return fence().ReplaceAllString(text, "") }
