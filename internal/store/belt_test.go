package store_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

// sweep returns the messages that a sweep published, on sequences from 100.
func (l *ledger) sweep(floor uint64, epoch string) []string {
	l.t.Helper()
	var ids []string
	swept, err := l.Sweep(context.Background(), sweepOf(floor, epoch, 1000), func(_ context.Context, refs []store.BeltRef) ([]uint64, error) {
		seqs := make([]uint64, len(refs))
		for i, ref := range refs {
			ids, seqs[i] = append(ids, ref.ID), uint64(100+i)
		}
		return seqs, nil
	})
	require.NoError(l.t, err)
	require.GreaterOrEqual(l.t, swept.Looked, len(ids), "rows that travel are counted too")
	return ids
}

func sweepOf(floor uint64, epoch string, limit int) store.SweepRequest {
	return store.SweepRequest{Sender: sender, Floor: floor, Epoch: epoch, Limit: limit}
}

func (l *ledger) makeDue() { l.exec(`update belt set due_at = now() - interval '1 second'`) }

func TestSweep(t *testing.T) {
	t.Parallel()
	l := open(t)
	ids := l.queue("+14155550101", "+14155550102", "+14155550103")
	refs := []store.BeltRef{{Org: org, ID: ids[0]}, {Org: org, ID: ids[1]}}
	require.NoError(t, l.Travelling(t.Context(), refs, []uint64{10, 20}, "old"))
	require.Empty(t, l.sweep(100, "old"), "nothing is due")
	l.makeDue()
	require.ElementsMatch(t, []string{ids[0], ids[2]}, l.sweep(10, "old"), "done with, and never put on the belt")
	l.makeDue()
	require.Empty(t, l.sweep(10, "old"), "all travel")
	require.Empty(t, l.sweep(1000, "old"), "looked at just now")
	l.makeDue()
	require.ElementsMatch(t, ids, l.sweep(0, "new"), "the stream was made anew")
	require.Equal(t, 3, get[int](l, `select count(*) from belt where epoch = 'new' and seq >= 100`))
}

func TestSweepPublishFails(t *testing.T) {
	t.Parallel()
	l := open(t)
	ids := l.queue("+14155550101")
	l.makeDue()
	away := errors.New("away")
	_, err := l.Sweep(t.Context(), sweepOf(0, "e", 10), func(context.Context, []store.BeltRef) ([]uint64, error) { return nil, away })
	require.ErrorIs(t, err, away)
	require.Equal(t, ids, l.sweep(0, "e"), "due again at once")
}

// TestClaimWhileSwept claims what a sweep has just published, before the sweep knows its sequence.
func TestClaimWhileSwept(t *testing.T) {
	t.Parallel()
	l := open(t)
	ids := l.queue("+14155550101", "+14155550102")
	l.makeDue()
	_, err := l.Sweep(t.Context(), sweepOf(0, "e", 10), func(_ context.Context, refs []store.BeltRef) ([]uint64, error) {
		require.Len(t, refs, 2)
		result := l.claimWith(func(c store.Candidate) store.Verdict {
			if c.Message.ID == ids[0] {
				return store.Verdict{Send: message.SMS, Index: 1}
			}
			return store.Verdict{Wait: lease / 60}
		}, ids...)
		require.Len(t, result.Claimed, 1, "a claim does not pass over what is being published")
		require.Equal(t, 1, result.Waiting)
		return []uint64{1, 2}, nil
	})
	require.NoError(t, err)
	require.Less(t, get[float64](l, `select extract(epoch from due_at - now())::float8 from belt`), 2.0,
		"the late note of a sequence does not make a waiting message wait longer")
}

func TestTravellingLeavesLaterRows(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.sending(person, message.SMS)
	refused := outcome(c, message.Refused, "")
	refused.MessageState, refused.Reason, refused.RetryAfter, refused.NextChannel = message.Queued, message.ReasonRetry, lease, 1
	l.record(refused)
	require.NoError(t, l.Travelling(t.Context(), []store.BeltRef{{Org: org, ID: c.Message.ID}}, []uint64{5}, "e"))
	require.Greater(t, get[float64](l, `select extract(epoch from due_at - now())::float8 from belt`), 50.0)
}

func TestTwoSweepers(t *testing.T) {
	t.Parallel()
	l := open(t)
	var to []address.Address
	for i := range 30 {
		to = append(to, address.Address("+1415555"+string(rune('0'+i/10))+string(rune('0'+i%10))+"00"))
	}
	ids := l.queue(to...)
	l.makeDue()
	var mu sync.Mutex
	var swept []string
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 10 {
				_, err := l.Sweep(t.Context(), sweepOf(0, "e", 4), func(_ context.Context, refs []store.BeltRef) ([]uint64, error) {
					mu.Lock()
					defer mu.Unlock()
					for _, ref := range refs {
						swept = append(swept, ref.ID)
					}
					return make([]uint64, len(refs)), nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	slices.Sort(ids)
	slices.Sort(swept)
	require.Equal(t, ids, swept, "each once")
}
