//go:build !linux

package twilio

import (
	"syscall"
	"time"
)

// userTimeout does nothing where the option does not exist; the context's deadline still bounds the call.
func userTimeout(time.Duration) func(network, address string, raw syscall.RawConn) error { return nil }
