package twiliosim

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// job is the next step in the life of a message.
type job struct {
	at    time.Time
	order uint64 // first in, first out among equals
	plan  *plan
}

// queue hands out jobs when they are due. Any number of workers may take from it.
type queue struct {
	mu    sync.Mutex
	jobs  jobHeap
	order uint64
	wake  chan struct{} // holds one token while somebody should look again
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

func (q *queue) add(at time.Time, p *plan) {
	q.mu.Lock()
	q.order++
	heap.Push(&q.jobs, job{at: at, order: q.order, plan: p})
	q.mu.Unlock()
	q.nudge()
}

func (q *queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take waits for a due job; false when ctx is done.
func (q *queue) take(ctx context.Context) (*plan, bool) {
	for {
		q.mu.Lock()
		var timer *time.Timer
		var due <-chan time.Time
		if len(q.jobs) > 0 {
			wait := time.Until(q.jobs[0].at)
			if wait <= 0 {
				next, _ := heap.Pop(&q.jobs).(job)
				more := len(q.jobs) > 0
				q.mu.Unlock()
				if more {
					q.nudge() // another worker takes the next
				}
				return next.plan, ctx.Err() == nil
			}
			timer = time.NewTimer(wait)
			due = timer.C
		}
		q.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-q.wake:
		case <-due:
		}
		if timer != nil {
			timer.Stop()
		}
		if ctx.Err() != nil {
			return nil, false
		}
	}
}

type jobHeap []job

func (h jobHeap) Len() int { return len(h) }
func (h jobHeap) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].order < h[j].order
}
func (h jobHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is part of heap.Interface.
func (h *jobHeap) Push(x any) {
	if one, ok := x.(job); ok {
		*h = append(*h, one)
	}
}

// Pop is part of heap.Interface.
func (h *jobHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = job{}
	*h = old[:len(old)-1]
	return last
}
