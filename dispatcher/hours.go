package dispatcher

import (
	"cmp"
	"errors"
	"time"

	"github.com/beckonhq/beckon/internal/message"
	hours "github.com/beckonhq/beckon/internal/quiet"
	"github.com/beckonhq/beckon/internal/store"
)

const (
	// openingSpread is the time over which messages go out that waited for one opening.
	openingSpread = 15 * time.Minute
	// noWindowWait is how long a message waits whose window nobody knows any more.
	noWindowWait = 15 * time.Minute
)

// hoursGate lets a message wait until people may be written to where its recipient is. One whose rule ignores quiet hours is not
// looked at, unless it is marketing.
func hoursGate(law *hours.Law) func(*store.Candidate, message.Channel) ruling {
	return func(c *store.Candidate, _ message.Channel) ruling {
		marketing := c.Message.Purpose == message.Marketing
		if c.Message.Hours == nil && !marketing {
			return ruling{}
		}
		wish, hints := asked(c.Message.Hours)
		answer, err := law.May(c.Now, law.Locate(c.Message.To, hints), wish, marketing)
		switch {
		case errors.Is(err, hours.ErrNoOpening):
			return ruling{refuse: message.ReasonQuietHours, words: err.Error()}
		case err != nil: // its window is gone from the table: somebody may put it back in time
			return ruling{wait: noWindowWait, behind: message.ReasonQuietHours, words: err.Error()}
		case answer.Open:
			return ruling{}
		}
		opens := answer.Spread(openingSpread, c.Message.ID)
		return ruling{
			wait: opens.Sub(c.Now), behind: message.ReasonQuietHours, defers: true,
			words: "until " + opens.UTC().Format(time.RFC3339) + ", closed by " + answer.Why,
		}
	}
}

// closing is when the hours close in which a message goes, zero when that is not before it is too late anyway. Where they close for no
// time at all, as at midnight, they go on.
func closing(law *hours.Law, c *store.Candidate) time.Time {
	marketing := c.Message.Purpose == message.Marketing
	if c.Message.Hours == nil && !marketing {
		return time.Time{}
	}
	wish, hints := asked(c.Message.Hours)
	place := law.Locate(c.Message.To, hints)
	for at := c.Now; ; {
		answer, err := law.Ask(at, place, wish, marketing)
		switch {
		case at.Equal(c.Now) && (err != nil || !answer.Open): // which the gate has told
			return time.Time{}
		case err != nil || !answer.Open:
			return at
		case answer.Until.IsZero() || !answer.Until.Before(c.ExpiresAt):
			return time.Time{}
		}
		at = answer.Until
	}
}

// asked is what a message says of quiet hours.
func asked(h *message.Hours) (hours.Wish, hours.Hints) {
	if h == nil {
		return hours.Respect, hours.Hints{}
	}
	return hours.Wish(h.Wish), hours.Hints{Zone: h.Zone, Country: h.Country, State: h.State, PostalCode: h.PostalCode}
}

// limits are the bounds that the law of a place sets on marketing about one subject: caps of the person, for the program.
func limits(law *hours.Law) func(store.Candidate) []message.Cap {
	return func(c store.Candidate) []message.Cap {
		if c.Message.Purpose != message.Marketing {
			return nil
		}
		_, hints := asked(c.Message.Hours)
		return law.LimitsOf(c.Now, law.Locate(c.Message.To, hints), cmp.Or(c.Message.Program, message.DefaultProgram))
	}
}
