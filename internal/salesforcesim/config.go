package salesforcesim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/notification"
)

// Defaults of a Config. Timeout, MaxGap and DropAfter are Salesforce's documented figures ("Understanding
// Notifications" in its outbound message documentation); FirstGap and Concurrency are documented nowhere.
const (
	DefaultTimeout     = 60 * time.Second
	DefaultFirstGap    = 2 * time.Second
	DefaultMaxGap      = 2 * time.Hour
	DefaultDropAfter   = 24 * time.Hour
	DefaultConcurrency = 4
)

// Definition is one outbound message of the organisation: which object's changes it reports, and which fields.
type Definition struct {
	Object   string   // sObject API name, for example Opportunity or npsp__Gift__c
	Fields   []string // the selected fields; empty: all that the record has. Id is always sent
	ActionID string   // 04k..., 15 or 18 characters; empty: one is made up
}

// Config says which organisation is played and how. Zero values mean the defaults that the fields name.
type Config struct {
	OrgID       string // 00D..., 15 or 18 characters; required
	Endpoint    string // http or https URL that receives the envelopes; required
	Definitions []Definition
	HTTPClient  *http.Client // TLS options and transport; its redirect policy is not used. Default: a client of its own
	Seed        uint64       // of everything random: the same seed gives the same ids. 0: another one each time

	BatchSize   int           // most notifications in an envelope, 1 to 100; default 100
	Concurrency int           // most requests at the same time; default 4
	Linger      time.Duration // first attempts wait for the end of such a period, so that envelopes fill; default none
	Timeout     time.Duration // of one request; default 60 s

	FirstGap  time.Duration                    // from the first failure to the second attempt; default 2 s, then doubling
	MaxGap    time.Duration                    // longest gap; default 2 h
	DropAfter time.Duration                    // age at which an unacknowledged notification is given up; default 24 h
	Speed     float64                          // divides FirstGap, MaxGap and DropAfter; default 1
	Gap       func(failures int) time.Duration // replaces the doubling (and is not divided); failures counts from 1

	RepeatAfterAck float64 // probability, 0 to 1, that an acknowledged notification is sent once more
	Regroup        bool    // retries share envelopes with whatever else is due, in groups of random size
	Shuffle        bool    // due notifications go out in random order
	DeletedWithID  bool    // a deleted record is sent with its Id only, not with an empty sObject

	OnDelivery func(Delivery) // called after each request, from its goroutine; may be called concurrently
}

// withDefaults returns the configuration with its gaps filled, or everything that is wrong with it.
func (c Config) withDefaults() (Config, error) {
	if err := c.check(); err != nil {
		return Config{}, err
	}
	c.BatchSize = orDefault(c.BatchSize, notification.MaxPerEnvelope)
	c.Concurrency = orDefault(c.Concurrency, DefaultConcurrency)
	c.Timeout = orDefault(c.Timeout, DefaultTimeout)
	c.FirstGap = orDefault(c.FirstGap, DefaultFirstGap)
	c.MaxGap = orDefault(c.MaxGap, DefaultMaxGap)
	c.DropAfter = orDefault(c.DropAfter, DefaultDropAfter)
	c.Speed = orDefault(c.Speed, 1)
	if c.Seed == 0 {
		c.Seed = rand.Uint64() //nolint:gosec // a simulator's ids guard nothing
	}
	c.FirstGap, c.MaxGap, c.DropAfter = c.scale(c.FirstGap), c.scale(c.MaxGap), c.scale(c.DropAfter)
	if c.Gap == nil {
		c.Gap = doubling(c.FirstGap, c.MaxGap)
	}
	return c, nil
}

func (c Config) check() error {
	var errs []error
	complain := func(bad bool, what string) {
		if bad {
			errs = append(errs, fmt.Errorf("%w: %s", ErrConfig, what))
		}
	}
	u, err := url.Parse(c.Endpoint)
	complain(err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https",
		"Endpoint must be an http or https URL with a host")
	complain(c.BatchSize < 0 || c.BatchSize > notification.MaxPerEnvelope, "BatchSize must be 1 to 100")
	complain(c.Concurrency < 0, "Concurrency must not be negative")
	complain(c.Speed < 0, "Speed must not be negative")
	complain(min(c.Linger, c.Timeout, c.FirstGap, c.MaxGap, c.DropAfter) < 0, "durations must not be negative")
	complain(c.RepeatAfterAck < 0 || c.RepeatAfterAck > 1, "RepeatAfterAck must be 0 to 1")
	complain(len(c.Definitions) == 0, "Definitions must name at least one outbound message")
	for _, d := range c.Definitions {
		complain(d.Object == "", "a definition must name its object")
		complain(d.ActionID != "" && !strings.HasPrefix(d.ActionID, actionPrefix), "an ActionID begins with 04k")
	}
	return errors.Join(errs...)
}

func (c Config) scale(d time.Duration) time.Duration {
	return time.Duration(float64(d) / c.Speed)
}

func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// doubling is the schedule that Salesforce documents: exponential, at most two hours.
func doubling(first, longest time.Duration) func(int) time.Duration {
	return func(failures int) time.Duration {
		gap := first
		for range failures - 1 {
			if gap >= longest {
				break
			}
			gap *= 2
		}
		return min(gap, longest)
	}
}
