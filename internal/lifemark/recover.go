package lifemark

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

// clockSkew is how far the clocks of NATS and of the database may be apart.
const clockSkew = time.Minute

// Report is what both stores tell.
type Report struct {
	Finding Finding
	Losses  []store.StreamLoss // that no operator has settled
	Replays []store.Gap        // whose replay goes on
	Kept    time.Time          // since when NOTIFICATIONS has envelopes
	Heard   time.Time          // since when CALLBACKS has replies and statuses
	ours    store.Mark
	theirs  stream.LedgerMark
}

// Nothing tells whether there is nothing to recover from.
func (r *Report) Nothing() bool { return !r.Finding.Holds() && len(r.Losses) == 0 }

// Look reads both stores and changes nothing but to make the stream MARKS when it is gone.
func Look(ctx context.Context, ledger Ledger, belt Belt) (*Report, error) {
	var r Report
	var found bool
	var err error
	if r.theirs, found, err = belt.LedgerMark(ctx); err != nil { // before the ledger's: see Judge
		return nil, err
	}
	if r.ours, err = ledger.Mark(ctx); err != nil {
		return nil, err
	}
	r.Finding = Judge(r.ours, r.theirs, found, time.Now())
	if r.Losses, err = ledger.OpenLosses(ctx); err != nil {
		return nil, err
	}
	if r.Replays, err = ledger.OpenReplays(ctx); err != nil {
		return nil, err
	}
	lives, err := belt.Lives(ctx)
	if err != nil {
		return nil, err
	}
	r.Kept, r.Heard = lives[stream.Notifications].First, lives[stream.Callbacks].First
	return &r, nil
}

// Request says who recovers and why.
type Request struct {
	Operator string
	Note     string
	// Began and Ended are a gap that an operator knows of and the marks do not; zero: what the marks tell.
	Began, Ended time.Time
}

// errNothing says that there is nothing to recover from.
var errNothing = errors.New("there is nothing to recover from")

// setBack are the consumers whose work is repeated: all of it is done once, however often it comes.
func setBack() []stream.ConsumerName {
	return []stream.ConsumerName{stream.Router, stream.Inbound, stream.StatusCallbacks}
}

// Recover ends the hold that a report tells of and settles its losses. The steps are in an order that keeps the hold until the
// last one of the marks: a call that dies on the way is made again.
func Recover(ctx context.Context, ledger Ledger, belt Belt, r *Report, q Request) error {
	gap := store.Gap{Began: r.Finding.Began, Ended: r.Finding.Ended, Operator: q.Operator, Note: q.Note}
	byHand := !q.Began.IsZero() && !q.Ended.IsZero()
	if byHand {
		gap.Began, gap.Ended = q.Began, q.Ended
	}
	if r.Nothing() && !byHand {
		return errNothing
	}
	if r.Finding.Holds() || byHand {
		if err := closeGap(ctx, ledger, belt, r, gap); err != nil {
			return err
		}
	}
	if len(r.Losses) == 0 {
		return nil
	}
	return ledger.SettleLosses(ctx, r.Losses, q.Operator, q.Note)
}

func closeGap(ctx context.Context, ledger Ledger, belt Belt, r *Report, gap store.Gap) error {
	lives, err := belt.Lives(ctx)
	if err != nil {
		return err
	}
	gap.Replay = map[string]uint64{}
	for _, name := range setBack() {
		gap.Replay[string(name)] = lives[stream.Callbacks].LastSeq
	}
	gap.Replay[string(stream.Router)] = lives[stream.Notifications].LastSeq
	if _, err := ledger.OpenGap(ctx, gap); err != nil {
		return err
	}
	for _, name := range setBack() {
		if _, err := belt.SetBack(ctx, name, gap.Began.Add(-clockSkew)); err != nil {
			return err
		}
	}
	mark, err := ledger.Reach(ctx, r.theirs.Position)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	err = belt.StoreLedgerMark(ctx, r.theirs, stream.LedgerMark{
		Ledger: mark.Ledger, Position: mark.Position, At: now, Until: latest(now, r.theirs.Until), Writer: "recover",
	})
	if errors.Is(err, stream.ErrOvertaken) && !r.Finding.Holds() {
		return nil // a gap told by hand: the dispatchers went on
	}
	if err != nil {
		return fmt.Errorf("the gap is noted, but not what ends the hold; run it again: %w", err)
	}
	return nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
