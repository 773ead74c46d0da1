package lifemark

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/beckonhq/beckon/internal/pgtest"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/stream/streamtest"
)

func TestMain(m *testing.M) {
	// nats-server leaves these behind when it stops while a batch is open.
	const server = "github.com/nats-io/nats-server/v2/server"
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(server+".(*msgBlock).flushLoop"),
		goleak.IgnoreAnyFunction(server+".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(server+"/ats.Register.func1"))
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func open(t *testing.T, dsn string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	_, err = s.Migrate(t.Context(), quiet())
	require.NoError(t, err)
	return s
}

func belt(t *testing.T, nc *nats.Conn) *stream.Client {
	t.Helper()
	c, err := stream.Open(t.Context(), nc, stream.Options{})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func keeper(t *testing.T, ledger Ledger, belt Belt) *Keeper {
	t.Helper()
	k, err := New(Config{
		Ledger: ledger, Belt: belt, Sends: true, SendTimeout: time.Second, Every: time.Second, Log: quiet(), Metrics: prometheus.NewRegistry(),
	})
	require.NoError(t, err)
	return k
}

// deaf is a belt that stores no marks while it is told so.
type deaf struct {
	Belt

	now atomic.Bool
}

func (d *deaf) StoreLedgerMark(ctx context.Context, after, mark stream.LedgerMark) error {
	if d.now.Load() {
		return errors.New("not now")
	}
	return d.Belt.StoreLedgerMark(ctx, after, mark)
}

// The belt knows of a position, and of a time after which nothing is sent, before anything is sent.
func TestALicenceNeedsTheBeltsConfirmation(t *testing.T) {
	t.Parallel()
	ledger, d := open(t, pgtest.DSN(t)), &deaf{Belt: belt(t, streamtest.Start(t))}
	k := keeper(t, ledger, d)
	_, err := k.Licence()
	require.ErrorIs(t, err, errNotLooked)
	d.now.Store(true)
	require.Error(t, k.look(t.Context()))
	_, err = k.Licence()
	require.ErrorIs(t, err, ErrNotLicensed)
	d.now.Store(false)
	require.NoError(t, k.look(t.Context()))
	_, err = k.Licence()
	require.NoError(t, err)
	mark, found, err := d.LedgerMark(t.Context())
	require.NoError(t, err)
	require.True(t, found)
	ours, err := ledger.Mark(t.Context())
	require.NoError(t, err)
	require.Equal(t, ours.Position, mark.Position)
	require.True(t, mark.Until.After(k.state.licensed.Add(k.SendTimeout)), "the belt's bound is later than any call")
	k.update(func(s *state) { s.licensed = time.Now() })
	_, err = k.Licence()
	require.ErrorIs(t, err, ErrNotLicensed, "it runs out")
}

// A standby takes over, or a copy is put in place, within seconds: the gap is so short that no operator is needed.
func TestAShortGapIsRecoveredFromAtOnce(t *testing.T) {
	t.Parallel()
	dsn, b := pgtest.DSN(t), belt(t, streamtest.Start(t))
	before := open(t, dsn)
	require.NoError(t, keeper(t, before, b).look(t.Context())) // and dies, with an open licence
	before.Close()
	after := open(t, pgtest.Copy(t, dsn))
	k := keeper(t, after, b)
	require.NoError(t, k.look(t.Context()))
	gaps, err := after.Gaps(t.Context())
	require.NoError(t, err)
	require.Len(t, gaps, 1)
	require.Equal(t, "beckon", gaps[0].Operator)
	require.NoError(t, k.look(t.Context()))
	_, err = k.Licence()
	require.NoError(t, err)
	again, err := after.Gaps(t.Context())
	require.NoError(t, err)
	require.Len(t, again, 1)
	require.False(t, again[0].ReplayedAt.IsZero(), "the streams were worked on again: they are empty")
}

// A standby that takes over while nothing is sent may lack the last decisions and replies: they are worked on again, without an
// operator. Nothing can have been sent, so nothing is suspect.
func TestAMoveWhileNothingIsSentRepeatsTheLastWork(t *testing.T) {
	t.Parallel()
	dsn, b := pgtest.DSN(t), belt(t, streamtest.Start(t))
	before := open(t, dsn)
	first := keeper(t, before, b)
	require.NoError(t, first.look(t.Context()))
	first.End(t.Context())
	before.Close()
	after := open(t, pgtest.Copy(t, dsn))
	require.NoError(t, keeper(t, after, b).look(t.Context()))
	gaps, err := after.Gaps(t.Context())
	require.NoError(t, err)
	require.Len(t, gaps, 1)
	require.Equal(t, gaps[0].Began, gaps[0].Ended)
	require.Len(t, gaps[0].Replay, 3)
}

// Two processes that send share one ledger: neither takes the other's marks for a newer ledger.
func TestTwoKeepersAgree(t *testing.T) {
	t.Parallel()
	dsn, nc := pgtest.DSN(t), streamtest.Start(t)
	b := belt(t, nc)
	one, two := keeper(t, open(t, dsn), b), keeper(t, open(t, dsn), b)
	for range 20 {
		done := make(chan error, 2)
		for _, k := range []*Keeper{one, two} {
			go func() { done <- k.look(t.Context()) }()
		}
		for range 2 {
			if err := <-done; err != nil {
				require.ErrorIs(t, err, stream.ErrOvertaken)
			}
		}
		require.False(t, one.state.finding.Holds())
		require.False(t, two.state.finding.Holds())
	}
	require.NoError(t, one.look(t.Context()))
	_, err := one.Licence()
	require.NoError(t, err)
	two.End(t.Context()) // the newest mark is the other's
	mark, _, err := b.LedgerMark(t.Context())
	require.NoError(t, err)
	require.True(t, mark.Open())
}

// A database that is put back under a running process is noticed by the very transaction that would claim.
func TestALedgerThatGoesBackIsNotClaimedFrom(t *testing.T) {
	t.Parallel()
	ledger := open(t, pgtest.DSN(t))
	k := keeper(t, ledger, belt(t, streamtest.Start(t)))
	require.NoError(t, k.look(t.Context()))
	claim := func() error {
		_, err := ledger.Claim(t.Context(), store.ClaimRequest{Sender: "default", Judge: func(store.Candidate) store.Verdict { return store.Verdict{} }})
		return err
	}
	require.NoError(t, claim())
	mark, err := ledger.Mark(t.Context())
	require.NoError(t, err)
	mark.Position++
	ledger.Expect(mark)
	require.ErrorIs(t, claim(), store.ErrMoved)
	require.True(t, store.Temporary(claim()))
	_, err = ledger.Decide(t.Context(), nil, nil)
	require.ErrorIs(t, err, store.ErrMoved)
}
