package natsd

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// bridge passes the server's log lines on. Its notices (banner, addresses, sizes) are details to us.
type bridge struct {
	log         *slog.Logger
	writeFailed chan struct{} // gets a value when a stream could not be written, and takes no more

	mu    sync.Mutex
	fatal string
}

func newBridge(log *slog.Logger) *bridge {
	return &bridge{log: log, writeFailed: make(chan struct{}, 1)}
}

// Noticef logs at debug level.
func (b *bridge) Noticef(format string, v ...any) { b.log.Debug(fmt.Sprintf(format, v...)) }

// Warnf logs at warn level.
func (b *bridge) Warnf(format string, v ...any) { b.log.Warn(fmt.Sprintf(format, v...)) }

// Errorf logs at error level. A write that failed is known by its line alone: the server has no other way to tell.
//
// Source: nats-server 2.15, setWriteErr in server/filestore.go.
func (b *bridge) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	b.log.Error(text)
	if strings.Contains(text, "ritical write error") {
		select {
		case b.writeFailed <- struct{}{}:
		default:
		}
	}
}

// Fatalf logs at error level and keeps the text for the error of Start; it does not end the process.
func (b *bridge) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	b.mu.Lock()
	b.fatal = text
	b.mu.Unlock()
	b.log.Error(text)
}

// Debugf is not called: the server's debug log is off.
func (b *bridge) Debugf(string, ...any) {}

// Tracef is not called: the server's trace log, which shows message bodies, is off.
func (b *bridge) Tracef(string, ...any) {}

func (b *bridge) failed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fatal != ""
}

func (b *bridge) reason() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fatal == "" {
		return "no reason given"
	}
	return b.fatal
}
