package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startLimit = 60 * time.Second
	stopLimit  = 40 * time.Second
	benchOrg   = "00D5g000004QxYz"
	benchMG    = "MG00000000000000000000000000000001"
	account    = "AC00000000000000000000000000000001"
	token      = "a-token-of-the-benchmark"
)

// child is a running `beckon serve`.
type child struct {
	cmd    *exec.Cmd
	ended  chan error
	public string
	admin  string
	log    string
}

// serve starts the program with roles; more is added to its environment. It returns when /readyz says ready.
func (b *bench) serve(ctx context.Context, roles string, more ...string) (*child, error) {
	ports, err := freePorts(ctx, 2)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, "serve-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // see run
		return nil, err
	}
	c := &child{
		ended: make(chan error, 1), public: "http://" + ports[0], admin: "http://" + ports[1], log: filepath.Join(dir, "log"),
	}
	c.cmd = exec.Command(b.binary, "serve", "--roles", roles) //nolint:gosec,noctx // our own program; stopped by stop
	c.cmd.Env = append(clean(c.cmd.Environ()),
		"BECKON_HTTP_ADDR="+ports[0], "BECKON_ADMIN_ADDR="+ports[1], "BECKON_PUBLIC_URL="+c.public, "BECKON_LOG_LEVEL=warn",
		"BECKON_DATA_DIR="+filepath.Join(dir, "data"), "BECKON_RULES_DIR=rules", "BECKON_SALESFORCE_ORG_IDS="+benchOrg,
		"TWILIO_ACCOUNT_SID="+account, "TWILIO_AUTH_TOKEN="+token, "TWILIO_MESSAGING_SERVICE_SID="+benchMG)
	c.cmd.Env = append(c.cmd.Env, more...)
	output, err := os.Create(c.log)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	c.cmd.Stdout, c.cmd.Stderr = output, output
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { c.ended <- c.cmd.Wait() }()
	if err := c.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// clean leaves out what would configure the program.
func clean(environ []string) []string {
	var kept []string
	for _, entry := range environ {
		if !strings.HasPrefix(entry, "BECKON_") && !strings.HasPrefix(entry, "TWILIO_") {
			kept = append(kept, entry)
		}
	}
	return kept
}

func (c *child) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if body, err := get(ctx, c.admin+"/readyz"); err == nil && strings.Contains(body, `"status":"ready"`) && !strings.Contains(body, "unavailable") {
			return nil
		}
		select {
		case <-tick.C:
		case err := <-c.ended:
			c.ended <- err
			return fmt.Errorf("beckon serve ended: %w: %s", err, c.tail())
		case <-ctx.Done():
			return fmt.Errorf("beckon serve did not become ready: %w: %s", ctx.Err(), c.tail())
		}
	}
}

func (c *child) tail() string {
	text, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	const most = 2000
	return string(text[max(0, len(text)-most):])
}

// stop asks the process to end, and ends it when it does not.
func (c *child) stop() error {
	err := c.cmd.Process.Signal(syscall.SIGTERM)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	select {
	case err := <-c.ended:
		if err != nil {
			return fmt.Errorf("beckon serve did not end in order: %w: %s", err, c.tail())
		}
		return nil
	case <-time.After(stopLimit):
		return errors.Join(errors.New("beckon serve did not stop"), c.cmd.Process.Kill())
	}
}

// resident is the memory of the process in bytes that is in RAM, and what of it is no file's.
func (c *child) resident() (total, anonymous int64, err error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(c.cmd.Process.Pid) + "/status")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			total = kib << 10
		case "RssAnon:":
			anonymous = kib << 10
		}
	}
	return total, anonymous, nil
}

func get(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(response.Body)
	return string(body), errors.Join(err, response.Body.Close())
}

// freePorts returns addresses that were free a moment ago.
func freePorts(ctx context.Context, n int) ([]string, error) {
	var config net.ListenConfig
	var addresses []string
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	for range n {
		l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		held, addresses = append(held, l), append(addresses, l.Addr().String())
	}
	return addresses, nil
}
