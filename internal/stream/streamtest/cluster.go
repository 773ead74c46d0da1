package streamtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

const (
	clusterSize  = 3
	nodeVariable = "STREAMTEST_NODE" // makes a process of the test binary a node
	user         = "beckon"
	password     = "a-password"

	// Ports are taken from below the range that systems give out by themselves, so that nobody gets the one of a node
	// while it is down.
	firstPort, lastPort = 12_000, 30_000

	patience = 60 * time.Second // the machine may be busy with other tests
	tick     = 50 * time.Millisecond
)

// Cluster is three nats-servers with JetStream, each a process of its own with its own store, that a test can kill.
type Cluster struct {
	nodes []*node
}

// node is one server. Its exported fields are what its process is told.
type node struct {
	Name              string
	Port, ClusterPort int
	Dir               string
	Routes            []string
	cmd               *exec.Cmd
	alive             io.Closer // the process ends when this closes, so also when the test binary dies
	log               *bytes.Buffer
	ended             chan struct{}
	endedWith         error
}

// RunNode makes this process a node of a cluster, if a test started it as one, and returns true when the node has ended. It
// belongs at the beginning of TestMain of each package that uses StartCluster.
func RunNode() bool {
	told := os.Getenv(nodeVariable) //nolint:forbidigo // it is how a test tells a process of its own
	if told == "" {
		return false
	}
	var n node
	if err := json.Unmarshal([]byte(told), &n); err != nil {
		panic(err)
	}
	n.run()
	return true
}

func (n *node) run() {
	opts := &server.Options{
		ServerName: n.Name, Host: "127.0.0.1", Port: n.Port, Username: user, Password: password, MaxPayload: maxPayload,
		JetStream: true, StoreDir: n.Dir, SyncAlways: true, JetStreamMaxStore: 4 << 30, JetStreamMaxMemory: 64 << 20, NoSigs: true,
		Cluster: server.ClusterOpts{Name: "streamtest", Host: "127.0.0.1", Port: n.ClusterPort},
		// nats-server closes the first connection that is silent at once; a busy machine is no reason.
		DisableShortFirstPing: true,
	}
	for _, route := range n.Routes {
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats", Host: route})
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		panic(err)
	}
	srv.ConfigureLogger()
	srv.Start()
	_, _ = io.Copy(io.Discard, os.Stdin)
	srv.Shutdown()
}

// StartCluster starts three nodes that run until the test ends, and waits until they have a leader. The test's package must
// call RunNode.
func StartCluster(tb testing.TB) *Cluster {
	tb.Helper()
	ports := FreePorts(tb, 2*clusterSize)
	c := &Cluster{}
	var routes []string
	for i := range clusterSize {
		routes = append(routes, net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[clusterSize+i])))
	}
	for i := range clusterSize {
		c.nodes = append(c.nodes, &node{
			Name: fmt.Sprintf("n%d", i), Port: ports[i], ClusterPort: ports[clusterSize+i], Dir: filepath.Join(tb.TempDir(), "store"), Routes: routes,
		})
		c.Start(tb, i)
	}
	tb.Cleanup(func() {
		for _, n := range c.nodes {
			n.stop()
			if tb.Failed() {
				tb.Logf("log of node %s:\n%s", n.Name, n.log)
			}
		}
	})
	c.AwaitJetStream(tb)
	return c
}

// Start starts a node, again after a Kill on the store that it had.
func (c *Cluster) Start(tb testing.TB, i int) {
	tb.Helper()
	n := c.nodes[i]
	told, err := json.Marshal(n)
	require.NoError(tb, err)
	self, err := os.Executable()
	require.NoError(tb, err)
	n.cmd = exec.CommandContext(context.Background(), self)         //nolint:gosec // this very program
	n.cmd.Env = append(os.Environ(), nodeVariable+"="+string(told)) //nolint:forbidigo // for the process of the test
	n.log, n.ended = &bytes.Buffer{}, make(chan struct{})
	n.cmd.Stderr = n.log
	n.alive, err = n.cmd.StdinPipe()
	require.NoError(tb, err)
	require.NoError(tb, n.cmd.Start())
	go func() {
		defer close(n.ended)
		n.endedWith = n.cmd.Wait()
	}()
	require.Eventually(tb, func() bool {
		conn, err := net.Dial("tcp", n.address()) //nolint:noctx // bounded by Eventually
		if err != nil {
			return !n.running()
		}
		return conn.Close() == nil
	}, patience, tick, "node %s must listen", n.Name)
	require.True(tb, n.running(), "node %s ended: %v", n.Name, n.endedWith)
}

