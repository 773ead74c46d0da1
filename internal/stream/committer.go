package stream

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	maxBatchMessages = 500     // of the 1,000 that the server takes
	maxBatchBytes    = 1 << 20 // about 16 envelopes of 100 notifications
	singlesInFlight  = 64      // when a refused batch is published message by message
	// smallGroup is the size up to which a group goes message by message: a batch has a store of its own at the server until
	// it is committed, which costs as much as syncing ten single messages.
	smallGroup = 8
)

// entry is one message that waits for its group, and where its outcome goes.
type entry struct {
	msg     *nats.Msg
	gone    <-chan struct{} // closed when the caller gave up
	slot    int             // which of the caller's messages this is
	outcome chan<- outcome  // with room for all messages of the caller: never blocks
}

type outcome struct {
	slot int
	seq  uint64
	err  error
}

// committer publishes what several callers want to publish to one stream, in groups: while one group is being
// confirmed the next one gathers. It has one goroutine, from startCommitter to close.
type committer struct {
	port    port
	timeout time.Duration
	wake    chan struct{}
	stopped chan struct{}

	mu     sync.Mutex
	queue  []entry
	closed bool
}

func startCommitter(p port, timeout time.Duration) *committer {
	g := &committer{port: p, timeout: timeout, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	go g.run()
	return g
}

func (g *committer) close() {
	g.mu.Lock()
	left := g.queue
	g.queue, g.closed = nil, true
	g.mu.Unlock()
	for _, e := range left {
		e.outcome <- outcome{slot: e.slot, err: ErrClosed}
	}
	g.signal()
	<-g.stopped
}

func (g *committer) signal() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// publish waits until every message is confirmed or refused, or ctx ends. It returns the stream sequence of each
// message, 0 where there is none, and the first error. The messages belong to the committer from here on, also after a
// caller gave up.
func (g *committer) publish(ctx context.Context, msgs []*nats.Msg) ([]uint64, error) {
	outcomes := make(chan outcome, len(msgs))
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return make([]uint64, len(msgs)), ErrClosed
	}
	for i, msg := range msgs {
		g.queue = append(g.queue, entry{msg: msg, gone: ctx.Done(), slot: i, outcome: outcomes})
	}
	g.mu.Unlock()
	g.signal()
	return collect(ctx, outcomes, len(msgs))
}

func collect(ctx context.Context, outcomes <-chan outcome, n int) ([]uint64, error) {
	seqs := make([]uint64, n)
	var first error
	for range n {
		select {
		case o := <-outcomes:
			seqs[o.slot] = o.seq
			if first == nil {
				first = o.err
			}
		case <-ctx.Done():
			if first == nil {
				first = abandoned(ctx)
			}
			return seqs, first
		}
	}
	return seqs, first
}

func (g *committer) run() {
	defer close(g.stopped)
	for range g.wake {
		for {
			group, closed := g.take()
			if closed {
				return
			}
			if len(group) == 0 {
				break
			}
			g.commit(group)
		}
	}
}

// take removes the next group from the queue, without those whose callers gave up.
func (g *committer) take() (group []entry, closed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	size, taken := 0, 0
	for _, e := range g.queue {
		if len(group) == maxBatchMessages || len(group) > 0 && size+len(e.msg.Data) > maxBatchBytes {
			break
		}
		taken++
		select {
		case <-e.gone:
			continue // nobody listens
		default:
		}
		size += len(e.msg.Data)
		group = append(group, e)
	}
	clear(g.queue[:taken]) // let go of the messages
	if g.queue = g.queue[taken:]; len(g.queue) == 0 {
		g.queue = nil
	}
	return group, g.closed
}

func (g *committer) commit(group []entry) {
	ctx, cancel := context.WithTimeout(context.Background(), g.timeout)
	defer cancel()
	if len(group) == 1 {
		seq, err := g.port.single(ctx, group[0].msg)
		group[0].done(seq, err)
		return
	}
	if len(group) <= smallGroup {
		g.oneByOne(group)
		return
	}
	msgs := make([]*nats.Msg, len(group))
	for i, e := range group {
		msgs[i] = e.msg
	}
	last, err := g.port.batch(ctx, msgs)
	switch {
	case err == nil:
		first := last - uint64(len(group)) + 1
		for i, e := range group {
			e.done(first+uint64(i), nil)
		}
	case refused(err):
		g.oneByOne(group)
	default:
		for _, e := range group {
			e.done(0, err)
		}
	}
}

// oneByOne gives every message of a small group or a refused batch an outcome of its own. The batch was refused as a
// whole, so nothing is published twice.
func (g *committer) oneByOne(group []entry) {
	ctx, cancel := context.WithTimeout(context.Background(), g.timeout)
	defer cancel()
	var wait sync.WaitGroup
	slots := make(chan struct{}, singlesInFlight)
	for _, e := range group {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			seq, err := g.port.single(ctx, e.msg)
			e.done(seq, err)
		})
	}
	wait.Wait()
}

func (e entry) done(seq uint64, err error) {
	if err != nil {
		err = fmt.Errorf("publish to %s: %w", e.msg.Subject, err)
	}
	e.outcome <- outcome{slot: e.slot, seq: seq, err: err}
}
