package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	pollEvery = 20 * time.Millisecond
	// A fast shutdown writes a checkpoint, which on a slow disk takes its time. What QUIT cuts short is recovered from
	// the write-ahead log at the next start.
	fastPatience      = 20 * time.Second
	immediatePatience = 5 * time.Second
)

// takeOver stops a server that an earlier process left running on the cluster, and removes what would keep a new one
// from starting. The caller holds the lock of the data directory, so nobody else starts one meanwhile.
func takeOver(ctx context.Context, cluster string) (stopped bool, err error) {
	pid := readPostmasterPID(cluster)
	pids := serversOn(cluster)
	stopped = len(pids) > 0
	for _, step := range []struct {
		sig      syscall.Signal
		patience time.Duration
	}{{syscall.SIGINT, fastPatience}, {syscall.SIGQUIT, immediatePatience}, {syscall.SIGKILL, immediatePatience}} {
		if len(pids) == 0 {
			break
		}
		target := pids
		if slices.Contains(pids, pid) && step.sig != syscall.SIGKILL {
			target = []int{pid} // the others are its children, and end with it
		}
		if err := signal(target, step.sig); err != nil {
			return false, err
		}
		if pids, err = awaitGone(ctx, cluster, step.patience); err != nil {
			return false, err
		}
	}
	if len(pids) > 0 {
		return false, fmt.Errorf("%w: process %d of an earlier run does not end", ErrNotReady, pids[0])
	}
	return stopped, removeForeignPIDFile(cluster)
}

func signal(pids []int, sig syscall.Signal) error {
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !isGone(err) {
			return fmt.Errorf("stop process %d, a postgres of an earlier run: %w", pid, err)
		}
	}
	return nil
}

// awaitGone returns the processes that are left when none is, or when the time is up.
func awaitGone(ctx context.Context, cluster string, patience time.Duration) ([]int, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		pids := serversOn(cluster)
		if len(pids) == 0 {
			return nil, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errPatience) {
				return pids, nil
			}
			return nil, fmt.Errorf("stop a postgres of an earlier run: %w", ctx.Err())
		}
	}
}

// removeForeignPIDFile removes a postmaster.pid whose process lives but is no server on this cluster (takeOver has
// made sure): the number was given to another program, and Postgres, which looks at no more than the number, would
// refuse to start. A file whose process is dead stays: Postgres sees that itself, with checks of its own.
func removeForeignPIDFile(cluster string) error {
	pid := readPostmasterPID(cluster)
	if pid <= 0 || isGone(syscall.Kill(pid, 0)) {
		return nil
	}
	if err := os.Remove(filepath.Join(cluster, "postmaster.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove stale postmaster.pid: %w", err)
	}
	return nil
}

// readPostmasterPID reads the first line of postmaster.pid, 0 when there is none.
func readPostmasterPID(cluster string) int {
	text, err := os.ReadFile(filepath.Join(cluster, "postmaster.pid"))
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return 0
	}
	return pid
}
