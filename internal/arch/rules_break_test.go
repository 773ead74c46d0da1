package arch_test

import (
	"go/parser"
	"go/token"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRulesCanFail breaks each border with a made-up package.
func TestRulesCanFail(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		path   string
		direct []string
		deep   []string // reached through something else
		broken bool
	}{
		"stage imports stage":               {"router/rule", []string{module + "/ingest"}, nil, true},
		"stage reaches stage":               {"dispatcher", nil, []string{module + "/router/rule"}, true},
		"stage imports wiring":              {"ingest", []string{module + "/internal/config"}, nil, true},
		"vocabulary imports ours":           {"internal/message", []string{module + "/internal/store"}, nil, true},
		"vocabulary imports vocabulary":     {"internal/message", []string{module + "/internal/address"}, nil, false},
		"the door reaches the database":     {"ingest", nil, []string{"github.com/jackc/pgx/v5/pgconn"}, true},
		"pgx elsewhere":                     {"internal/cli", []string{"github.com/jackc/pgx/v5/pgxpool"}, nil, true},
		"pgx in the store":                  {"internal/store", []string{"github.com/jackc/pgx/v5/pgxpool"}, nil, false},
		"the router reaches pgx by store":   {"router", nil, []string{"github.com/jackc/pgx/v5"}, false},
		"nats.go elsewhere":                 {"ingest", []string{"github.com/nats-io/nats.go/jetstream"}, nil, true},
		"nats.go in stream":                 {"internal/stream", []string{"github.com/nats-io/nats.go"}, nil, false},
		"server in stream":                  {"internal/stream", []string{"github.com/nats-io/nats-server/v2/server"}, nil, true},
		"twilio-go elsewhere":               {"dispatcher", []string{"github.com/twilio/twilio-go/client"}, nil, true},
		"a name that begins like a stage":   {"ingestion", []string{module + "/router"}, nil, false},
		"a simulator in production":         {"dispatcher", []string{module + "/internal/twiliosim"}, nil, true},
		"a test helper outside of tests":    {"internal/cli", []string{module + "/internal/pgtest"}, nil, true},
		"the simulator imports the adapter": {"internal/salesforcesim", []string{module + "/internal/salesforce"}, nil, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := listed{ImportPath: module + "/" + test.path, Imports: test.direct, Deps: append(test.deep, test.direct...)}
			found := crossings([]listed{p}, rules())
			require.Equal(t, test.broken, len(found) > 0, "%v", found)
		})
	}
}

func TestAVanishedPathIsFound(t *testing.T) {
	t.Parallel()
	all := []listed{{ImportPath: module + "/ingest/soap"}}
	r := []rule{{who: []string{"ingest"}, ban: []string{"gone", "example.com/gone"}, except: map[string]string{"left": ""}}}
	require.Len(t, vanished(all, "\texample.com/here v1.0.0\n", r), 3)
	r = []rule{{who: []string{"ingest/soap"}, ban: []string{"ingest", "example.com/here"}}}
	require.Empty(t, vanished(all, "\texample.com/here v1.0.0\n", r))
}

func TestAnExitIsFound(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "x.go",
		"package x\nimport \"os\"\nfunc f() { defer os.Exit(1); g := os.Getpid; g() }", 0)
	require.NoError(t, err)
	require.Equal(t, []string{"os.Exit"}, exits(file))
}
