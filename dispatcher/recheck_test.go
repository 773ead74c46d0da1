package dispatcher

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/store"
)

// script plays replies that come while others are being worked on.
type script struct {
	Belt
	Source
	Ledger

	last, floor uint64
	onConsent   func(*script)
	reads       int
	optedOut    bool
}

func (s *script) LastInbound(context.Context) (uint64, error) { return s.last, nil }

func (s *script) AckFloor(context.Context) (uint64, error) { return s.floor, nil }

func (s *script) Consent(_ context.Context, addresses []address.Address) (map[address.Address]consent.State, error) {
	s.reads++
	states := map[address.Address]consent.State{}
	for _, a := range addresses {
		if s.optedOut {
			states[a] = consent.State{{Channel: consent.AllChannels, Action: consent.OptOut, At: time.Now()}}
		}
	}
	if s.onConsent != nil {
		s.onConsent(s)
	}
	return states, nil
}

func scripted(s *script) *lane {
	d := bare(everySender())
	d.Ledger, d.barrier = s, barrier{belt: s, inbound: s, worked: newNotifier()}
	d.recorder = newRecorder(s, nil, d.Log)
	return d
}

// A STOP that is received while consent is being read is not known to what was read: it is read again.
func TestStopDuringTheSecondLook(t *testing.T) {
	t.Parallel()
	s := &script{last: 1, floor: 1, onConsent: func(s *script) {
		if s.reads == 1 {
			s.last, s.floor, s.optedOut = 2, 2, true
		}
	}}
	d := scripted(s)
	allowed := d.recheck(t.Context(), []store.Claimed{{Message: sms(person, "x"), AttemptID: "a", Channel: "sms"}})
	require.Empty(t, allowed)
	require.Equal(t, 2, s.reads)
	require.Len(t, d.recorder.in, 1)
}

// An operator's opt-out comes by no reply: consent is read although the belt is quiet.
func TestOperatorsOptOutAfterTheClaim(t *testing.T) {
	t.Parallel()
	s := &script{optedOut: true}
	d := scripted(s)
	require.Empty(t, d.recheck(t.Context(), []store.Claimed{{Message: sms(person, "x"), AttemptID: "a", Channel: "sms"}}))
}

// A barrier whose stream was created anew ends its wait, and looks anew at the next one.
func TestBarrierDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	s := &script{last: 7}
	b := barrier{belt: s, inbound: s, worked: newNotifier()}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := b.wait(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	s.last, s.floor = 1, 1
	stale, err := b.wait(t.Context())
	require.NoError(t, err)
	require.True(t, stale)
	stale, err = b.wait(t.Context())
	require.NoError(t, err)
	require.False(t, stale)
}
