package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

// A store of NATS that was put back has lower sequences: what travelled above them lies, and is due at once. Many processes
// see it, one notes it.
func TestALossIsNotedOnceAndWhatTravelledIsDue(t *testing.T) {
	t.Parallel()
	l := open(t)
	ctx := t.Context()
	created := time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)
	require.NoError(t, l.NoteStream(ctx, "MESSAGES", store.StreamMark{Created: created, LastSeq: 90}))
	marks, err := l.StreamMarks(ctx)
	require.NoError(t, err)
	was := marks["MESSAGES"]
	require.EqualValues(t, 90, was.LastSeq)
	ids := l.queue(person, "+14155550101")
	below, above := ids[0], ids[1]
	require.NoError(t, l.Travelling(ctx, []store.BeltRef{{Org: org, ID: below}, {Org: org, ID: above}}, []uint64{40, 80}, "e"))

	for i := range 3 {
		first, err := l.NoteLoss(ctx, "MESSAGES", store.LossOlder, was, store.StreamMark{Created: created, LastSeq: 50})
		require.NoError(t, err)
		require.Equal(t, i == 0, first)
	}
	losses, err := l.OpenLosses(ctx)
	require.NoError(t, err)
	require.Len(t, losses, 1)
	require.Equal(t, 1, get[int](l, `select count(*) from belt where message_id = $1::uuid and seq = 0 and due_at <= now()`, above))
	require.Equal(t, 1, get[int](l, `select count(*) from belt where message_id = $1::uuid and seq = 40 and due_at > now()`, below))

	require.NoError(t, l.SettleLosses(ctx, losses, "somebody", "looked"))
	require.NoError(t, l.SettleLosses(ctx, losses, "somebody", "looked"))
	losses, err = l.OpenLosses(ctx)
	require.NoError(t, err)
	require.Empty(t, losses)
	require.Equal(t, 1, get[int](l, `select count(*) from audit where operator = 'somebody' and action = 'recover' and subject = 'stream MESSAGES'`))
}

// A message that may have been sent in a gap is looked up on each of its channels, once, and only then sent. The lease is the
// gap's, so that the look-up has the gap's time.
func TestASuspectIsLookedUpOnEachChannelOnce(t *testing.T) {
	t.Parallel()
	l := open(t)
	ctx := t.Context()
	id := l.queue(person)[0]
	now := time.Now()
	gap, err := l.OpenGap(ctx, store.Gap{Began: now.Add(-time.Hour), Ended: now, Operator: "somebody", Replay: map[string]uint64{"router": 7}})
	require.NoError(t, err)
	again, err := l.OpenGap(ctx, store.Gap{Began: gap.Began, Ended: gap.Ended, Operator: "somebody"})
	require.NoError(t, err)
	require.Equal(t, gap.ID, again.ID, "a recovery that died on the way is made again")
	channels := 0
	for range 3 {
		result := l.claimWith(sendOn(message.SMS), id)
		if result.Suspect == 0 {
			require.Len(t, result.Claimed, 1)
			break
		}
		channels++
		require.Empty(t, result.Claimed)
		lookups, err := l.DueLookups(ctx, 10, time.Minute)
		require.NoError(t, err)
		require.Len(t, lookups, 1)
		require.Equal(t, gap.ID, lookups[0].Gap)
		require.WithinDuration(t, now, lookups[0].StartedAt, 2*time.Minute, "not before its notification came")
		require.WithinDuration(t, gap.Ended, lookups[0].LeaseUntil, time.Millisecond)
		l.record(store.Outcome{
			MessageID: id, AttemptID: lookups[0].AttemptID, State: message.Absent, MessageState: message.Queued, Reason: message.ReasonProvenAbsent,
		})
	}
	require.Equal(t, 2, channels)
	require.Equal(t, message.Sending, message.State(get[string](l, `select state from message where id = $1::uuid`, id)))
	require.Equal(t, 2, get[int](l, `select count(*) from audit where action = 'recover' and subject = 'ledger'`))
}
