package e2e_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/torture"
)

// A short version of what docs/reliability.md has: two minutes with start and settling, always with the same schedule of
// faults. It proves little by itself; that it goes on passing with every change is worth something.
func TestTorture(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes two minutes")
	}
	dir := filepath.Join(tempDir(t), "torture")
	cmd := exec.CommandContext(t.Context(), binary(t), "torture", "--for", "75s", "--seed", "4", "--dir", dir, "--json")
	var progress output
	cmd.Stderr = &progress
	text, err := cmd.Output()
	require.NoErrorf(t, err, "%s%s", progress.String(), text)
	var report torture.Report
	require.NoError(t, json.Unmarshal(text, &report))
	require.Zero(t, report.Counts.Lost)
	require.Zero(t, report.Counts.Duplicated)
	require.Zero(t, report.Counts.Violations)
	require.Greater(t, report.Counts.Accepted, 1000)
	require.Greater(t, report.Counts.AtTwilio, 500)
	require.Positive(t, report.Counts.Suppressed, "somebody has opted out")
	require.Greater(t, len(report.Faults), 15)
	for _, fault := range report.Faults {
		if fault.Kind != torture.Answers { // the simulator may be dead or frozen when it is told
			require.Emptyf(t, fault.Problem, "%s", fault)
		}
	}
}

// However a torture ends early, none of its processes stays.
func TestTortureLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux kills processes with their parent, and shows where they work")
	}
	for name, signal := range map[string]syscall.Signal{"interrupt": syscall.SIGINT, "kill": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(tempDir(t), "torture")
			cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary(t), "torture", "--nats", "1", "--faults", "freeze", "--dir", dir)
			var progress output
			cmd.Stderr = &progress
			require.NoError(t, cmd.Start())
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			require.Eventually(t, func() bool { return strings.Contains(progress.String(), "freeze") }, patience, tick, "%s", &progress)
			require.NotEmpty(t, workingIn(dir))
			require.NoError(t, cmd.Process.Signal(signal))
			require.Error(t, cmd.Wait())
			require.Eventually(t, func() bool { return len(workingIn(dir)) == 0 }, patience, tick, "left: %v", workingIn(dir))
		})
	}
}

// workingIn lists the processes whose working directory is at or below a folder.
func workingIn(dir string) []string {
	var found []string
	links, _ := filepath.Glob("/proc/[0-9]*/cwd") // the pattern is good
	for _, link := range links {
		if cwd, err := os.Readlink(link); err == nil && (cwd == dir || strings.HasPrefix(cwd, dir+"/")) {
			found = append(found, link)
		}
	}
	return found
}
