package twilio

import (
	"fmt"
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of <linux/tcp.h>, see tcp(7): milliseconds that transmitted data may remain
// unacknowledged before the kernel closes the connection.
const tcpUserTimeout = 0x12

// userTimeout sets the option on a socket before it connects.
func userTimeout(timeout time.Duration) func(network, address string, raw syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(timeout.Milliseconds()))
		})
		if err != nil {
			return fmt.Errorf("reach the socket: %w", err)
		}
		if failed != nil {
			return fmt.Errorf("set TCP_USER_TIMEOUT: %w", failed)
		}
		return nil
	}
}
