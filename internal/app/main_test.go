package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/pgtest"
	"github.com/beckonhq/beckon/internal/twiliosim"
	"github.com/beckonhq/beckon/internal/twiliosim/twiliosimtest"
)

const (
	patience = 60 * time.Second // the machine may be busy with other tests
	tick     = 10 * time.Millisecond
	testOrg  = "00D5g000004QxYz"
	nobody   = "postgres://nobody@127.0.0.1:1/none" // a Postgres that is not there
)

func TestMain(m *testing.M) {
	// nats-server leaves these behind when it stops while a batch is open, or a stream is deleted while a consumer is being made.
	const server = "github.com/nats-io/nats-server/v2/server"
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(server+".(*msgBlock).flushLoop"),
		goleak.IgnoreAnyFunction(server+".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(server+".(*consumer).loopAndGatherMsgs"), goleak.IgnoreAnyFunction(server+".(*consumerFileStore).flushLoop"),
		goleak.IgnoreAnyFunction(server+"/ats.Register.func1"))
}

// settings is a complete configuration on free ports with an embedded NATS; a later setting replaces an earlier one.
func settings(t *testing.T, more ...string) *config.Config {
	t.Helper()
	environ := append([]string{
		"BECKON_HTTP_ADDR=127.0.0.1:0", "BECKON_ADMIN_ADDR=127.0.0.1:0", "BECKON_PUBLIC_URL=https://hooks.example.com",
		"BECKON_DATA_DIR=" + t.TempDir(), "BECKON_RULES_DIR=" + rulesDir(t, "first"), "BECKON_SALESFORCE_ORG_IDS=" + testOrg,
		"BECKON_DATABASE_URL=" + nobody, "BECKON_TWILIO_API_URL=http://127.0.0.1:1", "TWILIO_FROM=+15005550006",
		"TWILIO_ACCOUNT_SID=" + twiliosimtest.AccountSID, "TWILIO_AUTH_TOKEN=" + twiliosimtest.AuthToken,
	}, more...)
	cfg, err := config.Load("", environ)
	require.NoError(t, err)
	return cfg
}

// withPostgres is settings with a database and a Twilio of its own.
func withPostgres(t *testing.T, more ...string) *config.Config {
	t.Helper()
	return settings(t, append([]string{
		"BECKON_DATABASE_URL=" + pgtest.DSN(t), "BECKON_TWILIO_API_URL=" + twiliosimtest.NewServer(t, twiliosim.Config{}).URL,
	}, more...)...)
}

// rulesDir makes a directory with one good rule file.
func rulesDir(t *testing.T, rule string) string {
	t.Helper()
	dir := t.TempDir()
	writeRule(t, dir, rule)
	return dir
}

func writeRule(t *testing.T, dir, name string) {
	t.Helper()
	writeFile(t, dir, `
rules:
  - name: `+name+`
    description: Tell the customer.
    object: Case
    when: changed("IsEscalated")
    to: record.Contact_Mobile__c
    channels: [sms]
    template: case-escalated
    purpose: transactional
    vars:
      first_name: record.Contact_First_Name__c
      case_number: record.CaseNumber
`)
}

func writeFile(t *testing.T, dir, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "case.yaml"), []byte(text), 0o600))
}

// lines keeps the log, one JSON object a line.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// parts are the values of "part" in the lines with this message, in order.
func (l *lines) parts(t *testing.T, message string) []string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var parts []string
	decoder := json.NewDecoder(bytes.NewReader(l.text.Bytes()))
	for {
		var line struct{ Msg, Part string }
		err := decoder.Decode(&line)
		if errors.Is(err, io.EOF) {
			return parts
		}
		require.NoError(t, err)
		if line.Msg == message {
			parts = append(parts, line.Part)
		}
	}
}

// levels are those of the lines whose message has this text.
func (l *lines) levels(t *testing.T, text string) []string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var levels []string
	for line := range bytes.Lines(l.text.Bytes()) {
		var said struct{ Msg, Level string }
		require.NoError(t, json.Unmarshal(line, &said))
		if strings.Contains(said.Msg, text) {
			levels = append(levels, said.Level)
		}
	}
	return levels
}

// house is a running process.
type house struct {
	*App

	t      *testing.T
	client *http.Client
	log    *lines
	stop   func() error
}

func options(cfg *config.Config, roles ...string) (Options, *lines) {
	log := &lines{}
	return Options{
		Config: cfg, Roles: roles, Version: "test",
		Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, log
}

// launch starts a process that stops, in an orderly way and without an error, at the end of the test.
func launch(t *testing.T, opts Options, log *lines) *house {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	a, err := Start(ctx, opts)
	require.NoError(t, err)
	transport := &http.Transport{}
	h := &house{App: a, t: t, client: &http.Client{Transport: transport, Timeout: patience}, log: log}
	h.stop = sync.OnceValue(func() error {
		transport.CloseIdleConnections()
		return a.Stop(context.Background())
	})
	t.Cleanup(func() { require.NoError(t, h.stop()) })
	return h
}

func start(t *testing.T, cfg *config.Config, roles ...string) *house {
	t.Helper()
	opts, log := options(cfg, roles...)
	return launch(t, opts, log)
}

// healthy waits until every role is ready.
func (h *house) healthy() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	require.NoError(h.t, h.Healthy(ctx))
}

// get asks a URL and returns status and body.
func (h *house) get(url string) (int, string) {
	h.t.Helper()
	res, err := h.client.Get(url)
	require.NoError(h.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(h.t, err)
	return res.StatusCode, string(body)
}

// admin asks the private listener and reads the JSON answer into value, unless that is nil.
func (h *house) admin(path string, value any) int {
	h.t.Helper()
	status, body := h.get(h.AdminURL() + path)
	if value != nil {
		require.NoError(h.t, json.Unmarshal([]byte(body), value), body)
	}
	return status
}
