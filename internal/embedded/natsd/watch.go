package natsd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	lookEvery  = time.Second
	firstTry   = 500 * time.Millisecond
	longestTry = 30 * time.Second
	roomNeeded = MaxPayload // on the disk, before the store is started again
)

// watch starts the store again when it has failed: after one write that failed, mostly for want of room, the server refuses
// every further one to that stream, or switches JetStream off, for as long as it runs. It returns when ctx ends.
func (s *Server) watch(ctx context.Context) {
	defer close(s.watched)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.log.writeFailed:
		case <-tick.C:
			if !s.nats.Running() || s.nats.JetStreamEnabled() {
				continue
			}
		}
		s.broken.Store(true)
		s.cfg.Log.ErrorContext(ctx, "the store has failed, nothing is acknowledged until it is started again, when there is room on the disk",
			"dir", s.cfg.Dir)
		if s.mend(ctx) {
			s.broken.Store(false)
			s.cfg.Log.InfoContext(ctx, "the store is started again", "dir", s.cfg.Dir)
		}
	}
}

// mend tries until the store runs again; it returns false when ctx ends before.
func (s *Server) mend(ctx context.Context) bool {
	for wait := firstTry; ; wait = min(2*wait, longestTry) {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
		err := room(s.cfg.Dir)
		if err == nil {
			err = s.restart()
		}
		if err == nil {
			return true
		}
		s.cfg.Log.WarnContext(ctx, "the store can't be started again yet", "error", err)
	}
}

// restart closes the server and starts one at the same address; connections find it by themselves.
func (s *Server) restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
	return s.launch()
}

// room makes sure that the disk takes a message of the largest size, by writing as much.
func room(dir string) (err error) {
	file, err := os.Create(filepath.Join(dir, "room"))
	if err != nil {
		return fmt.Errorf("look for room on the disk: %w", err)
	}
	_, err = file.Write(make([]byte, roomNeeded))
	if err = errors.Join(err, file.Sync(), file.Close(), os.Remove(file.Name())); err != nil {
		return fmt.Errorf("look for room on the disk: %w", err)
	}
	return nil
}
