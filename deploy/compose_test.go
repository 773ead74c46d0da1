package deploy_test

import (
	"bytes"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/beckonhq/beckon/internal/config"
)

// compose is the part of the Compose file format that ours uses. Decoding is strict, so another key, or a misspelt one,
// fails.
type compose struct {
	Name     string             `yaml:"name"`
	Beckon   any                `yaml:"x-beckon"` //nolint:tagliatelle // Compose's own name for an extension
	Belt     any                `yaml:"x-belt"`   //nolint:tagliatelle // Compose's own name for an extension
	Ledger   any                `yaml:"x-ledger"` //nolint:tagliatelle // Compose's own name for an extension
	People   any                `yaml:"x-people"` //nolint:tagliatelle // Compose's own name for an extension
	Health   any                `yaml:"x-health"` //nolint:tagliatelle // Compose's own name for an extension
	Services map[string]service `yaml:"services"`
	Networks map[string]struct {
		Internal bool `yaml:"internal"`
	} `yaml:"networks"`
	Volumes map[string]struct{} `yaml:"volumes"`
}

type service struct {
	Image string `yaml:"image"`
	Build struct {
		Context    string            `yaml:"context"`
		Dockerfile string            `yaml:"dockerfile"`
		Args       map[string]string `yaml:"args"`
	} `yaml:"build"`
	Profiles        []string          `yaml:"profiles"`
	Command         []string          `yaml:"command"`
	Restart         string            `yaml:"restart"`
	StopGracePeriod string            `yaml:"stop_grace_period"`
	ReadOnly        bool              `yaml:"read_only"`
	Tmpfs           []string          `yaml:"tmpfs"`
	CapDrop         []string          `yaml:"cap_drop"`
	SecurityOpt     []string          `yaml:"security_opt"`
	ShmSize         string            `yaml:"shm_size"`
	Environment     map[string]string `yaml:"environment"`
	Volumes         []string          `yaml:"volumes"`
	Ports           []string          `yaml:"ports"`
	Networks        []string          `yaml:"networks"`
	DependsOn       map[string]struct {
		Condition string `yaml:"condition"`
	} `yaml:"depends_on"`
	Healthcheck struct {
		Test          []string `yaml:"test"`
		Disable       bool     `yaml:"disable"`
		Interval      string   `yaml:"interval"`
		Timeout       string   `yaml:"timeout"`
		Retries       int      `yaml:"retries"`
		StartPeriod   string   `yaml:"start_period"`
		StartInterval string   `yaml:"start_interval"`
	} `yaml:"healthcheck"`
	Logging struct {
		Driver  string            `yaml:"driver"`
		Options map[string]string `yaml:"options"`
	} `yaml:"logging"`
}

var variable = regexp.MustCompile(`\$\{([A-Z_]+)(?:(:[-?])([^}]*))?\}`)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(path)))
	require.NoError(t, err)
	return string(text)
}

// interpolate does what Compose does with ${NAME:-default} and ${NAME:?message}; missing lists what has no value.
func interpolate(text string, env map[string]string) (out string, missing []string) {
	out = variable.ReplaceAllStringFunc(text, func(found string) string {
		parts := variable.FindStringSubmatch(found)
		value := env[parts[1]]
		switch {
		case value == "" && parts[2] == ":-":
			return parts[3]
		case value == "":
			missing = append(missing, parts[1])
		}
		return value
	})
	slices.Sort(missing)
	return out, slices.Compact(missing)
}

// envFile reads NAME=value lines.
func envFile(t *testing.T, path string) map[string]string {
	t.Helper()
	env := map[string]string{}
	for line := range strings.SplitSeq(read(t, path), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		require.True(t, ok, "%s: %q", path, line)
		require.NotContains(t, env, name, "%s names it twice", path)
		env[name] = value
	}
	return env
}

// load reads docker-compose.yml with the demo's values filled in.
func load(t *testing.T) compose {
	t.Helper()
	text, missing := interpolate(read(t, "docker-compose.yml"), envFile(t, "deploy/demo.env"))
	require.Empty(t, missing, "deploy/demo.env must give every value that is required")
	var c compose
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(&c))
	return c
}

// ofBeckon are the services that run our image.
func (c compose) ofBeckon() map[string]service {
	out := maps.Clone(c.Services)
	maps.DeleteFunc(out, func(_ string, s service) bool { return !strings.HasPrefix(s.Image, "beckon:") })
	return out
}

func TestTheServices(t *testing.T) {
	t.Parallel()
	c := load(t)
	require.ElementsMatch(t, []string{
		"postgres", "nats", "migrate", "ingest", "router", "dispatcher", "caddy", "twilio-simulator", "salesforce-simulator",
	}, slices.Collect(maps.Keys(c.Services)))
	require.Equal(t, []string{"tls"}, c.Services["caddy"].Profiles)
	require.Equal(t, []string{"demo"}, c.Services["twilio-simulator"].Profiles)
	require.Equal(t, []string{"demo"}, c.Services["salesforce-simulator"].Profiles)
	require.NotContains(t, c.Services["ingest"].DependsOn, "postgres", "the door works without Postgres")
	require.Equal(t, "no", c.Services["migrate"].Restart)
}

