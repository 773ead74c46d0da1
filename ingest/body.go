package ingest

import (
	"errors"
	"io"
	"net/http"
	"sync"

	"golang.org/x/sync/semaphore"
)

const (
	firstChunk   = 64 << 10 // reserved and read first
	largestReuse = 1 << 20  // bigger buffers are not kept
)

// bodies reads request bodies into buffers that are used again, within one budget of bytes.
type bodies struct {
	budget *semaphore.Weighted
	pool   sync.Pool
}

func newBodies(maxBytes int64) *bodies {
	return &bodies{
		budget: semaphore.NewWeighted(maxBytes),
		pool:   sync.Pool{New: func() any { return new([]byte) }},
	}
}

// read returns the body of at most limit bytes and a function that gives its memory back. Bytes are reserved as they
// arrive, at most twice what has arrived: what a sender only announces costs nobody else anything. The error is errTooLarge,
// errBusy or errUnreadable.
func (b *bodies) read(r *http.Request, limit int64) ([]byte, func(), error) {
	if r.ContentLength > limit {
		return nil, nil, errTooLarge
	}
	most := limit + 1 // one more byte tells that there is too much
	if r.ContentLength >= 0 {
		most = r.ContentLength
	}
	reserved := min(firstChunk, most)
	if !b.budget.TryAcquire(reserved) {
		return nil, nil, errBusy
	}
	buffer, _ := b.pool.Get().(*[]byte) // the pool holds nothing else
	release := func() {
		b.budget.Release(reserved)
		if cap(*buffer) <= largestReuse {
			b.pool.Put(buffer)
		}
	}
	body, err := fill((*buffer)[:0], r.Body, reserved)
	for err == nil && int64(len(body)) == reserved && reserved < most {
		more := min(reserved, most-reserved)
		if !b.budget.TryAcquire(more) {
			err = errBusy
			break
		}
		reserved += more
		body, err = fill(body, r.Body, reserved)
	}
	*buffer = body
	switch {
	case err != nil:
		release()
		return nil, nil, err
	case int64(len(body)) > limit:
		release()
		return nil, nil, errTooLarge
	}
	return body, release, nil
}

// fill reads until dst has size bytes or the reader ends.
func fill(dst []byte, from io.Reader, size int64) ([]byte, error) {
	for int64(len(dst)) < size {
		if len(dst) == cap(dst) {
			grown := make([]byte, len(dst), min(size, max(2*int64(cap(dst)), firstChunk)))
			copy(grown, dst)
			dst = grown
		}
		n, err := from.Read(dst[len(dst):min(int64(cap(dst)), size)])
		dst = dst[:len(dst)+n]
		if errors.Is(err, io.EOF) {
			return dst, nil
		}
		if err != nil {
			return dst, errors.Join(errUnreadable, err)
		}
	}
	return dst, nil
}
