package embedded

import (
	"errors"
	"fmt"
)

// ErrInUse is wrapped by the error of Lock when another program holds the data directory.
var ErrInUse = errors.New("data directory in use")

// ErrNotRunning is wrapped by the error of ReadAddresses when no program serves the data directory, or when it is not
// ready yet.
var ErrNotRunning = errors.New("no running beckon on this data directory")

// InUseError says who holds the lock of a data directory. It wraps ErrInUse.
type InUseError struct {
	// Dir is the data directory.
	Dir string
	// PID is the process id of the holder, 0 when it is not known.
	PID int
}

// Error names the directory and the holder.
func (e *InUseError) Error() string {
	holder := "another process"
	if e.PID != 0 {
		holder = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("%v: %s is held by %s: stop it, or give this one its own BECKON_DATA_DIR", ErrInUse, e.Dir, holder)
}

// Unwrap is ErrInUse.
func (e *InUseError) Unwrap() error { return ErrInUse }
