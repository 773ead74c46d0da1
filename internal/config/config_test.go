package config_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/notification"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func empty(t *testing.T) string {
	t.Helper()
	return file(t, "")
}

func file(tb testing.TB, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "beckon.yaml")
	require.NoError(tb, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func load(t *testing.T, environ ...string) *config.Config {
	t.Helper()
	c, err := config.Load(empty(t), environ)
	require.NoError(t, err)
	return c
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c := load(t)
	require.Equal(t, config.HTTP{Addr: ":8080", AdminAddr: "127.0.0.1:9090", MaxConcurrentRequests: 512}, c.HTTP)
	require.Equal(t, config.Dispatch{
		SendTimeout: 10 * time.Second, ReconcileAfter: 20 * time.Second, Concurrency: 64,
		PollAfter: time.Hour, PollsPerMinute: 60, InboundCheck: 5 * time.Minute, MediaCheck: config.MediaCheckYes,
	}, c.Dispatch)
	require.Equal(t, config.NATS{Replicas: 1, Sync: config.SyncUnknown}, c.NATS)
	require.Equal(t, "./data", c.DataDir)
	require.Equal(t, "./rules", c.RulesDir)
	require.Empty(t, c.TemplatesDir)
	require.Equal(t, "US", c.DefaultRegion)
	require.Equal(t, "https://api.twilio.com", c.Twilio.APIURL)
	require.Equal(t, config.Log{Level: slog.LevelInfo, Format: "text"}, c.Log)
	require.Empty(t, c.Senders)
}

func TestFileThenEnvironment(t *testing.T) {
	t.Parallel()
	c, err := config.Load("testdata/good.yaml", []string{
		"BECKON_HTTP_ADDR=127.0.0.1:1", "BECKON_HTTP_ADDR=127.0.0.1:8082", "TWILIO_FROM=+15557654321",
		"BECKON_DATABASE_URL=postgres://beckon@/beckon?host=%2Ftmp%2Fx", "BECKON_LOG_LEVEL=DEBUG", "TWILIO_OTHER=1",
		"BECKON_PUBLIC_URL=", // empty: not set
	})
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:8082", c.HTTP.Addr)
	require.Equal(t, "https://beckon.example.com/base", c.HTTP.PublicURL)
	require.Equal(t, 3, c.NATS.Replicas)
	require.Equal(t, "nats://user:sesame@a:4222,nats://b:4222", c.NATS.URL.Reveal())
	require.Equal(t, "postgres://beckon@/beckon?host=%2Ftmp%2Fx", c.Database.URL.Reveal())
	require.Equal(t, []notification.OrgID{"00D000000000001", "00D000000000002"}, c.Salesforce.OrgIDs)
	require.Equal(t, []config.Secret{"sesame1", "sesame2"}, c.Twilio.AuthTokens)
	require.Equal(t, 5*time.Second, c.Dispatch.SendTimeout)
	require.Equal(t, slog.LevelDebug, c.Log.Level)
	require.Equal(t, []config.Sender{{
		Name: "default", SMSFrom: "+15557654321", WhatsAppFrom: "+15551234567", Concurrency: 64,
		Account: config.Account{AuthTokens: []config.Secret{"sesame1", "sesame2"}},
	}}, c.Senders)

	var out bytes.Buffer
	require.NoError(t, c.Print(&out))
	require.NotContains(t, out.String(), "sesame")
	require.NotContains(t, out.String(), "+1555")
	golden(t, "print.golden", out.String())
}

func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := config.Load("testdata/bad.yaml", []string{
		"TWILIO_API_KEY=SK1",
		"BECKON_NATS_REPLICAS=4", "BECKON_SALESFORCE_PATH_SECRET=sesame/sesame", "BECKON_HTTP_ADDR=:99999",
	})
	var bad *config.Error
	require.ErrorAs(t, err, &bad)
	require.NotContains(t, err.Error(), "sesame")
	require.NotContains(t, err.Error(), "7654321")
	require.NotContains(t, err.Error(), "9876543")
	golden(t, "bad.golden", err.Error()+"\n")
}

