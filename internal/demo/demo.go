package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Options say how the story is told.
type Options struct {
	Out io.Writer // the transcript
	Err io.Writer // the program's log with Verbose, its end after a failure
	// Verbose writes the log to Err while the story runs.
	Verbose bool
	// Keep leaves the temporary directory there at the end.
	Keep bool
	// KeepRunning leaves everything running after the story, until the context ends.
	KeepRunning bool
	// Color allows terminal colors in Out.
	Color bool
	// PostgresBin is the directory of the Postgres programs; empty means search.
	PostgresBin string
	Version     string
}

const (
	logName  = "demo.log"
	logLines = 20 // shown after a failure
)

// Run starts everything, plays the story, and stops and removes everything again. The end of ctx ends it early and in
// order; that is no error. Otherwise the error is why the story could not be told, after the end of the log was written
// to Options.Err.
func Run(ctx context.Context, opts Options) error {
	t := newTranscript(opts.Out, opts.Color)
	dir, err := makeDir()
	if err != nil {
		return err
	}
	interrupted, err := play(ctx, t, opts, dir)
	if opts.Keep {
		t.plain("\n  The files are kept in %s", dir)
	} else if failed := os.RemoveAll(dir); failed != nil {
		err = errors.Join(err, fmt.Errorf("remove the temporary directory: %w", failed))
	}
	switch {
	case err != nil:
	case interrupted:
		t.plain("\n  Interrupted. Everything is stopped%s.", opts.remains())
	default:
		t.plain("\n  Everything is stopped%s.", opts.remains())
	}
	return err
}

func (o Options) remains() string {
	if o.Keep {
		return ""
	}
	return ", nothing is left behind"
}

// play tells the story in a world that it starts and stops. It tells whether ctx ended before the story did.
func play(ctx context.Context, t *transcript, opts Options, dir string) (interrupted bool, err error) {
	log, err := os.OpenFile(filepath.Join(dir, logName), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return false, fmt.Errorf("make the log file: %w", err)
	}
	defer func() { _ = log.Close() }()
	t.title("Beckon: a deal is won, and the customer hears of it")
	t.plain("  Salesforce and Twilio are simulators, the phone numbers are fictional. All else is the real thing:")
	t.plain("  SOAP in, a JetStream on disk, a Postgres ledger, the shipped rules and templates. Starting ...")
	w := &world{opts: opts, dir: dir, log: log}
	err = w.start(ctx)
	if err == nil {
		t.plain("  Ready after %.1f s.", t.since().Seconds())
		t.restart()
		err = (&story{world: w, transcript: t}).tell(ctx)
	}
	if ctx.Err() != nil && err != nil {
		return true, w.stop(ctx)
	}
	if err = errors.Join(err, w.stop(ctx)); err != nil && !opts.Verbose {
		tellEnd(opts.Err, log.Name())
	}
	return false, err
}

// makeDir makes the temporary directory. Others may pass through it, since for root the private Postgres runs as another
// account; what is inside protects itself.
func makeDir() (string, error) {
	dir, err := os.MkdirTemp("", "beckon-demo-")
	if err != nil {
		return "", fmt.Errorf("make a temporary directory: %w", err)
	}
	const passThrough = 0o711
	if err := os.Chmod(dir, passThrough); err != nil {
		return "", errors.Join(fmt.Errorf("make a temporary directory: %w", err), os.RemoveAll(dir))
	}
	return dir, nil
}

// tellEnd writes the last lines of the log.
func tellEnd(w io.Writer, path string) {
	text, err := os.ReadFile(path)
	if err != nil || len(text) == 0 {
		return
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	lines = lines[max(0, len(lines)-logLines):]
	_, _ = fmt.Fprintf(w, "\nThe log ends with\n%s\n\n", bytes.Join(lines, []byte("\n")))
}

// patience bounds every single wait of the story.
const patience = 20 * time.Second
