package cli_test

import (
	"context"
	"flag"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/certificates/certtest"
	"github.com/beckonhq/beckon/internal/cli"
	"github.com/beckonhq/beckon/internal/pgtest"
)

var update = flag.Bool("update", false, "write the golden outputs in the scripts anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"beckon": func() {
			os.Exit(cli.Main(context.Background(), os.Args[1:], cli.OS())) //nolint:forbidigo // here it is the program
		},
	})
}

// TestScripts runs testdata/script. Besides testscript's own commands a script has:
//
//	database      a new database in BECKON_DATABASE_URL, without tables
//	nats          a new NATS server in BECKON_NATS_URL
//	certificate NAME DAYS   makes NAME.pem and NAME.key, valid for so many days
//	exits CODE beckon ARGS...   runs the program and demands that exit code
//	await URL     waits until a GET of the URL answers 200
//	await-output REGEX beckon ARGS...   runs the program until its output is like that
//	poison ORG TEXT   puts an envelope into the stream that is none
//	await-says REGEX ARGS...   runs the program until it says so, whatever its exit code
//	webhook ID STATE BODY   puts a webhook of a reply rule into the database
//	await-messages N STATE, await-consent ADDRESS REGEX   waits for what the ledger says
//
// PORT1 to PORT3 are free ports; LISTEN is the URL of a server whose path says the status that it answers with.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/script/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			testscript.Run(t, testscript.Params{
				Files: []string{file}, UpdateScripts: *update, RequireUniqueNames: true,
				Setup: func(env *testscript.Env) error { return setup(t, env) },
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"database":     func(ts *testscript.TestScript, _ bool, _ []string) { ts.Setenv("BECKON_DATABASE_URL", pgtest.DSN(t)) },
					"nats":         func(ts *testscript.TestScript, _ bool, _ []string) { ts.Setenv("BECKON_NATS_URL", natsURL(t)) },
					"exits":        exits,
					"certificate":  func(ts *testscript.TestScript, _ bool, args []string) { certificate(t, ts, args) },
					"await":        await,
					"await-output": func(ts *testscript.TestScript, _ bool, args []string) { until(ts, args[2:], "(?m)"+args[0]) },
					"poison":       poison,
					"webhook":      webhook,
					"await-messages": func(ts *testscript.TestScript, _ bool, args []string) {
						until(ts, []string{"messages", "list", "--state", args[1]}, "(?m)^"+args[0]+" messages$")
					},
					"await-says": func(ts *testscript.TestScript, _ bool, args []string) { until(ts, args[1:], args[0]) },
					"await-consent": func(ts *testscript.TestScript, _ bool, args []string) {
						until(ts, []string{"consent", "show", args[0]}, args[1])
					},
				},
			})
		})
	}
}

func setup(t *testing.T, env *testscript.Env) error {
	t.Helper()
	env.Setenv("SHIPPED_RULES", mustAbs(t, "../../rules"))
	for _, name := range []string{"PORT1", "PORT2", "PORT3"} {
		env.Setenv(name, freePort(t))
	}
	server := newStatusServer(t)
	env.Setenv("LISTEN", server)
	return nil
}

// poison is what a faulty program would put on the belt.
func poison(ts *testscript.TestScript, _ bool, args []string) {
	conn, err := nats.Connect(ts.Getenv("BECKON_NATS_URL"))
	ts.Check(err)
	defer conn.Close()
	msg := nats.NewMsg("notifications." + args[0])
	msg.Data = []byte(args[1])
	for name, value := range map[string]string{
		"Beckon-Org": args[0], "Beckon-Object": "Contact", "Beckon-Count": "1", "Beckon-Received": time.Now().UTC().Format(time.RFC3339Nano),
	} {
		msg.Header.Set(name, value)
	}
	_, err = conn.RequestMsg(msg, 10*time.Second)
	ts.Check(err)
}

func webhook(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, ts.Getenv("BECKON_DATABASE_URL"))
	ts.Check(err)
	defer func() { ts.Check(conn.Close(ctx)) }()
	_, err = conn.Exec(ctx, `insert into webhook (id, sid, url, body, state, tries, error)
		values ($1::text::uuid, 'SM' || right($1, 1), 'https://hooks.example.com/token', $3, $2, 12, 'refused')`, args[0], args[1], args[2])
	ts.Check(err)
}

func certificate(t *testing.T, ts *testscript.TestScript, args []string) {
	t.Helper()
	days, err := strconv.Atoi(args[1])
	ts.Check(err)
	certtest.New(t, ts.MkAbs("."), args[0], time.Duration(days)*24*time.Hour)
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	full, err := filepath.Abs(path)
	require.NoError(t, err)
	return full
}

func freePort(t *testing.T) string {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, socket.Close()) }()
	_, port, err := net.SplitHostPort(socket.Addr().String())
	require.NoError(t, err)
	return port
}

// exits runs the program and looks at its exit code; its output is there for stdout and stderr.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE program args...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		code = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("%s ended with %s, want %s\n%s%s", strings.Join(args[1:], " "), code, args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await URL")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, args[0], http.NoBody)
		ts.Check(err)
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			ts.Fatalf("%s does not answer 200", args[0])
		}
	}
}

// until runs the program until it prints what the pattern wants.
func until(ts *testscript.TestScript, args []string, pattern string) {
	want := regexp.MustCompile(pattern)
	deadline := time.After(30 * time.Second)
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		_ = ts.Exec("beckon", args...) // what it says is looked at
		if want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			ts.Fatalf("beckon %s does not print %s:\n%s", strings.Join(args, " "), pattern, ts.ReadFile("stdout"))
		}
	}
}
