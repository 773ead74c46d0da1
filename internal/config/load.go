package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	defaultFile  = "beckon.yaml"
	fileVariable = "BECKON_CONFIG"
	// salesforceGivesUp is when Salesforce ends its wait for an answer.
	salesforceGivesUp = 60 * time.Second
)

// origin is where a value came from.
type origin string

const (
	fromDefault origin = "default"
	fromFile    origin = "file"
	fromEnv     origin = "env"
)

// loader gathers values and everything that is wrong with them.
type loader struct {
	config   *Config
	byPath   map[string]setting
	listed   []listed
	problems []Problem
}

// Environ is the environment of this process, for Load.
func Environ() []string { return os.Environ() }

// Load reads the configuration: the defaults, then the file, then the variables in environ (each "NAME=value", as from
// Environ). An empty variable counts as not set.
//
// The file is path; if that is empty, what BECKON_CONFIG in environ names; else beckon.yaml in the working directory,
// if there is one. A named file that is not there is an error. The error is an *Error with everything that is wrong. An unknown
// BECKON_ variable is a warning only: the environment belongs to others too.
// Whether all is there that a role needs is for Check to say.
func Load(path string, environ []string) (*Config, error) {
	env := parseEnviron(environ)
	l := &loader{config: &Config{origins: map[string]origin{}}, byPath: map[string]setting{}}
	for _, s := range settings() {
		l.byPath[s.Path] = s
		l.config.origins[s.Path] = fromDefault
		if s.Default != "" {
			l.set(s, fromDefault, []string{s.Default}, Problem{Name: s.Path})
		}
	}
	l.file(path, env)
	l.environment(env)
	l.relations()
	l.makeSenders()
	if len(l.problems) > 0 {
		return nil, &Error{Problems: l.problems}
	}
	return l.config, nil
}

// file finds and reads the file.
func (l *loader) file(path string, env map[string]string) {
	named := true
	if path == "" {
		path = env[fileVariable]
	}
	if path == "" {
		path, named = defaultFile, false
	}
	body, err := os.ReadFile(path)
	switch {
	case err == nil:
		l.yaml(path, body)
	case errors.Is(err, os.ErrNotExist) && !named:
	case errors.Is(err, os.ErrNotExist):
		l.problem(Problem{File: path}, "there is no such file")
	default:
		l.problem(Problem{File: path}, "cannot be read: %v", err)
	}
}

// environment takes the variables, in the order of their names.
func (l *loader) environment(env map[string]string) {
	byVariable := map[string]setting{}
	names := []string{fileVariable}
	for _, s := range settings() {
		byVariable[s.Variable] = s
		names = append(names, s.Variable)
	}
	for _, name := range sortedKeys(env) {
		s, known := byVariable[name]
		switch {
		case known && env[name] != "":
			l.set(s, fromEnv, splitList(s, env[name]), Problem{Name: name})
		case known || name == fileVariable || !strings.HasPrefix(name, "BECKON_") || isServiceLink(name):
		default:
			l.config.Warnings = append(l.config.Warnings, fmt.Sprintf("%s: there is no such variable%s", name, didYouMean(name, names)))
		}
	}
}

func splitList(s setting, text string) []string {
	if !s.List {
		return []string{text}
	}
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// set fills a value; at says where the text stands.
func (l *loader) set(s setting, from origin, texts []string, at Problem) {
	if err := s.field(l.config).set(texts); err != nil {
		l.problem(at, "%v", err)
		return
	}
	l.config.origins[s.Path] = from
}

// relations checks values against one another.
func (l *loader) relations() {
	c := l.config
	if (c.Twilio.APIKey == "") != (c.Twilio.APISecret == "") {
		l.problem(Problem{}, "TWILIO_API_KEY and TWILIO_API_SECRET belong together: set both or none")
	}
	if c.Salesforce.ConfirmTimeout >= salesforceGivesUp {
		l.problem(Problem{}, "BECKON_CONFIRM_TIMEOUT is %s: want less than %s, when Salesforce gives up",
			c.Salesforce.ConfirmTimeout, salesforceGivesUp)
	}
	if c.NATS.Replicas%2 == 0 {
		l.problem(Problem{}, "BECKON_NATS_REPLICAS is %d: want 1, 3 or 5", c.NATS.Replicas)
	}
	if c.NATS.URL == "" && (c.NATS.Replicas > 1 || c.NATS.Creds+c.NATS.CA+c.NATS.Cert != "") {
		l.problem(Problem{}, "BECKON_NATS_REPLICAS above 1, BECKON_NATS_CREDS, _CA, _CERT and _KEY need BECKON_NATS_URL: "+
			"the embedded NATS is a single server in the process")
	}
	if (c.NATS.Cert == "") != (c.NATS.Key == "") {
		l.problem(Problem{}, "BECKON_NATS_CERT and BECKON_NATS_KEY belong together: set both or none")
	}
	if (c.HTTP.TLSCert == "") != (c.HTTP.TLSKey == "") {
		l.problem(Problem{}, "BECKON_HTTP_TLS_CERT and BECKON_HTTP_TLS_KEY belong together: set both or none")
	}
	if c.Salesforce.ClientCerts != "" && c.HTTP.TLSCert == "" {
		l.problem(Problem{}, "BECKON_SALESFORCE_CLIENT_CERTS needs BECKON_HTTP_TLS_CERT and BECKON_HTTP_TLS_KEY: only who ends TLS "+
			"sees a client certificate, and what a proxy writes into a header is not believed")
	}
	if c.Consent.RevokeScope == "program" && c.Consent.RevokeAllFrom.IsZero() {
		c.Warnings = append(c.Warnings, "BECKON_REVOKE_SCOPE=program lets STOP end one program alone, and BECKON_REVOKE_ALL_FROM=never for ever: in "+
			"the US it must end all of a sender's messages from 2027-01-31 (47 CFR 64.1200(a)(10), waived until then by DA 26-12)")
	}
	if c.HTTP.Addr == c.HTTP.AdminAddr && !strings.HasSuffix(c.HTTP.Addr, ":0") {
		l.problem(Problem{}, "BECKON_HTTP_ADDR and BECKON_ADMIN_ADDR are the same: the private listener needs its own")
	}
}

func (l *loader) problem(at Problem, format string, args ...any) {
	at.Text = fmt.Sprintf(format, args...)
	l.problems = append(l.problems, at)
}

// parseEnviron makes a map; of a name that stands twice the last value counts, as in a shell.
func parseEnviron(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, entry := range environ {
		if name, text, ok := strings.Cut(entry, "="); ok {
			env[name] = text
		}
	}
	return env
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
