//go:build !linux

package torture

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// dieWithParent does nothing: only Linux kills a program with its parent.
func dieWithParent(*syscall.SysProcAttr) {}

// parents maps every process of the machine to its parent.
func parents() map[int]int {
	all := map[int]int{}
	out, err := exec.CommandContext(context.Background(), "ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return all
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) != 2 {
			continue
		}
		child, err1 := strconv.Atoi(fields[0])
		parent, err2 := strconv.Atoi(fields[1])
		if err1 == nil && err2 == nil {
			all[child] = parent
		}
	}
	return all
}
