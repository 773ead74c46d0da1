package dispatcher

import (
	"math/rand/v2"
	"time"

	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twilio"
)

// maxDoublings keeps a doubled wait in bounds.
const maxDoublings = 6

// late tells whether it will be too late for a message after the wait.
func late(c store.Claimed, wait time.Duration) bool {
	return !c.Expires.IsZero() && !time.Now().Add(wait).Before(c.Expires)
}

// remaining is what is left of a message's validity, and of the hours in which it may go, which Twilio must keep too: its queue may be
// hours long. 0 when there is neither.
func remaining(c store.Claimed) time.Duration {
	end := c.Expires
	if !c.Closes.IsZero() && (end.IsZero() || c.Closes.Before(end)) {
		end = c.Closes
	}
	if end.IsZero() {
		return 0
	}
	return max(time.Until(end), time.Second)
}

// deferral is the wait that a rule of the reaction Defer computes, spread so that not all who wait for a midnight come at once.
func deferral(rule *twilio.Rule) time.Duration {
	wait, spread := rule.Defer.From(time.Now())
	return wait + time.Duration(rand.Float64()*float64(spread)) //nolint:gosec // jitter needs no secrecy
}

func doubled(wait time.Duration, tries int) time.Duration {
	return wait << min(max(tries, 0), maxDoublings)
}
