package store_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

func people(n int) []address.Address {
	all := make([]address.Address, n)
	for i := range all {
		all[i] = address.Address("+1415555" + strconv.Itoa(1000+i))
	}
	return all
}

func (l *ledger) paced(pace time.Duration, ids ...string) *store.ClaimResult {
	result, err := l.Claim(context.Background(), store.ClaimRequest{
		IDs: ids, Sender: sender, Lease: lease, Judge: sendOn(message.SMS), Pace: pace,
	})
	if err != nil { // also from other goroutines
		l.t.Error(err)
		return &store.ClaimResult{}
	}
	return result
}

// Dispatchers that claim at the same time share one rate, and what it does not let through is as it was.
func TestRateIsSharedByAllClaims(t *testing.T) {
	t.Parallel()
	l := open(t)
	const pace = 20 * time.Minute // so that time passes by no segment during the test
	ids := l.queue(people(40)...)
	l.exec(`update belt set seq = 7, epoch = 'e'`)
	rows := func() []string {
		return strings.Split(get[string](l, `select string_agg(m::text || b::text, chr(9)) from message m join belt b on b.message_id = m.id`), "\t")
	}
	before := rows()
	var mu sync.Mutex
	var claimed, held []string
	var wait sync.WaitGroup
	for part := range 4 {
		wait.Go(func() {
			result := l.paced(pace, ids[part*10:part*10+10]...)
			mu.Lock()
			defer mu.Unlock()
			for _, c := range result.Claimed {
				claimed = append(claimed, c.Message.ID)
			}
			held = append(held, result.Held...)
			if result.HeldFor <= pace-time.Minute || result.HeldFor > pace {
				t.Errorf("held for %s", result.HeldFor)
			}
		})
	}
	wait.Wait()
	require.Len(t, claimed, 1)
	require.Len(t, held, 39)
	require.NotContains(t, held, claimed[0])
	require.Len(t, rows(), 39)
	require.Subset(t, before, rows(), "not a byte of them has changed")
	require.Empty(t, l.paced(pace, held...).Claimed)
	l.exec(`update sender_rate set arrival = now() - interval '1 second'`)
	require.Len(t, l.paced(pace, held...).Claimed, 1, "when its time has come")
}

// A message costs its segments; a channel without any costs one; what is not sent costs nothing.
func TestRateCountsSegments(t *testing.T) {
	t.Parallel()
	l := open(t)
	ids := l.queue(people(4)...)
	l.exec(`update message set content = jsonb_set(content, '{sms,segments}', '3') where id = $1::uuid`, ids[0])
	ahead := func() float64 {
		return get[float64](l, `select extract(epoch from arrival - now())::float8 / 3600 from sender_rate where sender = $1`, sender)
	}
	next := func() { l.exec(`update sender_rate set arrival = now()`) }
	require.Len(t, l.paced(time.Hour, ids[0]).Claimed, 1)
	require.InDelta(t, 3, ahead(), 0.1)
	next()
	result, err := l.Claim(t.Context(), store.ClaimRequest{
		IDs: ids[1:2], Sender: sender, Lease: lease, Pace: time.Hour,
		Judge: func(store.Candidate) store.Verdict { return store.Verdict{Suppress: message.ReasonOptedOut} },
	})
	require.NoError(t, err)
	require.Len(t, result.Suppressed, 1)
	require.InDelta(t, 0, ahead(), 0.1)
	require.Len(t, l.paced(time.Hour, ids[2]).Claimed, 1)
	require.InDelta(t, 1, ahead(), 0.1)
}

func TestNoRateTouchesNoRow(t *testing.T) {
	t.Parallel()
	l := open(t)
	require.Len(t, l.paced(0, l.queue(people(20)...)...).Claimed, 20)
	require.Zero(t, get[int](l, `select count(*) from sender_rate`))
}

// Rows of other senders are neither claimed nor swept.
func TestSendersAreApart(t *testing.T) {
	t.Parallel()
	l := open(t)
	ids := l.queue(people(2)...)
	l.exec(`update message set sender = 'other' where id = $1::uuid`, ids[0])
	l.exec(`update belt set sender = 'other' where message_id = $1::uuid`, ids[0])
	require.Len(t, l.paced(0, ids...).Claimed, 1)
	l.makeDue()
	require.Empty(t, l.sweep(0, "e"))
	request := sweepOf(0, "e", 10)
	request.Sender = "other"
	_, err := l.Sweep(t.Context(), request, func(_ context.Context, refs []store.BeltRef) ([]uint64, error) {
		require.Equal(t, []store.BeltRef{{Org: org, ID: ids[0], Sender: "other"}}, refs)
		return []uint64{1}, nil
	})
	require.NoError(t, err)
	unserved, err := l.Unserved(t.Context(), []string{sender})
	require.NoError(t, err)
	require.Equal(t, map[string]int{"other": 1}, unserved)
}

// A long line that moves slowly is not read and written again every half minute.
func TestRowsFarBackInASlowLineAreLeftAlone(t *testing.T) {
	t.Parallel()
	l := open(t)
	ids := l.queue(people(3)...)
	for i, seq := range []int{10, 200, 1_000_000} {
		l.exec(`update belt set seq = $2, epoch = 'e' where message_id = $1::uuid`, ids[i], seq)
	}
	l.makeDue()
	request := sweepOf(8, "e", 10)
	request.Pace = time.Second
	swept, err := l.Sweep(t.Context(), request, func(context.Context, []store.BeltRef) ([]uint64, error) { panic("all travel") })
	require.NoError(t, err)
	require.Equal(t, 3, swept.Looked)
	for i, want := range []float64{32, 222, 630} {
		got := get[float64](l, `select extract(epoch from due_at - now())::float8 from belt where message_id = $1::uuid`, ids[i])
		require.InDelta(t, want, got, 20)
	}
}
