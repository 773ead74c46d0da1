package torture

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed rules templates
var policy embed.FS

// world is everything that runs: processes, and the edges between them.
type world struct {
	opts  Options
	dir   string
	chart chart
	token string // of the NATS servers
	dsn   string // of Postgres, past the edges; a secret

	addresses map[string]string // where processes listen
	edges     map[string]*proxy
	processes map[string]*process

	mu      sync.Mutex
	ending  bool
	crashes []Crash
}

// Crash is a process that ended without our doing. It is started again, as a supervisor would.
type Crash struct {
	Process string    `json:"process"`
	At      time.Time `json:"at"`
	Error   string    `json:"error"`
}

func newWorld(opts Options, dir string) *world {
	return &world{
		opts: opts, dir: dir, chart: newChart(opts.Nodes), token: rand.Text(),
		addresses: map[string]string{}, edges: map[string]*proxy{}, processes: map[string]*process{},
	}
}

// start brings everything up and waits until it is ready.
func (w *world) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for _, step := range []func(context.Context) error{
		w.writePolicy, w.choosePorts, w.openEdges, w.startServers, w.startServices,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stop ends everything; nothing is left running.
func (w *world) stop() {
	w.mu.Lock()
	w.ending = true
	w.mu.Unlock()
	var work sync.WaitGroup
	for name, p := range w.processes {
		work.Go(func() {
			if name == postgresName {
				p.end(stopPatience)
				return
			}
			p.kill()
		})
	}
	work.Wait()
	for _, edge := range w.edges {
		edge.close()
	}
}

// writePolicy puts rules and templates where the processes read them.
func (w *world) writePolicy(context.Context) error {
	if err := os.MkdirAll(filepath.Join(w.dir, "logs"), 0o700); err != nil {
		return fmt.Errorf("make the directory of the logs: %w", err)
	}
	for _, part := range []string{"rules", "templates"} {
		files, err := fs.Sub(policy, part)
		if err == nil {
			err = os.CopyFS(filepath.Join(w.dir, part), files)
		}
		if err != nil {
			return fmt.Errorf("write the %s: %w", part, err)
		}
	}
	if err := os.WriteFile(w.tokenFile(), []byte(w.token), 0o600); err != nil {
		return fmt.Errorf("write the token of NATS: %w", err)
	}
	return nil
}

const (
	firstPort, lastPort = 20_000, 29_999 // below those that systems give to outgoing connections
	admin               = "admin of "
	route               = "route of "
)

// choosePorts gives every process its addresses. They stay the same when it is started again.
func (w *world) choosePorts(ctx context.Context) error {
	names := []string{ingestName, twilioName}
	for _, service := range services() {
		names = append(names, admin+service)
	}
	for _, node := range w.chart.nodes {
		names = append(names, node, route+node)
	}
	port := firstPort + int(time.Now().UnixNano()/1000)%(lastPort-firstPort)
	for _, name := range names {
		for {
			if port++; port > lastPort {
				port = firstPort
			}
			address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
			var listening net.ListenConfig
			l, err := listening.Listen(ctx, "tcp", address)
			if err == nil {
				w.addresses[name] = address
				if err := l.Close(); err != nil {
					return fmt.Errorf("try a port: %w", err)
				}
				break
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return nil
}

// openEdges opens every edge but those to Postgres, whose address is not known yet.
func (w *world) openEdges(ctx context.Context) error {
	for _, name := range w.chart.edges {
		from, to, _ := strings.Cut(name, arrow)
		target := w.addresses[to]
		if strings.HasPrefix(from, "nats-") {
			target = w.addresses[route+to]
		}
		if target == "" {
			continue
		}
		if err := w.openEdge(ctx, name, target); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) openEdge(ctx context.Context, name, target string) error {
	edge, err := newProxy(ctx, name, target)
	if err != nil {
		return err
	}
	w.edges[name] = edge
	return nil
}

func (w *world) startServers(ctx context.Context) error {
	w.add(twilioName, nil, "torture", "twilio", "--addr", w.addresses[twilioName], "--journal", w.journal(),
		"--inbound", w.publicURL()+"/twilio/messages")
	for _, node := range w.chart.nodes {
		w.add(node, nil, w.nodeArgs(node)...)
	}
	keeper := w.add(postgresName, nil, "torture", "postgres", "--dir", filepath.Join(w.dir, postgresName), "--bin", w.opts.PostgresBin)
	keeper.tree = true
	for _, p := range w.processes {
		if err := p.start(); err != nil { //nolint:contextcheck // it outlives the start
			return err
		}
	}
	line, err := keeper.firstLine(ctx)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(line), &w.dsn); err != nil {
		return fmt.Errorf("read the address of Postgres: %w", err)
	}
	return w.openDatabaseEdges(ctx)
}

// nodeArgs are the arguments of a NATS server.
func (w *world) nodeArgs(node string) []string {
	args := []string{
		"torture", "node", "--name", node, "--dir", filepath.Join(w.dir, node), "--addr", w.addresses[node], "--token-file", w.tokenFile(),
	}
	if len(w.chart.nodes) == 1 {
		return args
	}
	// Gossip shall lead past no edge: nobody listens at the address that the others are told.
	args = append(args, "--route-addr", w.addresses[route+node], "--advertise", "127.0.0.1:9")
	for _, other := range w.chart.nodes {
		if other != node {
			args = append(args, "--route", w.edges[node+arrow+other].address())
		}
	}
	return args
}

func (w *world) openDatabaseEdges(ctx context.Context) error {
	u, err := url.Parse(w.dsn)
	if err != nil {
		return errors.New("read the address of Postgres: it is no URL")
	}
	socket := filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432")
	for _, name := range w.chart.edges {
		if strings.HasSuffix(name, arrow+postgresName) {
			if err := w.openEdge(ctx, name, socket); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *world) startServices(ctx context.Context) error {
	for _, service := range services() {
		role, _, _ := strings.Cut(service, "-")
		p := w.add(service, w.settings(service), "serve", "--roles", role)
		if err := p.start(); err != nil { //nolint:contextcheck // it outlives the start
			return err
		}
	}
	for _, service := range services() {
		if err := w.await(ctx, service); err != nil {
			return err
		}
	}
	return nil
}

// add makes a process of this program, not started yet.
func (w *world) add(name string, env []string, args ...string) *process {
	for _, entry := range w.opts.Environ {
		if variable, _, _ := strings.Cut(entry, "="); variable == "PATH" || variable == "HOME" || variable == "TMPDIR" {
			env = append(env, entry)
		}
	}
	p := newProcess(program{
		name: name, path: w.opts.Program, args: args, env: env, dir: w.dir, log: w.logFile(name),
	}, w.crashed)
	w.processes[name] = p
	return p
}

func (w *world) logFile(name string) string { return filepath.Join(w.dir, "logs", name+".log") }
func (w *world) tokenFile() string          { return filepath.Join(w.dir, "nats.token") }
func (w *world) journal() string            { return filepath.Join(w.dir, "twilio.journal") }

// publicURL is the door as Twilio reaches it.
func (w *world) publicURL() string { return "http://" + w.edges[twilioName+arrow+ingestName].address() }

// settings configure one process of beckon serve: what it talks to lies behind its edges.
func (w *world) settings(service string) []string {
	settings := map[string]string{
		"BECKON_HTTP_ADDR": w.addresses[ingestName], "BECKON_ADMIN_ADDR": w.addresses[admin+service],
		"BECKON_PUBLIC_URL": w.publicURL(), "BECKON_DATA_DIR": filepath.Join(w.dir, service),
		"BECKON_NATS_URL": w.natsURL(service), "BECKON_NATS_REPLICAS": strconv.Itoa(w.opts.Nodes),
		"BECKON_RULES_DIR": filepath.Join(w.dir, "rules"), "BECKON_TEMPLATES_DIR": filepath.Join(w.dir, "templates"),
		"BECKON_SALESFORCE_ORG_IDS": orgID, "BECKON_CONFIRM_TIMEOUT": confirmTimeout.String(),
		"TWILIO_ACCOUNT_SID": accountSID, "TWILIO_AUTH_TOKEN": authToken, "TWILIO_FROM": smsFrom, "TWILIO_WHATSAPP_FROM": whatsAppFrom,
		"BECKON_SEND_TIMEOUT": sendTimeout.String(), "BECKON_RECONCILE_AFTER": reconcileAfter.String(), "BECKON_SHUTDOWN_TIMEOUT": "5s",
		// Never the real one: a process without an edge to Twilio gets an address where nobody is.
		"BECKON_TWILIO_API_URL": "http://127.0.0.1:9",
	}
	if edge := w.edges[service+arrow+twilioName]; edge != nil {
		settings["BECKON_TWILIO_API_URL"] = "http://" + edge.address()
	}
	if edge := w.edges[service+arrow+postgresName]; edge != nil {
		settings["BECKON_DATABASE_URL"] = overTCP(w.dsn, edge.address())
	}
	env := make([]string, 0, len(settings))
	for name, value := range settings {
		env = append(env, name+"="+value)
	}
	return env
}

// natsURL lists the edges from a process to the NATS servers; for nobody the servers themselves.
func (w *world) natsURL(service string) string {
	var all []string
	for _, node := range w.chart.nodes {
		address := w.addresses[node]
		if service != "" {
			address = w.edges[service+arrow+node].address()
		}
		all = append(all, (&url.URL{Scheme: "nats", User: url.User(w.token), Host: address}).String())
	}
	return strings.Join(all, ",")
}

// overTCP is the database URL with another way to the server.
func overTCP(dsn, address string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return dsn
	}
	u.Host = address
	query := u.Query()
	query.Del("host")
	u.RawQuery = query.Encode()
	return u.String()
}

// await waits until a service says that it is ready.
func (w *world) await(ctx context.Context, service string) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		if w.ready(ctx, service) {
			return nil
		}
		if crashes := w.crashList(); len(crashes) > 1 {
			return fmt.Errorf("%s ended at its start (%s), see %s", crashes[0].Process, crashes[0].Error, w.logFile(crashes[0].Process))
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s to be ready, see %s: %w", service, w.logFile(service), ctx.Err())
		}
	}
}

func (w *world) ready(ctx context.Context, service string) bool {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.addresses[admin+service]+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// crashed notes that a process ended by itself and starts it again soon.
func (w *world) crashed(name string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ending {
		return
	}
	text := "exit status 0"
	if err != nil {
		text = err.Error()
	}
	w.crashes = append(w.crashes, Crash{Process: name, At: time.Now(), Error: text})
	time.AfterFunc(time.Second, func() { w.revive(name) })
}

// revive starts a process, unless all is ending.
func (w *world) revive(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ending || w.processes[name].running() {
		return
	}
	if err := w.processes[name].start(); err != nil {
		w.crashes = append(w.crashes, Crash{Process: name, At: time.Now(), Error: err.Error()})
	}
}

func (w *world) crashList() []Crash {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.crashes
}