func TestNamesReferToSomething(t *testing.T) {
	t.Parallel()
	c := load(t)
	conditions := []string{"service_healthy", "service_completed_successfully"}
	pinned := regexp.MustCompile(`:\d+[\w.-]*$`)
	for name, s := range c.Services {
		for other, d := range s.DependsOn {
			require.Contains(t, c.Services, other, name)
			require.Contains(t, conditions, d.Condition, name)
			if d.Condition == "service_healthy" {
				require.NotEmpty(t, c.Services[other].Healthcheck.Test, "%s waits for %s to be healthy", name, other)
			}
			for _, profile := range c.Services[other].Profiles {
				require.Contains(t, s.Profiles, profile, "%s depends on %s, which is in a profile", name, other)
			}
		}
		for _, n := range s.Networks {
			require.Contains(t, c.Networks, n, name)
		}
		require.NotEmpty(t, s.Networks, "%s would land in the default network", name)
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(source, ".") {
				_, err := os.Stat(filepath.Join("..", source))
				require.NoError(t, err, name)
				continue
			}
			require.Contains(t, c.Volumes, source, name)
		}
		require.True(t, s.Healthcheck.Disable || len(s.Healthcheck.Test) > 1, "%s has no health check", name)
		require.NotEmpty(t, s.Restart, "%s has no restart policy", name)
		if !strings.HasPrefix(s.Image, "beckon:") {
			require.Regexp(t, pinned, s.Image, "the image must be pinned")
		}
	}
}

func TestCommandLines(t *testing.T) {
	t.Parallel()
	c := load(t)
	want := map[string][]string{
		"migrate":              {"migrate"},
		"ingest":               {"serve", "--roles", "ingest"},
		"router":               {"serve", "--roles", "router"},
		"dispatcher":           {"serve", "--roles", "dispatcher"},
		"twilio-simulator":     {"simulate", "twilio", "--addr", "0.0.0.0:8010"},
		"salesforce-simulator": {"simulate", "salesforce"},
	}
	for name, s := range c.ofBeckon() {
		require.Equal(t, want[name], s.Command, name)
		if s.Healthcheck.Disable {
			continue
		}
		test := s.Healthcheck.Test
		require.Equal(t, []string{"CMD", "/usr/local/bin/beckon", "healthcheck", "--url"}, test[:4], name)
		u, err := url.Parse(test[4])
		require.NoError(t, err)
		if role := u.Query().Get("role"); role != "" {
			require.Equal(t, name, role)
		}
	}
	require.Len(t, c.ofBeckon(), len(want))
}

func TestBeckonRunsWithoutRights(t *testing.T) {
	t.Parallel()
	c := load(t)
	for name, s := range c.ofBeckon() {
		require.True(t, s.ReadOnly, name)
		require.Equal(t, []string{"ALL"}, s.CapDrop, name)
		require.Equal(t, []string{"no-new-privileges:true"}, s.SecurityOpt, name)
		require.NotEmpty(t, s.Tmpfs, name)
		require.Equal(t, "deploy/Dockerfile", s.Build.Dockerfile, name)
	}
	for _, name := range []string{"postgres", "nats"} {
		require.Empty(t, c.Services[name].Ports, "%s is not published", name)
		require.Equal(t, []string{"inside"}, c.Services[name].Networks, name)
	}
	require.True(t, c.Networks["inside"].Internal)
	for name, s := range c.Services {
		for _, port := range s.Ports {
			if name != "caddy" {
				require.Regexp(t, `^127\.0\.0\.1:\d+:\d+$`, port, "%s must not be open to the network by default", name)
			}
		}
	}
}

// TestEachRoleGetsWhatItNeeds gives each service's environment to Beckon's own configuration loader.
func TestEachRoleGetsWhatItNeeds(t *testing.T) {
	t.Parallel()
	needs := map[string][]string{
		"migrate": {"BECKON_DATABASE_URL"},
		"ingest":  {"BECKON_NATS_URL", "BECKON_PUBLIC_URL", "BECKON_SALESFORCE_ORG_IDS", "TWILIO_AUTH_TOKEN"},
		"router":  {"BECKON_NATS_URL", "BECKON_DATABASE_URL", "BECKON_RULES_DIR", "TWILIO_FROM", "TWILIO_WHATSAPP_FROM"},
		"dispatcher": {
			"BECKON_NATS_URL", "BECKON_DATABASE_URL", "BECKON_PUBLIC_URL", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN",
			"TWILIO_FROM", "BECKON_TWILIO_API_URL",
		},
	}
	c := load(t)
	for name, s := range c.ofBeckon() {
		var environ []string
		for key, value := range s.Environment {
			environ = append(environ, key+"="+value)
		}
		loaded, err := config.Load("", environ)
		require.NoError(t, err, name)
		if slices.Contains(config.Roles(), name) {
			require.NoError(t, loaded.Check([]string{name}), name)
		}
		for _, key := range needs[name] {
			require.NotEmpty(t, s.Environment[key], "%s needs %s", name, key)
		}
	}
	require.NotContains(t, c.Services["ingest"].Environment, "BECKON_DATABASE_URL", "the door holds no database connection")
	for _, name := range []string{"router", "dispatcher"} {
		require.Contains(t, c.Services[name].Environment, "BECKON_ERASURE_KEY", "%s sends nothing without a key that was used", name)
		require.Contains(t, c.Services[name].Networks, "outside", "%s calls other servers: Twilio, or webhooks of reply rules", name)
	}
	require.Contains(t, c.Services["router"].Environment, "BECKON_WEBHOOK_SECRET", "without it webhooks wait for ever")

	demo := envFile(t, "deploy/demo.env")
	for role, server := range map[string]string{"BECKON_NATS_URL": "nats:4222", "BECKON_DATABASE_URL": "postgres:5432"} {
		u, err := url.Parse(c.Services["dispatcher"].Environment[role])
		require.NoError(t, err)
		require.Equal(t, server, u.Host)
		password, _ := u.User.Password()
		require.Contains(t, []string{demo["NATS_PASSWORD"], demo["POSTGRES_PASSWORD"]}, password)
	}
}

