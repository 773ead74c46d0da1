package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// runner starts the Postgres programs as the right account.
type runner struct {
	account *Account
	// search is set when the account needs the capability to enter directories on the way.
	search bool
}

// command prepares a program. It runs in a process group of its own, so that an interrupt from the terminal reaches
// Beckon alone, which then stops it in its turn; and the kernel sends it sig when Beckon dies.
func (r runner) command(ctx context.Context, sig syscall.Signal, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the programs that Find found, and our own arguments
	cmd.Dir = "/"
	// LC_ALL: messages that we can read and an encoding that is always there. Nothing of our own environment, which
	// holds secrets.
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr, sig)
	r.account.Use(cmd)
	if r.search {
		allowSearch(cmd.SysProcAttr)
	}
	return cmd
}

// run runs a program to its end, with input on its standard input. The error holds the last lines of its output.
func (r runner) run(ctx context.Context, input, name string, args ...string) error {
	// The death signal belongs to the thread that starts the program.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := r.command(ctx, syscall.SIGKILL, name, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, lastLines(out))
	}
	return nil
}

// reach checks that the account can enter dir, and gives it the capability to do so if that is what is missing.
func (r runner) reach(ctx context.Context, dir string) (runner, error) {
	if r.account == nil || r.canEnter(ctx, dir) {
		return r, nil
	}
	r.search = allowSearch(&syscall.SysProcAttr{})
	if r.search && r.canEnter(ctx, dir) {
		return r, nil
	}
	return r, fmt.Errorf("%w: account %s, which Postgres runs as, cannot enter %s on the way to %s: "+
		"set BECKON_DATA_DIR to a directory that it can reach, for example /var/lib/beckon",
		ErrUnreachable, r.account.Name, r.barrier(dir), dir)
}

func (r runner) canEnter(ctx context.Context, dir string) bool {
	return r.run(ctx, "", "/bin/sh", "-c", `cd "$1"`, "sh", dir) == nil
}

// barrier returns the first directory on the way to dir that others cannot enter.
func (r runner) barrier(dir string) string {
	barrier := dir
	for at := dir; ; at = filepath.Dir(at) {
		if info, err := os.Stat(at); err == nil && info.Mode().Perm()&0o001 == 0 && at != dir {
			barrier = at
		}
		if at == filepath.Dir(at) {
			return barrier
		}
	}
}

// lastLines is the end of a program's output, on one line.
func lastLines(out []byte) string {
	const most = 6
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	if len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	return string(bytes.Join(lines, []byte(" | ")))
}

func isGone(err error) bool {
	return errors.Is(err, syscall.ESRCH) || errors.Is(err, os.ErrProcessDone)
}
