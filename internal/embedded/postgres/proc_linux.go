package postgres

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// capDACReadSearch is CAP_DAC_READ_SEARCH of capabilities(7): read any file, enter any directory.
const capDACReadSearch = 2

// dieWithParent makes the kernel send sig to the program when the thread that starts it ends.
func dieWithParent(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }

// allowSearch gives the program the right to enter every directory.
func allowSearch(attr *syscall.SysProcAttr) bool {
	attr.AmbientCaps = []uintptr{capDACReadSearch}
	return true
}

// serversOn returns the processes of a Postgres server on the cluster directory: all of them work in it.
func serversOn(cluster string) []int {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var pids []int
	for _, dir := range dirs {
		cwd, err := os.Readlink(filepath.Join(dir, "cwd"))
		if err != nil || cwd != cluster {
			continue // gone, or another user's, which cannot be a server of ours
		}
		name, err := os.ReadFile(filepath.Join(dir, "comm"))
		if err != nil || !strings.HasPrefix(string(name), "postgres") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