func TestTheExampleNamesEveryVariable(t *testing.T) {
	t.Parallel()
	text := read(t, "docker-compose.yml")
	example := envFile(t, ".env.example")
	used := map[string]bool{}
	for _, found := range variable.FindAllStringSubmatch(text, -1) {
		used[found[1]] = true
		if found[2] == ":-" && found[3] != "" && found[1] != "BECKON_DOMAIN" {
			require.Equal(t, found[3], example[found[1]], "%s: the example shows the default", found[1])
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(used)), slices.Collect(maps.Keys(example)))
	for name := range envFile(t, "deploy/demo.env") {
		require.True(t, used[name], "%s of deploy/demo.env is used nowhere", name)
	}

	_, missing := interpolate(text, example)
	require.Equal(t, []string{
		"BECKON_SALESFORCE_ORG_IDS", "NATS_PASSWORD", "POSTGRES_PASSWORD", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN",
	}, missing, "the example must not hold secrets, and Compose must name what is not filled in")
	require.Contains(t, read(t, ".gitignore"), ".env\n")
}

func TestTheDockerfileIsWhatComposeExpects(t *testing.T) {
	t.Parallel()
	text := read(t, "deploy/Dockerfile")
	for _, part := range []string{
		"CGO_ENABLED=0", "-trimpath", "-X github.com/beckonhq/beckon/internal/cli.version=$VERSION", "ARG VERSION",
		"gcr.io/distroless/static-debian12:nonroot", "USER nonroot", "EXPOSE 8080", "HEALTHCHECK",
		"/usr/local/bin/beckon", "COPY rules/ /etc/beckon/rules/", `ENTRYPOINT ["/usr/local/bin/beckon"]`,
	} {
		require.Contains(t, text, part)
	}
	version := regexp.MustCompile(`golang:(\d+\.\d+)`).FindStringSubmatch(text)
	require.NotNil(t, version)
	require.Contains(t, read(t, "go.mod"), "\ngo "+version[1], "the image builds with the language version of go.mod")

	// .dockerignore lets nothing in but what it names.
	ignore := read(t, ".dockerignore")
	require.Contains(t, ignore, "\n*\n")
	for _, folder := range []string{"cmd", "internal", "ingest", "router", "dispatcher", "templates", "migrations", "rules"} {
		require.Contains(t, ignore, "\n!"+folder+"\n")
	}
}

func TestAlertsUseMetricsThatExist(t *testing.T) {
	t.Parallel()
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Expr        string            `yaml:"expr"`
				For         string            `yaml:"for"`
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader([]byte(read(t, "deploy/prometheus/alerts.yml"))))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(&file))
	exported := metricNames(t)
	names := map[string]bool{}
	for _, r := range file.Groups[0].Rules {
		require.False(t, names[r.Alert], r.Alert)
		names[r.Alert] = true
		require.Contains(t, []string{"page", "ticket"}, r.Labels["severity"], r.Alert)
		require.NotEmpty(t, r.Annotations["summary"], r.Alert)
		require.NotEmpty(t, r.Annotations["description"], r.Alert)
		require.Equal(t, strings.Count(r.Expr, "("), strings.Count(r.Expr, ")"), r.Alert)
		for _, metric := range regexp.MustCompile(`beckon_[a-z_]+`).FindAllString(r.Expr, -1) {
			require.Contains(t, exported, metric, r.Alert)
		}
	}
	require.NotEmpty(t, names)
}

// metricNames are the texts in our Go source that look like a metric's name.
func metricNames(t *testing.T) []string {
	t.Helper()
	var names []string
	literal := regexp.MustCompile(`"(beckon_[a-z_]+)"`)
	for _, folder := range []string{"ingest", "router", "dispatcher", "internal"} {
		err := filepath.WalkDir(filepath.Join("..", folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, found := range literal.FindAllSubmatch(text, -1) {
				names = append(names, string(found[1]))
			}
			return err
		})
		require.NoError(t, err)
	}
	return names
}