func TestProblems(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ file, env, want string }{
		"not yaml":       {file: "a: [", want: "not YAML"},
		"two documents":  {file: "data_dir: a\n---\ndata_dir: b\n", want: "one document"},
		"not a mapping":  {file: "- a\n", want: ":1:1: want keys and values"},
		"alias":          {file: "data_dir: &a x\nrules_dir: *a\n", want: ":2:12: rules_dir: want a single value"},
		"list of lists":  {file: "salesforce: {org_ids: [[a]]}", want: "want a list of texts"},
		"confirm":        {env: "BECKON_CONFIRM_TIMEOUT=60s", want: "when Salesforce gives up"},
		"replicas alone": {env: "BECKON_NATS_REPLICAS=3", want: "need BECKON_NATS_URL"},
		"same listener":  {env: "BECKON_ADMIN_ADDR=:8080", want: "the private listener needs its own"},
		"tls cert":       {env: "BECKON_HTTP_TLS_CERT=a.pem", want: "BECKON_HTTP_TLS_KEY belong together"},
		"tls key":        {file: "http: {tls_key: a.key}", want: "BECKON_HTTP_TLS_KEY belong together"},
		"pins alone":     {env: "BECKON_SALESFORCE_CLIENT_CERTS=c.pem", want: "only who ends TLS sees a client certificate"},
		"query in url":   {env: "BECKON_PUBLIC_URL=https://x/?a=b", want: "without ? and #"},
		"scheme":         {env: "BECKON_PUBLIC_URL=x.example.com", want: "want a URL such as"},
		"body":           {env: "BECKON_MAX_BODY_BYTES=0", want: "want a number from 1024"},
		"format":         {env: "BECKON_LOG_FORMAT=xml", want: "want text or json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Load(file(t, test.file), []string{test.env})
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestUnknownVariablesAreWarnings(t *testing.T) {
	t.Parallel()
	c, err := config.Load("", []string{"BECKON_DATADIR=x", "BECKON_NOTHING_LIKE_IT_AT_ALL=1", "BECKON_HTTP_ADDR=:8081"})
	require.NoError(t, err)
	require.Equal(t, []string{
		"BECKON_DATADIR: there is no such variable: did you mean BECKON_DATA_DIR?",
		"BECKON_NOTHING_LIKE_IT_AT_ALL: there is no such variable",
	}, c.Warnings)
}

func TestWhichFile(t *testing.T) {
	t.Parallel()
	first, second := file(t, "data_dir: first"), file(t, "data_dir: second")
	c, err := config.Load("", []string{"BECKON_CONFIG=" + first})
	require.NoError(t, err)
	require.Equal(t, "first", c.DataDir)
	c, err = config.Load(second, []string{"BECKON_CONFIG=" + first})
	require.NoError(t, err)
	require.Equal(t, "second", c.DataDir)
	_, err = config.Load("/nowhere/beckon.yaml", nil)
	require.ErrorContains(t, err, "/nowhere/beckon.yaml: there is no such file")
	_, err = config.Load("", nil)
	require.NoError(t, err, "there is no beckon.yaml here, and none is needed")
}

func TestWorkingDirectory(t *testing.T) { //nolint:paralleltest // changes the working directory
	t.Chdir(filepath.Dir(file(t, "data_dir: here")))
	c, err := config.Load("", nil)
	require.NoError(t, err)
	require.Equal(t, "here", c.DataDir)
}

func TestServiceLinksPass(t *testing.T) {
	t.Parallel()
	load(t, "BECKON_SERVICE_HOST=10.0.0.1", "BECKON_SERVICE_PORT=80", "BECKON_SERVICE_PORT_HTTP=80",
		"BECKON_PORT=tcp://10.0.0.1:80", "BECKON_INGEST_PORT_8080_TCP=tcp://x", "BECKON_INGEST_PORT_8080_TCP_ADDR=x")
}

func TestCheck(t *testing.T) {
	t.Parallel()
	full := []string{
		"BECKON_SALESFORCE_ORG_IDS=00D000000000001", "TWILIO_AUTH_TOKEN=t", "BECKON_PUBLIC_URL=https://x.example.com",
		"TWILIO_ACCOUNT_SID=AC1", "TWILIO_FROM=+15557654321",
	}
	require.NoError(t, load(t, full...).Check(config.Roles()))
	require.NoError(t, load(t).Check([]string{"router"}))
	require.NoError(t, load(t, "TWILIO_API_KEY=SK1", "TWILIO_API_SECRET=s", "TWILIO_ACCOUNT_SID=AC1",
		"TWILIO_MESSAGING_SERVICE_SID=MG1", "BECKON_PUBLIC_URL=http://x").Check([]string{"dispatcher"}))

	err := load(t).Check([]string{"ingest", "router", "dispatcher", "painter"})
	var missing *config.MissingError
	require.ErrorAs(t, err, &missing)
	golden(t, "missing.golden", err.Error()+"\n")
	require.Error(t, load(t, full[1:]...).Check([]string{"ingest"}))
	require.Error(t, load(t, full[:4]...).Check([]string{"dispatcher"}))
}

func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	s := config.Secret("sesame")
	type holder struct {
		S config.Secret `json:"s" yaml:"s"`
	}
	h := holder{s}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb, s, h, &h)
	}
	asJSON, err := json.Marshal(h)
	require.NoError(t, err)
	asYAML, err := yaml.Marshal(h)
	require.NoError(t, err)
	log := slog.New(slog.NewTextHandler(&out, nil))
	log.Info("x", "secret", s, "holder", h)
	out.Write(asJSON)
	out.Write(asYAML)
	require.NotContains(t, out.String(), "sesame")
	require.NotContains(t, out.String(), fmt.Sprintf("%x", "sesame"))
	require.JSONEq(t, `{"s":"<redacted>"}`, string(asJSON))
	require.Equal(t, "sesame", s.Reveal())
	require.Empty(t, config.Secret("").String())
}

