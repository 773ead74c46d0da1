package twilio

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // the zones of deferrals, also on machines that have none

	"go.yaml.in/yaml/v4"
)

// midnightSpread is over how long after a midnight that many wait for they go on, so that they do not come all at once.
const midnightSpread = 10 * time.Minute

// Deferral computes when to try again: after a fixed wait, or at the next midnight of a time zone.
type Deferral struct {
	wait     time.Duration
	midnight *time.Location
}

func (d Deferral) isZero() bool { return d.wait == 0 && d.midnight == nil }

// From is how long from now the deferral is, and over how long after that the tries should be spread.
func (d Deferral) From(now time.Time) (wait, spread time.Duration) {
	if d.midnight == nil {
		return d.wait, d.wait / 10
	}
	local := now.In(d.midnight)
	next := time.Date(local.Year(), local.Month(), local.Day()+1, 0, 0, 0, 0, d.midnight)
	return next.Sub(now), midnightSpread
}

// UnmarshalYAML reads a duration such as 1h, or next_midnight and an IANA time zone.
func (d *Deferral) UnmarshalYAML(node *yaml.Node) error {
	fields := strings.Fields(node.Value)
	var err error
	switch {
	case len(fields) == 2 && fields[0] == "next_midnight":
		d.midnight, err = time.LoadLocation(fields[1])
	case len(fields) == 1:
		if d.wait, err = time.ParseDuration(fields[0]); err == nil && d.wait <= 0 {
			err = errors.New("it must be more than 0")
		}
	default:
		err = errors.New("want a duration such as 1h, or next_midnight and a time zone")
	}
	if err != nil {
		return fmt.Errorf("line %d: defer %q: %w", node.Line, node.Value, err)
	}
	return nil
}
