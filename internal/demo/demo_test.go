package demo_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/beckonhq/beckon/internal/demo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// notice calls seen once, as soon as the text was written.
type notice struct {
	io.Writer

	text string
	seen func()
}

func (n *notice) Write(p []byte) (int, error) {
	if n.seen != nil && strings.Contains(string(p), n.text) {
		n.seen()
		n.seen = nil
	}
	return n.Writer.Write(p)
}

// tempDir gives the demo an empty place for its temporary directory, short enough for a socket below it.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bd") //nolint:usetesting // its names are too long, and others can't enter
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o711))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	t.Setenv("TMPDIR", dir)
	return dir
}

func requireEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Empty(t, left, "nothing may be left behind")
}

func TestTheStory(t *testing.T) {
	dir := tempDir(t)
	var out, log bytes.Buffer
	began := time.Now()
	err := demo.Run(t.Context(), demo.Options{Out: &out, Err: &log})
	require.NoError(t, err, "%s\n%s", &out, &log)
	t.Logf("the story took %s:\n%s", time.Since(began), &out)

	require.Empty(t, log.String(), "the log is shown after a failure only")
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, fact := range []string{
		`Negotiation/Review: notification 04l\w{15}\. \+\d+\.\d{3}s Beckon <Ack>true</Ack> after \d+\.\d ms.* no rule matches`,
		`rule closed-won-welcome matches: transactional, en, by WhatsApp or SMS`,
		`Ana's phone rings: ╭─ WhatsApp ─+╮ │ Hi Ana, welcome aboard! Start here: │ │ https://example\.com/start/006\w{15}\.`,
		`reports: undelivered, error 63003 .*falls back to SMS: attempt 2 of the same message.*Ben's phone rings: ╭─ SMS`,
		`repeats notification 04l\w{15} of Ana.* a duplicate, not decided again`,
		`transactional, es \(the record says es-MX\).*Hola, Carla: ¡te damos la bienvenida!`,
		`Ana's phone stays silent: still 1 message from us`,
		`Thanks! Where do I start\?.*it answers closed-won-welcome, contact 003000000000001AAA, Opportunity 006\w{15}`,
		`it waits for a human, says rule anything-else`,
		`opt-out of \*\*\*02, channels: all`,
		`opt-out of \*\*\*03, channels: all, .* recognised: no me manden mas \(es\)\.`,
		`confirms it, once.*Carla's phone rings: ╭─ WhatsApp ─+╮ │ Example Inc: Te has dado de baja`,
		`case-escalated is suppressed: opted_out.*was not called meanwhile`,
		`runs them, without a restart`,
		`payment-plan-offer is suppressed: no_consent`,
		`invoice INV-0042 for \$1,200\.50`,
		`payment-overdue waits: quiet_hours, until \w+day, 09:\d\d in Nevada`,
		`rule case-rated-low takes it and asks for the reason.*signature is right: rule case-rated-low, reply "2"`,
		`signature is right: rule rating-reason-given, reply "Price"`,
		`assigned to lee, no rule answers for 4 hours`,
		`acknowledgement for 10 notifications = 9 decided \+ 1 duplicate`,
		`9 messages of rules \+ 4 answers = 1 queued \+ 2 delivered \+ 7 read \+ 3 suppressed`,
		`asked to send 10 times = 10 attempts`,
	} {
		require.Regexp(t, fact, text)
	}
	require.NotContains(t, text, "+1415", "numbers are masked")
	require.NotContains(t, out.String(), "\x1b", "no colors unless allowed")
	for line := range strings.Lines(out.String()) {
		require.LessOrEqual(t, utf8.RuneCountInString(line), 101, line)
	}
	requireEmpty(t, dir)
}

func TestInterrupted(t *testing.T) {
	for _, at := range []string{"Starting", "falls back to SMS"} {
		t.Run(at, func(t *testing.T) {
			dir := tempDir(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var out, log bytes.Buffer
			err := demo.Run(ctx, demo.Options{Out: &notice{&out, at, cancel}, Err: &log})
			require.NoError(t, err, "%s\n%s", &out, &log)
			require.Contains(t, out.String(), "Interrupted. Everything is stopped, nothing is left behind.")
			require.NotContains(t, out.String(), "How everything ended")
			requireEmpty(t, dir)
		})
	}
}

func TestKeepRunning(t *testing.T) {
	dir := tempDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	var out, log bytes.Buffer
	told, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- demo.Run(ctx, demo.Options{
			Out: &notice{&out, "Follow Ana's deal", func() { close(told) }}, Err: &log, KeepRunning: true, Color: true,
		})
	}()
	end := sync.OnceValue(func() error { cancel(); return <-ended })
	defer func() { _ = end() }()
	select {
	case <-told:
		lookAtLedger(t, dir)
	case err := <-ended:
		ended <- err
	}
	require.NoError(t, end(), "%s\n%s", &out, &log)
	require.Contains(t, out.String(), "/_sim/inbound")
	require.Contains(t, out.String(), "beckon.yaml trace 006")
	require.Contains(t, out.String(), "beckon.yaml conversations reply +14155550101")
	require.Contains(t, out.String(), "\x1b[1m")
	require.NotContains(t, out.String(), "Interrupted")
	requireEmpty(t, dir)
}

func TestWithoutPostgres(t *testing.T) {
	dir := tempDir(t)
	var out, log bytes.Buffer
	err := demo.Run(t.Context(), demo.Options{Out: &out, Err: &log, PostgresBin: filepath.Join(dir, "none")})
	require.ErrorContains(t, err, "apt-get install postgresql")
	require.NotContains(t, err.Error(), "\n", "one line says what to install")
	requireEmpty(t, dir)
}

func TestKeep(t *testing.T) {
	dir := tempDir(t)
	var out, log bytes.Buffer
	require.Error(t, demo.Run(t.Context(), demo.Options{Out: &out, Err: &log, PostgresBin: filepath.Join(dir, "none"), Keep: true}))
	require.Contains(t, out.String(), "The files are kept in "+dir)
	kept, err := filepath.Glob(filepath.Join(dir, "beckon-demo-*", "demo.log"))
	require.NoError(t, err)
	require.Len(t, kept, 1)
}
