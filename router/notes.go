package router

import (
	"context"
	"time"

	"github.com/beckonhq/beckon/internal/store"
)

const (
	// noteAfter is how long a message may travel before its sequence is noted. Most are claimed sooner, and need no note.
	noteAfter     = 2 * time.Second
	notesWaiting  = 1024
	notesTogether = 1000 // messages in one transaction
)

// note says on which sequences messages travel.
type note struct {
	refs  []store.BeltRef
	seqs  []uint64
	epoch string
	since time.Time
}

// noteAll notes the sequences of the messages that have not been claimed after a while, so that the sweeper leaves them
// alone. A note that is lost costs a second, harmless, place on the belt.
func (r *Router) noteAll(ctx context.Context, notes <-chan note) error {
	var next *note
	for {
		n := next
		if n == nil {
			select {
			case one := <-notes:
				n = &one
			case <-ctx.Done():
				return nil
			}
		}
		if !pause(ctx, time.Until(n.since.Add(noteAfter))) {
			return nil
		}
		next = n.gather(notes)
		err := r.persist(ctx, func(ctx context.Context) error { return r.Ledger.Travelling(ctx, n.refs, n.seqs, n.epoch) })
		if err != nil && ctx.Err() == nil {
			r.Log.WarnContext(ctx, "the places of messages on the belt could not be noted", "messages", len(n.refs), "error", err)
		}
	}
}

// gather adds the notes that wait and are old enough. It returns the first one that is not, or of another epoch; nil when
// none is left.
func (n *note) gather(notes <-chan note) *note {
	for len(n.refs) < notesTogether {
		select {
		case more := <-notes:
			if more.epoch != n.epoch || time.Since(more.since) < noteAfter {
				return &more
			}
			n.refs, n.seqs = append(n.refs, more.refs...), append(n.seqs, more.seqs...)
		default:
			return nil
		}
	}
	return nil
}

// pause waits unless ctx ends first.
func pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(max(wait, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
