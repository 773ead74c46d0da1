package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

// expire lets every lease run out.
func (l *ledger) expire() {
	l.t.Helper()
	l.exec(`update live_attempt set lease_until = now() - interval '1 second'`)
	_, err := l.ExpireLeases(l.t.Context(), time.Minute)
	require.NoError(l.t, err)
}

// absent makes a message whose first attempt is proven absent.
func (l *ledger) absent(to addr) store.Claimed {
	l.t.Helper()
	c := l.sending(to, message.SMS)
	l.expire()
	o := outcome(c, message.Absent, "")
	o.MessageState, o.Reason, o.NextChannel = message.Queued, message.ReasonProvenAbsent, 1
	l.record(o)
	l.requireStates(c, message.Queued, message.Absent)
	return c
}

func TestExpireLeases(t *testing.T) {
	t.Parallel()
	l := open(t)
	c, other := l.sending(person, message.SMS), l.sending("+14155550101", message.SMS)
	n, err := l.ExpireLeases(t.Context(), time.Minute)
	require.NoError(t, err)
	require.Zero(t, n)
	l.exec(`update live_attempt set lease_until = now() - interval '1 second' where attempt_id = $1`, c.AttemptID)
	for _, want := range []int{1, 0} {
		n, err = l.ExpireLeases(t.Context(), time.Minute)
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
	l.requireStates(c, message.Unknown, message.Unknown)
	require.Equal(t, message.ReasonUnclear, l.message(c.Message.ID).Reason)
	l.requireStates(other, message.Sending, message.Sending)
	n, err = l.CountUnknown(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

func (l *ledger) due() []store.Lookup {
	l.t.Helper()
	lookups, err := l.DueLookups(l.t.Context(), 10, time.Minute)
	require.NoError(l.t, err)
	return lookups
}

func TestLookups(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.sending(person, message.SMS)
	unknown := outcome(c, message.Unknown, "")
	unknown.LookupAfter = time.Minute
	l.record(unknown)
	require.Empty(t, l.due(), "a lease and a wait lie before the first look-up")
	later := func() { l.exec(`update live_attempt set lookup_at = lookup_at - interval '1 hour'`) }
	later()
	found := l.due()
	require.Len(t, found, 1)
	require.Equal(t, c.AttemptID, found[0].AttemptID)
	require.Equal(t, c.Message.ID, found[0].MessageID)
	require.Equal(t, person, found[0].Address)
	require.Equal(t, "Hi", found[0].Content.SMS.Text)
	require.Equal(t, message.SMS, found[0].Channel)
	require.Zero(t, found[0].Absences)
	require.Empty(t, l.due(), "another dispatcher is kept off")

	require.NoError(t, l.NoteAbsence(t.Context(), c.AttemptID, time.Minute))
	require.Empty(t, l.due())
	later()
	require.Equal(t, 1, l.due()[0].Absences)
	require.NoError(t, l.NoteInDoubt(t.Context(), c.AttemptID, "may be", time.Minute))
	later()
	require.Zero(t, l.due()[0].Absences, "it begins anew")
	require.Equal(t, "may be", get[string](l, `select detail from attempt`))

	l.record(outcome(c, message.Delivered, "SM1"))
	later()
	require.Empty(t, l.due())
	require.NoError(t, l.NoteAbsence(t.Context(), c.AttemptID, time.Minute))
	require.NoError(t, l.NoteInDoubt(t.Context(), c.AttemptID, "too late", time.Minute))
	require.NotEqual(t, "too late", get[string](l, `select detail from attempt`))
}

func TestKnownSIDs(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.accepted(person, message.SMS, "SM1")
	known, err := l.KnownSIDs(t.Context(), []string{"SM1", "SM2"})
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"SM1": true}, known)
}
