package salesforcesim

import (
	"container/heap"
	"time"

	"github.com/beckonhq/beckon/internal/notification"
)

// item is one queued notification.
type item struct {
	id       notification.ID
	record   notification.ID
	dropAt   time.Time
	state    State
	failures int // since it was queued or acknowledged last
	repeated bool
	attempts []Attempt
}

// parcel is what is retried together: one notification, or (then it is sealed) the rest of a failed envelope.
type parcel struct {
	items  []*item
	due    time.Time
	seq    uint64
	sealed bool // shares its envelope with nothing else
	retry  bool
}

// lane is the queue of one outbound message; an envelope is made from one lane.
type lane struct {
	def    Definition
	action notification.ID
	seq    uint64
	future parcelHeap
	ready  []*parcel // due, in the order in which they fell due
}

func (l *lane) push(p *parcel) {
	l.seq++
	p.seq = l.seq
	heap.Push(&l.future, p)
}

// ripen moves what is due from the heap to the ready list.
func (l *lane) ripen(now time.Time) {
	for len(l.future) > 0 && !l.future[0].due.After(now) {
		l.ready = append(l.ready, heap.Pop(&l.future).(*parcel))
	}
}

// pop takes the ready parcel at an index. The front one goes cheaply and in order, another swaps with the last.
func (l *lane) pop(at int) *parcel {
	p := l.ready[at]
	if at == 0 {
		l.ready[0] = nil
		l.ready = l.ready[1:]
		return p
	}
	last := len(l.ready) - 1
	l.ready[at], l.ready[last] = l.ready[last], nil
	l.ready = l.ready[:last]
	return p
}

// batch is the content of one request.
type batch struct {
	lane  *lane
	items []*item
}

// take returns the next batch that is due; or nil and how long to wait for one, zero meaning until something is queued.
// The caller holds the lock.
func (o *Org) take(now time.Time) (*batch, time.Duration) {
	for i := range o.lanes {
		l := o.lanes[(o.turn+i)%len(o.lanes)]
		l.ripen(now)
		for len(l.ready) > 0 {
			if items := o.fill(l, now); len(items) > 0 {
				o.turn = (o.turn + i + 1) % len(o.lanes)
				return &batch{lane: l, items: items}, 0
			}
		}
	}
	var next time.Time
	for _, l := range o.lanes {
		if len(l.future) > 0 && (next.IsZero() || l.future[0].due.Before(next)) {
			next = l.future[0].due
		}
	}
	if next.IsZero() {
		return nil, 0
	}
	return nil, next.Sub(now)
}

// fill takes ready parcels of one lane until the envelope is full; expired items are dropped on the way.
func (o *Org) fill(l *lane, now time.Time) []*item {
	first := l.pop(o.choose(l))
	items := o.alive(first.items, now)
	if first.sealed {
		return items
	}
	size := o.cfg.BatchSize
	if first.retry && o.cfg.Regroup {
		size = 1 + o.rng.IntN(size)
	}
	for len(items) < size && len(l.ready) > 0 {
		at := o.choose(l)
		if l.ready[at].sealed {
			break
		}
		items = append(items, o.alive(l.pop(at).items, now)...)
	}
	return items
}

func (o *Org) choose(l *lane) int {
	if o.cfg.Shuffle {
		return o.rng.IntN(len(l.ready))
	}
	return 0
}

// alive drops the items that are too old and returns the others.
func (o *Org) alive(items []*item, now time.Time) []*item {
	kept := make([]*item, 0, len(items))
	for _, it := range items {
		if now.Before(it.dropAt) {
			kept = append(kept, it)
			continue
		}
		if it.state == Pending {
			it.state = Dropped
			o.stats.Dropped++
		}
		o.settle(1)
	}
	return kept
}

// parcelHeap orders parcels by when they are due, then by when they were queued.
type parcelHeap []*parcel

// Len is part of heap.Interface.
func (h parcelHeap) Len() int { return len(h) }

// Less is part of heap.Interface.
func (h parcelHeap) Less(i, j int) bool {
	if !h[i].due.Equal(h[j].due) {
		return h[i].due.Before(h[j].due)
	}
	return h[i].seq < h[j].seq
}

// Swap is part of heap.Interface.
func (h parcelHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is part of heap.Interface.
func (h *parcelHeap) Push(x any) { *h = append(*h, x.(*parcel)) }

// Pop is part of heap.Interface.
func (h *parcelHeap) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return p
}
