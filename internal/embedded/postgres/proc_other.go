//go:build !linux

package postgres

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// dieWithParent does nothing: only Linux ends a program with its parent. The next start stops what is left.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}

// allowSearch does nothing: there are no such rights to give.
func allowSearch(*syscall.SysProcAttr) bool { return false }

// serversOn returns the process of a Postgres server on the cluster directory, known by its -D argument.
func serversOn(cluster string) []int {
	out, err := exec.CommandContext(context.Background(), "ps", "-axww", "-o", "pid=,command=").Output()
	if err != nil {
		return nil
	}
	var pids []int
	for line := range strings.Lines(string(out)) {
		number, command, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.Contains(command, "postgres -D "+cluster+" ") {
			continue
		}
		if pid, err := strconv.Atoi(number); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
