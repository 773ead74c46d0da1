package salesforce

import "strings"

// Sizes of the arena, in bytes. A value of a quarter block or more gets an allocation of its own, so that little of a
// block is wasted at its end.
const (
	smallestBlock = 64
	largestBlock  = 32 << 10
)

// arena makes strings out of shared blocks.
type arena struct {
	block     strings.Builder
	blockSize int
}

// newArena expects the values of a document to be a third of it; the rest is markup.
func newArena(documentSize int) arena {
	return arena{blockSize: min(max(documentSize/3, smallestBlock), largestBlock)}
}

func (a *arena) put(value []byte) string {
	if len(value) == 0 {
		return ""
	}
	if a.block.Cap()-a.block.Len() < len(value) {
		if len(value) >= a.blockSize/4 {
			return string(value)
		}
		a.block.Reset() // lets go of the block; its strings keep it
		a.block.Grow(a.blockSize)
	}
	start := a.block.Len()
	a.block.Write(value)
	return a.block.String()[start:]
}
