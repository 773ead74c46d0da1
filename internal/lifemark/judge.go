package lifemark

import (
	"fmt"
	"time"

	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

// Kind says what the marks tell of the ledger.
type Kind string

// The kinds.
const (
	InOrder Kind = ""
	Other   Kind = "other" // another database than the belt knows
	Older   Kind = "older" // the same one at an earlier time
	Copied  Kind = "moved" // the same one, but another copy or server, that may lack the last seconds
)

// shortest gaps are closed without an operator: those of a standby that took over.
const shortGap = 2 * time.Minute

// Finding is what the two marks tell, and the gap: the time of which the ledger lacks what was sent.
type Finding struct {
	Kind  Kind
	Began time.Time // never: neverSent
	Ended time.Time
}

// neverSent is the begin of the gap of a ledger that was never used.
func neverSent() time.Time { return time.Unix(0, 0).UTC() }

// Judge compares the ledger's mark with the belt's, which was read before it. found tells whether the belt has one.
func Judge(ours store.Mark, theirs stream.LedgerMark, found bool, now time.Time) Finding {
	f := Finding{Kind: InOrder, Began: ours.At.UTC(), Ended: theirs.Until.UTC()}
	if ours.Position == 0 {
		f.Began = neverSent()
	}
	switch {
	case !found && ours.Moved(): // a copy, and the belt that could tell how old it is was lost
		f.Kind, f.Ended = Copied, now.UTC()
	case !found:
	case theirs.Ledger != ours.Ledger:
		f.Kind = Other
	case theirs.Position > ours.Position:
		f.Kind = Older
	case ours.Moved(): // also when nobody sent: the last decisions may be missing
		f.Kind = Copied
	}
	if f.Ended.Before(f.Began) {
		f.Ended = f.Began
	}
	return f
}

// Holds tells whether nothing may be decided or sent.
func (f Finding) Holds() bool { return f.Kind != InOrder }

// closesItself tells whether the gap is so short that it is recovered from without an operator.
func (f Finding) closesItself() bool {
	return f.Kind == Copied && f.Ended.Sub(f.Began) <= shortGap
}

// Text says the finding to an operator.
func (f Finding) Text() string {
	began, ended := f.Began.Format(time.RFC3339), f.Ended.Format(time.RFC3339)
	if f.Began.Equal(neverSent()) {
		began = "never"
	}
	switch f.Kind {
	case InOrder:
		return "the ledger is as far as the belt remembers"
	case Other:
		return fmt.Sprintf("Postgres holds another ledger than the one that sent: this one ends at %s, messages were sent until %s at the latest",
			began, ended)
	case Older:
		return fmt.Sprintf("Postgres holds an older ledger, as of a restored backup: it ends at %s, messages were sent until %s at the latest",
			began, ended)
	case Copied:
		return fmt.Sprintf("Postgres is another copy or another server than a moment ago: it may lack what was sent from %s to %s", began, ended)
	}
	return string(f.Kind)
}
