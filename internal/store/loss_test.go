package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/store"
)

// A store of NATS that was put back has lower sequences: what travelled above them lies, and is due at once. Many processes
// see it, one notes it.
func TestALossIsNotedOnceAndWhatTravelledIsDue(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	ctx := t.Context()
	created := time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)
	require.NoError(t, l.NoteStream(ctx, "MESSAGES", store.StreamMark{Created: created, LastSeq: 90}))
	marks, err := l.StreamMarks(ctx)
	require.NoError(t, err)
	was := marks["MESSAGES"]
	require.EqualValues(t, 90, was.LastSeq)
	below, above := l.queue(t), l.queue(t)
	require.NoError(t, l.Travelling(ctx, []store.BeltRef{{Org: testOrg, ID: below}, {Org: testOrg, ID: above}}, []uint64{40, 80}, "e"))

	for i := range 3 {
		first, err := l.NoteLoss(ctx, "MESSAGES", store.LossOlder, was, store.StreamMark{Created: created, LastSeq: 50})
		require.NoError(t, err)
		require.Equal(t, i == 0, first)
	}
	losses, err := l.OpenLosses(ctx)
	require.NoError(t, err)
	require.Len(t, losses, 1)
	require.Equal(t, 1, l.count(t, `select count(*) from belt where message_id = $1::uuid and seq = 0 and due_at <= now()`, above))
	require.Equal(t, 1, l.count(t, `select count(*) from belt where message_id = $1::uuid and seq = 40 and due_at > now()`, below))

	require.NoError(t, l.SettleLosses(ctx, losses, "somebody", "looked"))
	require.NoError(t, l.SettleLosses(ctx, losses, "somebody", "looked"))
	losses, err = l.OpenLosses(ctx)
	require.NoError(t, err)
	require.Empty(t, losses)
	require.Equal(t, 1, l.count(t, `select count(*) from audit where operator = 'somebody' and action = 'recover' and subject = 'stream MESSAGES'`))
}
