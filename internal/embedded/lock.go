package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	lockFile = "beckon.lock"
	// A reader of the address file holds the lock for an instant to see whether it is free; Lock outwaits it.
	lockPatience = 300 * time.Millisecond
	lockTick     = 10 * time.Millisecond
)

// DirLock is the lock of a data directory, held by this process.
type DirLock struct {
	file *os.File
}

// Lock takes the lock of the data directory dir, and makes the directory (mode 0755, so that the account of Postgres can
// reach below it) when it is not there. The error is an *InUseError, which wraps ErrInUse, when another program, or
// another part of this one, holds it.
func Lock(dir string) (*DirLock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // what is secret in it has modes of its own
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock of data directory: %w", err)
	}
	if err := flockPatiently(file); err != nil {
		pid := readPID(file)
		closed := file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &InUseError{Dir: dir, PID: pid}
		}
		return nil, errors.Join(fmt.Errorf("lock data directory: %w", err), closed)
	}
	if err := writePID(file, os.Getpid()); err != nil {
		return nil, errors.Join(fmt.Errorf("write lock of data directory: %w", err), file.Close())
	}
	return &DirLock{file: file}, nil
}

// Release gives the lock back. The file stays: removing it would let two programs lock two files of one name.
func (l *DirLock) Release() error {
	err := errors.Join(l.file.Truncate(0), l.file.Close())
	if err != nil {
		return fmt.Errorf("release data directory: %w", err)
	}
	return nil
}

func flockPatiently(file *os.File) error {
	tick := time.NewTicker(lockTick)
	defer tick.Stop()
	deadline := time.Now().Add(lockPatience)
	for {
		err := flock(file, syscall.LOCK_EX)
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(deadline) {
			return err
		}
		<-tick.C
	}
}

func flock(file *os.File, how int) error {
	for {
		err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// holder returns the process id in the lock file of dir, and false when nobody holds the lock.
func holder(dir string) (int, bool, error) {
	file, err := os.Open(filepath.Join(dir, lockFile))
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("open lock of data directory: %w", err)
	}
	defer file.Close() // only read
	err = flock(file, syscall.LOCK_SH)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return readPID(file), true, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("look at lock of data directory: %w", err)
	}
	return 0, false, nil
}

func readPID(file *os.File) int {
	buf := make([]byte, 32)
	n, _ := file.ReadAt(buf, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		return 0
	}
	return pid
}

func writePID(file *os.File, pid int) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt([]byte(strconv.Itoa(pid)+"\n"), 0)
	return err
}
