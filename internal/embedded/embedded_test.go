package embedded_test

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/embedded"
)

func TestLockExcludes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "by", "lock")
	lock, err := embedded.Lock(dir)
	require.NoError(t, err)

	_, err = embedded.Lock(dir)
	require.ErrorIs(t, err, embedded.ErrInUse)
	var inUse *embedded.InUseError
	require.ErrorAs(t, err, &inUse)
	require.Equal(t, os.Getpid(), inUse.PID)
	require.ErrorContains(t, err, dir)

	require.NoError(t, lock.Release())
	again, err := embedded.Lock(dir)
	require.NoError(t, err)
	require.NoError(t, again.Release())
}

func TestLockOfADirectoryThatCannotBe(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := embedded.Lock(filepath.Join(file, "dir"))
	require.Error(t, err)
	require.NotErrorIs(t, err, embedded.ErrInUse)
}

func TestReadersDoNotDisturbLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, embedded.WriteAddresses(dir, embedded.Addresses{}))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = embedded.ReadAddresses(dir)
			}
		}
	})
	for range 20 {
		lock, err := embedded.Lock(dir)
		require.NoError(t, err)
		require.NoError(t, lock.Release())
	}
	close(stop)
	readers.Wait()
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := embedded.Addresses{
		NATSURL: "nats://127.0.0.1:4222", NATSToken: "sesame", DatabaseURL: "postgres://u:pw@/x", AdminURL: "http://127.0.0.1:1",
	}
	_, err := embedded.ReadAddresses(dir)
	require.ErrorIs(t, err, embedded.ErrNotRunning, "no file")

	require.NoError(t, embedded.WriteAddresses(dir, want))
	_, err = embedded.ReadAddresses(dir)
	require.ErrorIs(t, err, embedded.ErrNotRunning, "a file, but nobody holds the lock")

	lock, err := embedded.Lock(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lock.Release()) })
	got, err := embedded.ReadAddresses(dir)
	require.NoError(t, err)
	want.PID = os.Getpid()
	require.Equal(t, want, got)

	info, err := os.Stat(filepath.Join(dir, "beckon.addresses.json"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	require.NoError(t, embedded.WriteAddresses(dir, embedded.Addresses{PID: 1}))
	_, err = embedded.ReadAddresses(dir)
	require.ErrorIs(t, err, embedded.ErrNotRunning, "the file is of an earlier process")

	require.NoError(t, embedded.RemoveAddresses(dir))
	require.NoError(t, embedded.RemoveAddresses(dir))
	_, err = embedded.ReadAddresses(dir)
	require.ErrorIs(t, err, embedded.ErrNotRunning)
	files, err := filepath.Glob(filepath.Join(dir, "beckon.addresses*"))
	require.NoError(t, err)
	require.Empty(t, files)
}

func TestAddressesDoNotPrintSecrets(t *testing.T) {
	t.Parallel()
	a := embedded.Addresses{NATSToken: "sesame", DatabaseURL: "postgres://u:sesame@/x", PID: 7}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		require.NotContains(t, fmt.Sprintf(format, a), "sesame", format)
	}
}

// TestChild is what TestLockGoesWithAKilledProcess runs in a process of its own.
func TestChild(t *testing.T) {
	if flag.NArg() == 0 {
		t.Skip("only in a process of its own")
	}
	_, err := embedded.Lock(flag.Arg(0))
	require.NoError(t, err)
	_, err = os.Stdout.WriteString("locked\n")
	require.NoError(t, err)
	select {}
}

func TestLockGoesWithAKilledProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", dir)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	require.True(t, bufio.NewScanner(out).Scan())

	_, err = embedded.Lock(dir)
	var inUse *embedded.InUseError
	require.ErrorAs(t, err, &inUse)
	require.Equal(t, child.Process.Pid, inUse.PID)

	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait())
	lock, err := embedded.Lock(dir)
	require.NoError(t, err)
	require.NoError(t, lock.Release())
}
