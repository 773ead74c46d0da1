package rule_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/router/rule"
)

var update = flag.Bool("update", false, "write the problems that were found into testdata/bad")

// fakeTemplates has the templates t (both channels) and sms-only.
type fakeTemplates struct{}

func (fakeTemplates) Has(name string) bool { return name == "t" || name == "sms-only" }

func (fakeTemplates) Channels(name string) []message.Channel {
	if name == "sms-only" {
		return []message.Channel{message.SMS}
	}
	return []message.Channel{message.SMS, message.WhatsApp}
}

func (fakeTemplates) Variables(name string) []string {
	if name == "sms-only" {
		return []string{"first_name"}
	}
	return nil
}

// TestMistakes loads each archive of testdata/bad and compares the problems with its last file, want.
func TestMistakes(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/bad/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(path)
			require.NoError(t, err)
			fsys := fstest.MapFS{}
			var want *txtar.File
			for i, f := range archive.Files {
				if f.Name == "want" {
					want = &archive.Files[i]
					continue
				}
				fsys[f.Name] = &fstest.MapFile{Data: f.Data}
			}
			var load *rule.LoadError
			if _, err = rule.Load(fsys, rule.Options{Templates: fakeTemplates{}}); err == nil {
				_, err = rule.LoadTests(fsys)
			}
			require.ErrorAs(t, err, &load)
			if *update {
				want.Data = []byte(err.Error() + "\n")
				require.NoError(t, os.WriteFile(path, txtar.Format(archive), 0o600))
				return
			}
			require.Equal(t, string(want.Data), err.Error()+"\n")
		})
	}
}

const goodRule = `
rules:
  - name: a-rule
    description: |
      Two lines
      of words.
    object: npsp__Gift__c
    when: changed("Status__c")
    to: [record.A, record.B]
    channels: [whatsapp, sms]
    template: t
`

func TestLoad(t *testing.T) {
	t.Parallel()
	good := strings.Replace(goodRule, "[record.A, record.B]", "'[record.A, record.B]'", 1)

	t.Run("defaults", func(t *testing.T) {
		t.Parallel()
		r := load(t, good).Rules()[0]
		require.Equal(t, message.Transactional, r.Purpose)
		require.Equal(t, rule.QuietHoursIgnore, r.QuietHours)
		require.Equal(t, rule.OnceNever, r.Once)
		require.Zero(t, r.Delay)
		require.Equal(t, 4*time.Hour, r.ExpiresAfter)
		require.Equal(t, 36*time.Hour, load(t, good+"    expires_after: 36h\n").Rules()[0].ExpiresAfter)
		require.Equal(t, "Two lines\nof words.", r.Description)
		require.Equal(t, []string{"A", "B", "Status__c"}, r.RecordFields)
		require.Equal(t, []string{"Status__c"}, r.PreviousFields)
		require.Equal(t, "rules.yaml", r.File)
		require.Equal(t, 3, r.Line)

		r = load(t, good+"    purpose: marketing\n").Rules()[0]
		require.Equal(t, rule.QuietHoursRespect, r.QuietHours)
	})
	t.Run("only rule files in the root are read", func(t *testing.T) {
		t.Parallel()
		set, err := rule.Load(fstest.MapFS{
			"b.yml":        {Data: []byte(strings.ReplaceAll(good, "a-rule", "b-rule"))},
			"a.yaml":       {Data: []byte(good)},
			"a_test.yaml":  {Data: []byte("not: rules")},
			"sub/c.yaml":   {Data: []byte("not: rules")},
			"README.md":    {Data: []byte("words")},
			".hidden.yaml": {Data: []byte("not: rules")},
			"empty.yaml":   {},
			"comment.yaml": {Data: []byte("# nothing yet\n")},
			"none.yaml":    {Data: []byte("rules:\n")},
		}, rule.Options{})
		require.NoError(t, err)
		var names []string
		for _, r := range set.Rules() {
			names = append(names, r.Name)
		}
		require.Equal(t, []string{"a-rule", "b-rule"}, names)
	})
	t.Run("an empty folder is a set without rules", func(t *testing.T) {
		t.Parallel()
		set, err := rule.Load(fstest.MapFS{}, rule.Options{})
		require.NoError(t, err)
		require.Empty(t, set.Rules())
		require.NotEmpty(t, set.Version())
	})
	t.Run("a folder that is not there is an error of its own", func(t *testing.T) {
		t.Parallel()
		_, err := rule.Load(os.DirFS(filepath.Join(t.TempDir(), "nowhere")), rule.Options{})
		require.ErrorIs(t, err, os.ErrNotExist)
		var load *rule.LoadError
		require.NotErrorAs(t, err, &load)
	})
	t.Run("the version follows content and name", func(t *testing.T) {
		t.Parallel()
		version := func(name, text string) string {
			set, err := rule.Load(fstest.MapFS{name: {Data: []byte(text)}}, rule.Options{})
			require.NoError(t, err)
			return set.Version()
		}
		first := version("a.yaml", good)
		require.Len(t, first, 16)
		require.Equal(t, first, version("a.yaml", good))
		require.NotEqual(t, first, version("a.yaml", good+"\n"))
		require.NotEqual(t, first, version("b.yaml", good))
	})
	t.Run("a channel or variable that template and rule do not share is a warning", func(t *testing.T) {
		t.Parallel()
		text := strings.Replace(good, "template: t", "template: sms-only", 1)
		set, err := rule.Load(fstest.MapFS{"a.yaml": {Data: []byte(text)}}, rule.Options{Templates: fakeTemplates{}})
		require.NoError(t, err)
		require.Len(t, set.Warnings(), 2)
		require.Contains(t, set.Warnings()[1].String(), `a.yaml:11:15: template "sms-only" needs variable "first_name"`)
		require.Contains(t, set.Warnings()[0].String(), `a.yaml:10:15: template "sms-only" has no content for channel whatsapp`)
	})
	t.Run("ordering a text and a number is a warning", func(t *testing.T) {
		t.Parallel()
		warnings := one(t, `record.Amount > 1000`).Warnings()
		require.Len(t, warnings, 1)
		require.Contains(t, warnings[0].String(), "rules.yaml:5:21: when: field Amount is text (string)")
	})
	t.Run("a byte order mark and CRLF", func(t *testing.T) {
		t.Parallel()
		require.Len(t, load(t, "\ufeff"+strings.ReplaceAll(good, "\n", "\r\n")).Rules(), 1)
	})
	t.Run("what callers get is theirs", func(t *testing.T) {
		t.Parallel()
		set := load(t, good)
		slices.Reverse(append(set.Rules(), nil))
		set.ForObject("npsp__Gift__c")[0] = nil
		require.NotNil(t, set.ForObject("npsp__Gift__c")[0])
	})
}