func TestReferenceAndDoc(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, s := range config.Reference() {
		require.NotEmpty(t, s.Meaning, s.Path)
		require.True(t, strings.HasSuffix(s.Meaning, "."), s.Meaning)
		require.False(t, seen[s.Path] || seen[s.Variable], "%s stands twice", s.Path)
		seen[s.Path], seen[s.Variable] = true, true
		require.Regexp(t, `(?m)^//\t`+s.Path+` +`+s.Variable+`\b.*`+s.Default, string(doc))
		if s.Secret {
			require.Empty(t, s.Default)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, name := range []string{"good", "bad"} {
		text, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
		require.NoError(f, err)
		f.Add(string(text), "BECKON_HTTP_ADDR=:1")
	}
	f.Add("a: &a {b: *a}", "BECKON_PORT=")
	f.Fuzz(func(t *testing.T, text, env string) {
		if strings.HasPrefix(env, "BECKON_CONFIG=") {
			return
		}
		c, err := config.Load(file(t, text), []string{env})
		if err == nil {
			require.NoError(t, c.Print(&bytes.Buffer{}))
			_ = c.Check(config.Roles())
			return
		}
		var bad *config.Error
		require.ErrorAs(t, err, &bad)
		require.NotEmpty(t, bad.Problems)
	})
}

func TestDatabaseURLOfSeveralServers(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://beckon:hush@a,b/beckon", "postgresql://beckon:hush@a:5432,b:5433,c:5434/beckon?target_session_attrs=read-write",
		"postgres:///beckon?host=a,b&port=5432,5433", "host=a,b user=beckon password=hush dbname=beckon target_session_attrs=read-write",
	} {
		c, err := config.Load("", []string{"BECKON_DATABASE_URL=" + url})
		require.NoError(t, err, url)
		require.Equal(t, url, c.Database.URL.Reveal())
	}
	for _, url := range []string{"mysql://a/b", "beckon", "a,b", "=x", "http://host=a"} {
		_, err := config.Load("", []string{"BECKON_DATABASE_URL=" + url})
		require.ErrorContains(t, err, "BECKON_DATABASE_URL", url)
	}
}

func TestNATSCertificates(t *testing.T) {
	t.Parallel()
	c, err := config.Load("", []string{
		"BECKON_NATS_URL=tls://a:4222,tls://b:4222", "BECKON_NATS_CA=ca.pem", "BECKON_NATS_CERT=c.pem", "BECKON_NATS_KEY=c.key",
	})
	require.NoError(t, err)
	require.Equal(t, []string{"ca.pem", "c.pem", "c.key"}, []string{c.NATS.CA, c.NATS.Cert, c.NATS.Key})
	_, err = config.Load("", []string{"BECKON_NATS_URL=tls://a:4222", "BECKON_NATS_CERT=c.pem"})
	require.ErrorContains(t, err, "belong together")
	_, err = config.Load("", []string{"BECKON_NATS_CA=ca.pem"})
	require.ErrorContains(t, err, "need BECKON_NATS_URL")
}

func TestListenerCertificates(t *testing.T) {
	t.Parallel()
	c, err := config.Load(file(t, "http: {tls_cert: a.pem, tls_key: a.key}\n"), []string{"BECKON_SALESFORCE_CLIENT_CERTS=pins.pem"})
	require.NoError(t, err)
	require.Equal(t, []string{"a.pem", "a.key", "pins.pem"}, []string{c.HTTP.TLSCert, c.HTTP.TLSKey, c.Salesforce.ClientCerts})
}
