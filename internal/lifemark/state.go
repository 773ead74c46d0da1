package lifemark

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

var (
	// ErrHeld says that nothing may be sent (or decided) until an operator has seen to what the error tells.
	ErrHeld = errors.New("held")
	// ErrNotLicensed says that the belt has not confirmed yet that this process sends.
	ErrNotLicensed = errors.New("not licensed to send: the belt has not confirmed the ledger's mark")
	errNotLooked   = errors.New("the marks of ledger and belt have not been compared yet")
)

// update changes the state under the lock, and tells those that wait for a change.
func (k *Keeper) update(change func(*state)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&k.state)
	blocked := k.state.blocks() != nil
	if k.state.blocked && !blocked {
		k.state.round++
	}
	k.state.blocked = blocked
	k.metrics.show(&k.state)
	close(k.changed)
	k.changed = make(chan struct{})
}

// blocks says why nothing may be claimed, whatever the licence.
func (s *state) blocks() error {
	switch {
	case !s.looked:
		return errNotLooked
	case s.finding.Holds():
		return s.held()
	case s.replays > 0:
		return fmt.Errorf("%w: after a recovery the streams are worked on again before anything is sent", ErrHeld)
	}
	for _, loss := range s.losses {
		if loss.Stream == string(stream.Callbacks) {
			return fmt.Errorf("%w: %s; opt-outs may have been in it: run beckon recover", ErrHeld, lossText(loss))
		}
	}
	return nil
}

func (s *state) held() error {
	return fmt.Errorf("%w since %s: %s; run beckon recover", ErrHeld, s.since.UTC().Format(time.RFC3339), s.finding.Text())
}

// Licence is nil when calls may begin now; else the error says why not, and waiting may cure it. round changes at the end of
// each hold: what was known of consent before is not to be relied on.
func (k *Keeper) Licence() (round int, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.state.blocks(); err != nil {
		return k.state.round, err
	}
	if !time.Now().Before(k.state.licensed) {
		return k.state.round, ErrNotLicensed
	}
	return k.state.round, nil
}

// Standing waits until decisions may be made on this ledger, and returns a context that ends when that is over, with its
// release. It is an error when ctx ends first.
func (k *Keeper) Standing(ctx context.Context) (context.Context, context.CancelFunc, error) {
	for {
		held, changed := k.standing()
		if !held {
			working, stop := context.WithCancel(ctx)
			go k.watch(working, stop)
			return working, stop, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// Await returns when decisions may be made on this ledger: what is done meanwhile would be done to the wrong one. It is an error
// when ctx ends first.
func (k *Keeper) Await(ctx context.Context) error {
	for {
		held, changed := k.standing()
		if !held {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watch ends working when a hold begins.
func (k *Keeper) watch(working context.Context, stop context.CancelFunc) {
	for {
		held, changed := k.standing()
		if held {
			stop()
			return
		}
		select {
		case <-changed:
		case <-working.Done():
			return
		}
	}
}

func (k *Keeper) standing() (held bool, changed <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.state.looked || k.state.finding.Holds(), k.changed
}

// Ready is nil when decisions and claims may be made.
func (k *Keeper) Ready(context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.blocks()
}

// Warnings tells the losses that no operator has settled.
func (k *Keeper) Warnings() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	warnings := make([]string, 0, len(k.state.losses))
	for _, loss := range k.state.losses {
		warnings = append(warnings, lossText(loss)+"; see to it, then run beckon recover")
	}
	return warnings
}

// lossText says what was lost and when.
func lossText(l store.StreamLoss) string {
	what := "was made anew"
	if l.Kind == store.LossOlder {
		what = "was put back to an earlier time"
	}
	return fmt.Sprintf("stream %s %s between %s and %s: what waited in it is lost", l.Stream, what,
		l.Seen.UTC().Format(time.RFC3339), l.Noticed.UTC().Format(time.RFC3339))
}

// LossText says a loss to an operator, with what it means for the stream.
func LossText(l store.StreamLoss) string {
	meaning := map[stream.Name]string{
		stream.Notifications: "notifications that were acknowledged to Salesforce and not decided",
		stream.Messages:      "nothing: what travelled is put on the belt again",
		stream.Callbacks:     "replies (opt-outs among them) and delivery statuses that were not worked on",
		stream.DeadLetters:   "the dead letters",
	}
	return lossText(l) + ": " + meaning[stream.Name(l.Stream)]
}

// found notes what the marks told, and logs the begin and the end of a hold.
func (k *Keeper) found(ctx context.Context, report *Report) {
	k.mu.Lock()
	was := k.state.finding
	k.mu.Unlock()
	holds := report.Finding.Holds()
	switch {
	case holds && !was.Holds():
		k.Log.ErrorContext(ctx, "nothing is decided or sent: "+report.Finding.Text(), "kind", report.Finding.Kind,
			"ledger_ends", report.Finding.Began, "sent_until", report.Finding.Ended, "advice", "run beckon recover")
	case !holds && was.Holds():
		k.Log.InfoContext(ctx, "ledger and belt agree again, work goes on")
	}
	k.update(func(s *state) {
		if holds && !s.finding.Holds() {
			s.since = time.Now()
		}
		if holds {
			s.licensed = time.Time{}
		}
		s.looked, s.finding, s.losses, s.replays = true, report.Finding, slices.Clone(report.Losses), len(report.Replays)
	})
}