const wsdlHead = `<?xml version="1.0" encoding="UTF-8"?>
<definitions targetNamespace="http://soap.sforce.com/2005/09/outbound" xmlns="http://schemas.xmlsoap.org/wsdl/"
 xmlns:ens="urn:sobject.enterprise.soap.sforce.com" xmlns:xsd="http://www.w3.org/2001/XMLSchema"
 xmlns:ent="urn:enterprise.soap.sforce.com">
<types>
 <schema elementFormDefault="qualified" targetNamespace="urn:enterprise.soap.sforce.com" xmlns="http://www.w3.org/2001/XMLSchema">
  <simpleType name="ID"><restriction base="xsd:string"/></simpleType></schema>
 <schema elementFormDefault="qualified" targetNamespace="urn:sobject.enterprise.soap.sforce.com" xmlns="http://www.w3.org/2001/XMLSchema">
  <complexType name="sObject"><sequence><element name="fieldsToNull" type="xsd:string"/><element name="Id" type="ent:ID"/></sequence></complexType>
  <complexType name="Thing"><complexContent><extension base="ens:sObject"><sequence>`

const wsdlTail = `</sequence></extension></complexContent></complexType></schema></types></definitions>`

func wsdl(fields ...string) string {
	var b strings.Builder
	b.WriteString(wsdlHead)
	for i := 0; i < len(fields); i += 2 {
		b.WriteString(`<element name="` + fields[i] + `" nillable="true" minOccurs="0" type="` + fields[i+1] + `"/>`)
	}
	return b.String() + wsdlTail
}

