package dispatcher

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	firstProbe   = 5 * time.Second // after opening; doubling
	longestProbe = 2 * time.Minute
	trust        = time.Minute // how long an answer of Twilio's stands for its health
)

// errShut says that nothing may be claimed now: give back what is in hand, and wait with ready.
var errShut = errors.New("sending is stopped for the time being")

// breakerState is one of three.
type breakerState int

const (
	stateClosed   breakerState = iota // messages go
	stateHalfOpen                     // one does, to see whether the others may
	stateOpen                         // none does
)

// cause is why a breaker opened, in words that are the same in logs and metrics.
type cause string

const (
	causeAccount cause = "account" // Twilio refuses the account: credentials, suspension
	causeSender  cause = "sender"  // Twilio refuses the sender
	causeOutage  cause = "outage"  // unclear outcomes in a row, or Twilio can't be reached
)

// breaker keeps a sender's backlog from being burnt while calls can't succeed. It is a state machine with no more than a clock:
//
//	         stop, or the last of `failures` unclear outcomes in a row
//	closed ------------------------------------------------------------> open
//	  ^                                                                  |  ^
//	  | the probe is answered                     after a growing wait   |  | the probe fails
//	  `-------------------------------- halfOpen <-----------------------'  |
//	                                       `--------------------------------'
//
// Whoever wants to call is admitted first. A call that is admitted ends with exactly one of answered, failed, stop and
// release. What calls report that were admitted before the last opening or closing is not news: it is left out, by their era.
//
// Calls that are in flight when an outage begins can't be taken back. So that they are few, a breaker that has had no answer
// for a while, or has an unclear outcome as the newest, feels its way: it admits no more calls at once than would open it.
type breaker struct {
	failures int           // unclear outcomes in a row that open it
	first    time.Duration // wait before the first probe
	changes  func(breakerState, cause, string)

	mu       sync.Mutex
	state    breakerState
	era      int
	inFlight int       // admitted in this era
	streak   int       // unclear outcomes since the last answer
	heard    time.Time // the last answer
	until    time.Time // open: the next probe; closed: the end of a hold
	openings int       // without a rest between them
	closedAt time.Time
	cause    cause
	why      string
	moved    chan struct{} // closed and made anew when anything changes that somebody may wait for
}

// newBreaker makes a closed one. changes is told each change of state, in order; it must not call the breaker.
func newBreaker(failures int, first time.Duration, changes func(breakerState, cause, string)) *breaker {
	return &breaker{failures: failures, first: first, changes: changes, moved: make(chan struct{})}
}

// leave is what admit gives: so many calls of an era.
type leave struct{ calls, era int }

// ready waits until something may be admitted. It takes nothing.
func (b *breaker) ready(ctx context.Context) error {
	for {
		b.mu.Lock()
		left, moved := time.Until(b.until), b.moved
		if b.state != stateHalfOpen && left <= 0 {
			b.mu.Unlock()
			return nil
		}
		if b.state == stateHalfOpen {
			left = longestProbe // until its probe reports, which is a move
		}
		b.mu.Unlock()
		if err := waitFor(ctx, moved, left); err != nil {
			return err
		}
	}
}

// admit lets up to n calls begin, at least one. It waits for room, and returns errShut when none may begin for longer.
func (b *breaker) admit(ctx context.Context, n int) (leave, error) {
	for {
		got, moved, err := b.tryAdmit(n)
		if err != nil || got.calls > 0 {
			return got, err
		}
		if err := waitFor(ctx, moved, longestProbe); err != nil {
			return leave{}, err
		}
	}
}

func (b *breaker) tryAdmit(n int) (leave, <-chan struct{}, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	switch {
	case b.state == stateHalfOpen || now.Before(b.until):
		return leave{}, nil, errShut
	case b.state == stateOpen:
		b.move(stateHalfOpen)
		n = 1
	case b.streak > 0 || now.Sub(b.heard) > trust:
		n = min(n, b.failures-b.streak-b.inFlight)
	}
	n = max(n, 0)
	b.inFlight += n
	return leave{n, b.era}, b.moved, nil
}

// answered says that Twilio answered a call in its right mind, also when it refused it for a reason of the message. It tells
// whether that closed the breaker, and what had opened it.
func (b *breaker) answered(era int) (cause, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if era != b.era {
		return "", false
	}
	b.inFlight--
	b.streak, b.heard = 0, time.Now()
	was := b.state
	if was == stateHalfOpen {
		b.move(stateClosed)
	}
	b.wake()
	return b.cause, was == stateHalfOpen
}

// failed says that nobody knows how a call ended, or that it could not begin.
func (b *breaker) failed(era int, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if era != b.era {
		return
	}
	b.inFlight--
	if b.streak++; b.state == stateHalfOpen || b.streak >= b.failures {
		b.open(causeOutage, why)
	}
	b.wake()
}

// stop says that Twilio refused a call for a reason that holds for all others too.
func (b *breaker) stop(era int, of cause, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if era == b.era {
		b.open(of, why)
	}
}

// shut is a stop that somebody else was told. It changes nothing while this one waits for its probe, or for what that finds.
func (b *breaker) shut(of cause, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == stateClosed || b.state == stateOpen && !time.Now().Before(b.until) {
		b.open(of, why)
	}
}

// release gives back calls that were admitted and never began.
func (b *breaker) release(l leave, calls int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.era != b.era || calls == 0 {
		return
	}
	b.inFlight -= calls
	if b.state == stateHalfOpen { // somebody else may be the probe, at once
		b.move(stateOpen)
		b.until = time.Now()
	}
	b.wake()
}

// reset closes one that opened for a cause which somebody else saw to be over.
func (b *breaker) reset(of cause) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == stateOpen && b.cause == of {
		b.until = time.Now()
		b.move(stateClosed)
	}
}

// hold admits nobody for a time: Twilio has too much to do, or can't be reached.
func (b *breaker) hold(wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if until := time.Now().Add(wait); until.After(b.until) && b.state == stateClosed {
		b.until = until
		b.wake()
	}
}

// left is how long nothing may be tried.
func (b *breaker) left() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(time.Until(b.until), 0)
}

// reason says why nothing is sent, empty when all is well.
func (b *breaker) reason() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == stateClosed {
		return ""
	}
	return b.why
}

// open is called with the lock. Openings soon after a closing count on: what keeps failing is asked less and less often.
func (b *breaker) open(of cause, why string) {
	if b.state == stateClosed && time.Since(b.closedAt) > longestProbe {
		b.openings = 0
	}
	wait := min(b.first<<min(b.openings, 10), longestProbe)
	wait += time.Duration((rand.Float64() - 0.5) * 0.4 * float64(wait)) //nolint:gosec // jitter needs no secrecy
	b.openings++
	b.until, b.cause, b.why = time.Now().Add(wait), of, why
	b.move(stateOpen)
}

// move is called with the lock.
func (b *breaker) move(to breakerState) {
	b.state = to
	if to == stateClosed {
		b.closedAt, b.streak = time.Now(), 0
	}
	b.era++
	b.inFlight = 0
	b.changes(to, b.cause, b.why)
	b.wake()
}

func (b *breaker) wake() {
	close(b.moved)
	b.moved = make(chan struct{})
}

// waitFor returns when moved is closed or the time is over.
func waitFor(ctx context.Context, moved <-chan struct{}, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-moved:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
