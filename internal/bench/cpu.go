package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ticksPerSecond is USER_HZ: the unit of times in /proc, 100 on every platform of Go on Linux. Source: proc(5), times(7).
const ticksPerSecond = 100

// cpu is how much processor time was used, user and system together.
type cpu struct{ beckon, postgres, bench time.Duration }

func (c cpu) minus(before cpu) cpu {
	return cpu{c.beckon - before.beckon, c.postgres - before.postgres, c.bench - before.bench}
}

// each tells it for one of n messages. Unlike a rate it moves little with what else runs on the machine.
func (c cpu) each(n int) string {
	micros := func(d time.Duration) int64 { return d.Microseconds() / int64(n) }
	return fmt.Sprintf("processor time a message: Beckon %d us, Postgres %d us, simulators %d us",
		micros(c.beckon), micros(c.postgres), micros(c.bench))
}

// cpuOf reads the times of the child, of the Postgres that it started, and of this process.
func cpuOf(c *child) cpu {
	used := cpu{beckon: processTime(c.cmd.Process.Pid)}
	for _, postmaster := range childrenOf(c.cmd.Process.Pid) {
		used.postgres += treeTime(postmaster)
	}
	var self syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &self) == nil {
		used.bench = time.Duration(self.Utime.Nano() + self.Stime.Nano())
	}
	return used
}

// treeTime is the time of a process and of all below it.
func treeTime(pid int) time.Duration {
	total := processTime(pid)
	for _, below := range childrenOf(pid) {
		total += treeTime(below)
	}
	return total
}

// processTime is the time of one process, 0 when it is gone or the platform has no /proc.
func processTime(pid int) time.Duration {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name of the program may have spaces
	const utime, stime = 11, 12                   // counted from the state on
	fields := strings.Fields(rest)
	if len(fields) <= stime {
		return 0
	}
	user, _ := strconv.ParseInt(fields[utime], 10, 64)
	system, _ := strconv.ParseInt(fields[stime], 10, 64)
	return time.Duration(user+system) * time.Second / ticksPerSecond
}

func childrenOf(pid int) []int {
	files, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "children"))
	var pids []int
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for field := range strings.FieldsSeq(string(text)) {
			if below, err := strconv.Atoi(field); err == nil {
				pids = append(pids, below)
			}
		}
	}
	return pids
}

// profile saves a profile of the child while a part runs, when there is a directory for it. The function returned waits until it
// is written.
func (b *bench) profile(ctx context.Context, c *child, name string) func() {
	if b.profiles == "" {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := save(ctx, c.admin+"/debug/pprof/profile?seconds=2", filepath.Join(b.profiles, name+".pprof")); err != nil {
			b.say("no profile of " + name + ": " + err.Error())
		}
	}()
	return func() { <-done }
}

func save(ctx context.Context, url, file string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(file, body, 0o600)
}
