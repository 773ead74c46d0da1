package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// bench is one run.
type bench struct {
	progress io.Writer
	soakFor  time.Duration
	profiles string // directory, empty for none
	dir      string // everything temporary
	binary   string
	table    table
}

func (b *bench) run(ctx context.Context, only []string, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "beckon-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // Postgres runs as another account when we are root
		return err
	}
	b.dir, b.binary = dir, filepath.Join(dir, "beckon")
	began, before := time.Now(), loadAverage()
	b.say("building")
	if text, err := exec.CommandContext(ctx, "go", "build", "-o", b.binary, "./cmd/beckon").CombinedOutput(); err != nil { //nolint:gosec // our own program
		return fmt.Errorf("build: %w: %s", err, text)
	}
	for _, part := range []struct {
		name  string
		do    func(context.Context) error
		asked bool // only when it is named
	}{
		{"decode", b.decode, false},
		{"acknowledge-large", b.acknowledgeLarge, false},
		{"acknowledge-single", b.acknowledgeSingle, false},
		{"accept-latency", b.acceptLatency, false},
		{"end-to-end", b.endToEnd, false},
		{"end-to-end-with-callbacks", b.endToEndWithCallbacks, false},
		{"flood", b.flood, true},
		{"soak", b.soak, true},
	} {
		if named := slices.Contains(only, part.name); !named && (part.asked || len(only) > 0) {
			continue
		}
		b.say(part.name)
		if err := part.do(ctx); err != nil {
			return fmt.Errorf("%s: %w, after these figures:\n%s", part.name, err, b.table.String())
		}
	}
	_, err = fmt.Fprintf(out, "%s, %s, %d processors, %s/%s, load average before %s, after %s, took %s\n\n%s\n%s",
		began.UTC().Format("2006-01-02 15:04 MST"), runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH,
		before, loadAverage(), time.Since(began).Round(time.Second), b.table.String(), notes)
	return err
}

const notes = `Load generator, simulators, Beckon and Postgres ran on the same processors. Every write of NATS and Postgres
was synced to the disk before it was confirmed.
`

func (b *bench) say(what string) {
	_, _ = fmt.Fprintf(b.progress, "%s %s\n", time.Now().Format(time.TimeOnly), what)
}

// loadAverage is that of the last minute, of all programs on the machine.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// table is what is printed.
type table struct{ rows []string }

// add adds a row; target may be empty.
func (t *table) add(what, value, compared, target string) {
	t.rows = append(t.rows, fmt.Sprintf("| %s | %s | %s | %s |", what, value, compared, target))
}

// reach adds a row with a target and whether it was reached.
func (t *table) reach(what, value, compared, target string, reached bool) {
	verdict := ": reached"
	if !reached {
		verdict = ": **missed**"
	}
	t.add(what, value, compared, target+verdict)
}

// String is the table in Markdown.
func (t *table) String() string {
	return "| what | measured | compared with | target |\n| --- | --- | --- | --- |\n" + strings.Join(t.rows, "\n") + "\n"
}

func ratio(a, b float64) string { return fmt.Sprintf("%.2f", a/b) }

func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