// Kill is kill -9 of a node.
func (c *Cluster) Kill(tb testing.TB, i int) {
	tb.Helper()
	n := c.nodes[i]
	require.True(tb, n.running(), "node %s ended by itself", n.Name)
	require.NoError(tb, n.cmd.Process.Kill())
	<-n.ended
}

// Alive are the numbers of the nodes that run.
func (c *Cluster) Alive() []int {
	var alive []int
	for i, n := range c.nodes {
		if n.running() {
			alive = append(alive, i)
		}
	}
	return alive
}

// URL leads to all nodes, with the password.
func (c *Cluster) URL() string {
	urls := make([]string, len(c.nodes))
	for i := range c.nodes {
		urls[i] = c.NodeURL(i)
	}
	return strings.Join(urls, ",")
}

// NodeURL leads to one node, with the password.
func (c *Cluster) NodeURL(i int) string {
	u := url.URL{Scheme: "nats", User: url.UserPassword(user, password), Host: c.nodes[i].address()}
	return u.String()
}

// Connect opens a connection that reconnects for ever, until the test ends.
func (c *Cluster) Connect(tb testing.TB) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect(c.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait), nats.ReconnectJitter(0, 0))
	require.NoError(tb, err)
	tb.Cleanup(nc.Close)
	return nc
}

// AwaitJetStream waits until JetStream answers, which takes a majority of the nodes.
func (c *Cluster) AwaitJetStream(tb testing.TB) {
	tb.Helper()
	c.ask(tb, func(ctx context.Context, js jetstream.JetStream) bool {
		_, err := js.AccountInfo(ctx)
		return err == nil
	}, "JetStream must answer")
}

// Leader waits until a stream has a leader, and returns the number of its node.
func (c *Cluster) Leader(tb testing.TB, stream string) int {
	tb.Helper()
	leader := -1
	c.ask(tb, func(ctx context.Context, js jetstream.JetStream) bool {
		s, err := js.Stream(ctx, stream)
		if err != nil || s.CachedInfo().Cluster == nil {
			return false
		}
		leader = slices.IndexFunc(c.nodes, func(n *node) bool { return n.Name == s.CachedInfo().Cluster.Leader })
		return leader >= 0 && c.nodes[leader].running()
	}, "stream "+stream+" must have a leader")
	return leader
}

func (c *Cluster) ask(tb testing.TB, ready func(context.Context, jetstream.JetStream) bool, what string) {
	tb.Helper()
	nc := c.Connect(tb)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(tb, err)
	require.Eventually(tb, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		return ready(ctx, js)
	}, patience, tick, what)
}

func (n *node) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.Port)) }

func (n *node) running() bool {
	select {
	case <-n.ended:
		return false
	default:
		return true
	}
}

func (n *node) stop() {
	_ = n.alive.Close()
	select {
	case <-n.ended:
	case <-time.After(patience):
		_ = n.cmd.Process.Kill()
		<-n.ended
	}
}

// FreePorts are ports of 127.0.0.1 that were free a moment ago.
func FreePorts(tb testing.TB, count int) []int {
	tb.Helper()
	var ports []int
	var held []net.Listener
	for len(ports) < count {
		port := firstPort + rand.IntN(lastPort-firstPort)                              //nolint:gosec // nothing to guess
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // it does not wait
		if err != nil {
			continue
		}
		ports, held = append(ports, port), append(held, l)
	}
	for _, l := range held {
		_ = l.Close()
	}
	return ports
}