func TestWSDLTypes(t *testing.T) {
	t.Parallel()
	text := wsdl("Amount", "xsd:double", "Count", "xsd:int", "Won", "xsd:boolean", "Day", "xsd:date", "At", "xsd:dateTime",
		"Name", "xsd:string", "AccountId", "ent:ID", "Gone", "xsd:double")
	sent := previously(input("Amount", "1.2E5", "Count", "7", "Won", "true", "Day", "2026-03-04", "At", "2026-03-04T05:06:07.000Z",
		"Name", "n", "AccountId", "001"), "Amount", "5.0")
	for when, want := range map[string]rule.Verdict{
		`record.Amount > 100000`:                       rule.VerdictMatched,
		`record.Amount == 120000 && record.Won`:        rule.VerdictMatched,
		`record.Amount - previous.Amount > 1000.0`:     rule.VerdictMatched,
		`record.Count + 1 == 8`:                        rule.VerdictMatched,
		`record.At - record.Day == duration("5h6m7s")`: rule.VerdictMatched,
		`record.At < notification.received_at`:         rule.VerdictNotMatched,
		`record.Day.getDate() == 4`:                    rule.VerdictMatched,
		`record.Name + record.AccountId == "n001"`:     rule.VerdictMatched,
		`record.Gone == null && !has(record.Gone)`:     rule.VerdictMatched,
		`record.Gone > 5.0`:                            rule.VerdictError,
		`record.Id != ""`:                              rule.VerdictMatched,
	} {
		d := rule.Decide(load(t, oneText(when), text), sent)
		require.Equal(t, want, d.Results[0].Verdict, "%s: %s", when, d.Results[0].Error)
	}
	t.Run("a value of another type is an error without the value", func(t *testing.T) {
		t.Parallel()
		d := rule.Decide(load(t, oneText(`record.Amount > 1.0`), text), input("Amount", "s3cr3t"))
		require.Equal(t, "when: field Amount is not of the type that its WSDL gives", d.Results[0].Error)
	})
	t.Run("a date that is passed on keeps its text", func(t *testing.T) {
		t.Parallel()
		set := load(t, oneText("true", "vars:", "  day: record.Day", "  at: record.At", "  was: previous.Day",
			`  later: record.At + duration("1h")`, "  amount: record.Amount"), text)
		d := rule.Decide(set, previously(sent, "Day", "2026-01-02"))
		require.Equal(t, map[string]any{
			"day": "2026-03-04", "at": "2026-03-04T05:06:07.000Z", "later": "2026-03-04T06:06:07Z", "amount": 1.2e5,
			"was": "2026-01-02",
		}, d.Results[0].Messages[0].Vars)
	})
	t.Run("a listed field that is absent is null", func(t *testing.T) {
		t.Parallel()
		set := load(t, oneText(`changed("Gone")`), text)
		in := previously(sent, "Gone", "5.0")
		require.Equal(t, notificationMatched, string(rule.Decide(set, in).Outcome))
		next, moved := set.NextSnapshot(in)
		require.True(t, moved)
		require.NotContains(t, next, "Gone")
	})
	t.Run("but only if every WSDL of the object lists it", func(t *testing.T) {
		t.Parallel()
		set := load(t, oneText(`changed("Gone")`), text, wsdl("Name", "xsd:string"))
		in := previously(sent, "Gone", "5.0")
		require.Equal(t, "no_rule_matched", string(rule.Decide(set, in).Outcome))
		next, _ := set.NextSnapshot(in)
		require.Contains(t, next, "Gone")
	})
}

const notificationMatched = "matched"

func FuzzLoad(f *testing.F) {
	paths, err := filepath.Glob("testdata/bad/*.txtar")
	require.NoError(f, err)
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		require.NoError(f, err)
		for _, file := range archive.Files {
			f.Add(file.Data, []byte(wsdl("Amount", "xsd:double")))
		}
	}
	f.Fuzz(func(t *testing.T, text, wsdl []byte) {
		fsys := fstest.MapFS{"a.yaml": {Data: text}, "a_test.yaml": {Data: text}, "wsdl/a.wsdl": {Data: wsdl}}
		set, err := rule.Load(fsys, rule.Options{Templates: fakeTemplates{}})
		if err != nil {
			var load *rule.LoadError
			require.ErrorAs(t, err, &load)
			require.NotEmpty(t, load.Problems)
			return
		}
		for _, r := range set.Rules() {
			in := input("X", "a")
			in.Object = r.Object
			require.NotEmpty(t, rule.Decide(set, in).Results)
		}
		_, _ = rule.LoadTests(fsys)
	})
}

func TestSender(t *testing.T) {
	t.Parallel()
	text := strings.Replace(goodRule, "[record.A, record.B]", "'[record.A, record.B]'", 1)
	with := func(line string, senders []string) (*rule.Set, error) {
		return rule.Load(fstest.MapFS{"rules.yaml": {Data: []byte(text + line)}}, rule.Options{Senders: senders})
	}
	for name, c := range map[string]struct {
		line    string
		senders []string
		want    string // the sender, or after a ! the mistake
	}{
		"none":                     {"", []string{"marketing"}, "default"},
		"the default one by name":  {"    sender: default\n", []string{"marketing"}, "default"},
		"another":                  {"    sender: marketing\n", []string{"marketing"}, "marketing"},
		"nobody knows the senders": {"    sender: marketing\n", nil, "marketing"},
		"misspelt":                 {"    sender: marketin\n", []string{"marketing"}, `!sender "marketin" is not configured; did you mean "marketing"?`},
		"no sender but default":    {"    sender: marketing\n", []string{}, `!sender "marketing" is not configured`},
		"not a name":               {"    sender: A B\n", nil, `!sender "A B" must be a name in kebab-case`},
	} {
		set, err := with(c.line, c.senders)
		if wrong, bad := strings.CutPrefix(c.want, "!"); bad {
			require.ErrorContains(t, err, wrong, name)
			require.ErrorContains(t, err, "rules.yaml:12:", name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, c.want, set.Rules()[0].Sender, name)
	}
}
