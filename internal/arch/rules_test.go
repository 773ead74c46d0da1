package arch_test

const module = "github.com/beckonhq/beckon"

// rule forbids imports. Paths without a dot in their first part are folders of this module; a path stands for
// everything below it too.
type rule struct {
	reason string
	who    []string          // the packages that the rule binds; empty: all
	except map[string]string // packages that it does not bind, each with its reason
	ban    []string          // what they must not import
	allow  []string          // within ban, what they may
	deep   bool              // not through other packages either
}

func vocabulary() []string {
	return []string{"internal/notification", "internal/message", "internal/address", "internal/consent"}
}

// anything of ours.
func ours() []string {
	return []string{"cmd", "ingest", "router", "dispatcher", "templates", "migrations", "deploy", "internal"}
}

func rules() []rule {
	const (
		meet    = "stages meet in the vocabulary packages and on the belt, never in each other"
		wiring  = "wiring knows the stages, the stages do not know the wiring; they get what they need in their Config"
		pgx     = "github.com/jackc/pgx/v5"
		nats    = "github.com/nats-io/nats.go"
		server  = "github.com/nats-io/nats-server/v2"
		twilio  = "github.com/twilio/twilio-go"
		helpers = "a test helper, imported by tests only"
	)
	upper := []string{"internal/app", "internal/cli", "internal/config"}
	return []rule{
		{reason: meet, who: []string{"ingest"}, ban: []string{"router", "dispatcher"}, deep: true},
		{reason: meet, who: []string{"router"}, ban: []string{"ingest", "dispatcher"}, deep: true},
		{reason: meet, who: []string{"dispatcher"}, ban: []string{"ingest", "router"}, deep: true},
		{reason: wiring, who: []string{"ingest", "router", "dispatcher"}, ban: upper, deep: true},
		{
			reason: "the vocabulary is what all others are built on",
			who:    vocabulary(), ban: ours(), allow: vocabulary(),
		},
		{
			reason: "the door holds no database connection: it accepts while Postgres is down",
			who:    []string{"ingest"}, ban: []string{"internal/store", pgx}, deep: true,
		},
		{
			reason: "all SQL is in one package", ban: []string{pgx},
			except: map[string]string{
				"internal/store":             "it is that package",
				"internal/embedded/postgres": "asks its own server whether it is ready",
				"internal/pgtest":            helpers,
			},
		},
		{
			reason: "all JetStream is in one package", ban: []string{nats},
			except: map[string]string{
				"internal/stream":         "it is that package",
				"internal/embedded/natsd": "makes the connection inside the process",
				"internal/app":            "makes the connection and hands it to internal/stream",
			},
		},
		{
			reason: "only the embedded default starts a NATS server", ban: []string{server},
			except: map[string]string{
				"internal/embedded/natsd":    "it is the embedded default",
				"internal/stream/streamtest": helpers,
			},
		},
		{
			reason: "all Twilio is in one package", ban: []string{twilio},
			except: map[string]string{"internal/twilio": "it is that package"},
		},
		{
			reason: "simulators are not part of what runs in production",
			who:    []string{"ingest", "router", "dispatcher", "internal/store", "internal/stream", "internal/app"},
			ban:    []string{"internal/salesforcesim", "internal/twiliosim"}, deep: true,
		},
		{
			reason: "test helpers stay in tests", ban: []string{"internal/pgtest", "internal/stream/streamtest", "internal/certificates/certtest"},
			except: map[string]string{"internal/stream/streamtest": helpers, "internal/certificates/certtest": helpers},
		},
	}
}

// topLevel is every folder that the top level may and must have (the data flow first, then what serves it).
func topLevel() map[string]string {
	return map[string]string{
		"cmd":        "main",
		"ingest":     "stage 1",
		"router":     "stage 2",
		"dispatcher": "stage 3",
		"templates":  "message templates",
		"migrations": "numbered SQL",
		"deploy":     "Dockerfile, server configurations, alerts",
		"rules":      "the shipped example rules",
		"internal":   "everything that is shared, and adapters",
		"docs":       "documentation",
		"tools":      "a module of its own that pins the linters, so that their modules are not ours",
	}
}

// untracked are folders that a working copy may hold and the repository does not.
func untracked() []string { return []string{"bin", "data"} }

// saysNothing are package names that say nothing about what is inside.
func saysNothing() []string {
	return []string{"util", "utils", "common", "model", "models", "helper", "helpers", "misc", "shared", "lib", "base"}
}
