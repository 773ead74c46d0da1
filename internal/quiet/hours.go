package quiet

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"
)

// Wish is what a rule says under quiet_hours.
type Wish string

// The wishes that are no name of a window.
const (
	Respect Wish = "respect" // the law of the place
	Ignore  Wish = "ignore"  // any time
)

// horizon is how far Next looks for a common opening.
const horizon = 14 * 24 * time.Hour

// ErrNoOpening says that a place has no moment within two weeks that all of its rules allow.
var ErrNoOpening = errors.New("no moment in the next two weeks is allowed everywhere where this person may be")

// Answer says whether a message may go at a moment, and else when.
type Answer struct {
	Open  bool
	Opens time.Time // the first moment at which it may go; the moment itself when Open
	Until time.Time // the end of that opening
	Why   string    // what closed it, for people: US-FL 08:00-20:00 America/New_York; empty when Open
}

// rule is a row that counts in a zone.
type rule struct {
	row  *Row
	name string
	zone *time.Location
}

// Ask says when a message may go to a place, from a moment on. A window with a name stands for the law of the place, but marketing
// always respects both. The error is ErrNoOpening, or says that there is no window of the name.
func (l *Law) Ask(at time.Time, place Place, wish Wish, marketing bool) (Answer, error) {
	rules, err := l.rulesFor(place, wish, marketing)
	if err != nil {
		return Answer{}, err
	}
	moment, why := at, ""
	for moment.Sub(at) < horizon {
		next, until := moment, time.Time{}
		for _, r := range rules {
			opens, closes, ok := l.opening(r, moment)
			if !ok {
				return Answer{}, fmt.Errorf("%w: %s", ErrNoOpening, r)
			}
			if opens.After(next) {
				next = opens
				if why == "" {
					why = r.String()
				}
			}
			if until.IsZero() || closes.Before(until) {
				until = closes
			}
		}
		if next.Equal(moment) {
			return Answer{Open: moment.Equal(at), Opens: moment, Until: until, Why: why}, nil
		}
		moment = next
	}
	return Answer{}, fmt.Errorf("%w: %s", ErrNoOpening, why)
}

func (l *Law) rulesFor(place Place, wish Wish, marketing bool) ([]rule, error) {
	var rules []rule
	if wish == Respect || marketing {
		rules = l.lawOf(place)
	}
	if wish != Ignore && wish != Respect {
		named := l.rules.Named[string(wish)]
		if named == nil {
			return nil, fmt.Errorf("there is no window %q; there are: %s", wish, strings.Join(l.Names(), ", "))
		}
		for _, zone := range place.Zones {
			rules = append(rules, rule{named, string(wish), zone})
		}
	}
	return rules, nil
}

// Applied is a row that counts at a place, with the clock that it counts by.
type Applied struct {
	Name string
	Zone *time.Location
	Row  Row
}

// Rules are the rows that Ask looks at. The error is that there is no window of the name.
func (l *Law) Rules(place Place, wish Wish, marketing bool) ([]Applied, error) {
	rules, err := l.rulesFor(place, wish, marketing)
	if err != nil {
		return nil, err
	}
	applied := make([]Applied, len(rules))
	for i, r := range rules {
		applied[i] = Applied{r.name, r.zone, *r.row}
	}
	return applied, nil
}

// lawOf are the rows that count at a place: the country's, and those of its states, in every zone that is possible.
func (l *Law) lawOf(place Place) []rule {
	country := l.rules.Countries[place.Country]
	name := place.Country
	if country == nil {
		country, name = &Country{Row: *l.rules.Default}, "default"
	}
	var rules []rule
	add := func(row *Row, name string) {
		for _, zone := range place.Zones {
			rules = append(rules, rule{row, name, zone})
		}
	}
	add(&country.Row, name)
	for _, region := range place.Regions {
		if row := country.Regions[region]; row != nil {
			add(row, name+"-"+region)
		}
	}
	if len(place.Regions) == 0 && country.Unknown != nil {
		unknown := rule{row: country.Unknown, name: name + ", place not known", zone: country.Unknown.zone}
		if unknown.zone == nil {
			unknown.zone = place.Zones[0]
		}
		rules = append(rules, unknown)
	}
	return rules
}

// opening is the first open span of a rule that ends after a moment: when it opens (the moment itself when it is open then), and
// when it closes. It is false when there is none within the horizon.
func (l *Law) opening(r rule, moment time.Time) (opens, closes time.Time, ok bool) {
	const day = 24 * time.Hour
	year, month, dayOfMonth := moment.In(r.zone).Date()
	for i := range int(horizon/day) + 1 {
		date := time.Date(year, month, dayOfMonth+i, 12, 0, 0, 0, time.UTC) //nolint:mnd // noon: only its date counts
		span, open := l.spanOn(r.row, date)
		if !open {
			continue
		}
		opens, closes = wall(date, span.From, r.zone, true), wall(date, span.To, r.zone, false)
		if !closes.After(moment) || !closes.After(opens) {
			continue
		}
		if opens.Before(moment) {
			opens = moment
		}
		return opens, closes, true
	}
	return time.Time{}, time.Time{}, false
}

// spanOn is the open span of a date. A row that does not hold on that date closes nothing.
func (l *Law) spanOn(row *Row, date time.Time) (Span, bool) {
	today := date.Format(time.DateOnly)
	if !row.From.IsZero() && today < row.From.Format(time.DateOnly) || !row.Until.IsZero() && today >= row.Until.Format(time.DateOnly) {
		return Span{0, minutesPerDay}, true
	}
	for _, name := range row.Closed {
		if strings.EqualFold(name, date.Weekday().String()) {
			return Span{}, false
		}
		if holidays := l.rules.Holidays[name]; holidays != nil {
			for _, h := range holidays.Days {
				if h.on(date.Year(), date.Month(), date.Day()) {
					return Span{}, false
				}
			}
		}
	}
	span, open := row.Windows[date.Weekday()]
	return span, open
}

// wall is a time of the local clock as a moment. Where the clock shows it twice, late chooses the second; where it skips it, it is
// the moment of the jump.
func wall(date time.Time, minutes int, zone *time.Location, late bool) time.Time {
	t := time.Date(date.Year(), date.Month(), date.Day(), 0, minutes, 0, 0, zone)
	if shown := t.Hour()*minutesPerHour + t.Minute(); minutes < minutesPerDay && shown != minutes {
		begin, end := t.ZoneBounds()
		if shown > minutes {
			return begin
		}
		return end
	}
	other := t.Add(-time.Hour)
	if late {
		other = t.Add(time.Hour)
	}
	if sameClock(other, t) {
		return other
	}
	return t
}

func sameClock(a, b time.Time) bool {
	return a.Hour() == b.Hour() && a.Minute() == b.Minute() && a.Day() == b.Day()
}

// String names the rule for people, with its zone.
func (r rule) String() string { return r.name + " in " + r.zone.String() }

// Spread moves an opening by a part of spread that depends on the key alone, so that what waited does not go out all at once. It
// stays within the first half of the opening.
func (a Answer) Spread(spread time.Duration, key string) time.Time {
	if a.Open {
		return a.Opens
	}
	if half := a.Until.Sub(a.Opens) / 2; spread > half {
		spread = half
	}
	if spread <= 0 {
		return a.Opens
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	return a.Opens.Add(time.Duration(h.Sum64() % uint64(spread)))
}
