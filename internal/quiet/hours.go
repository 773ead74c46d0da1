package quiet

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/message"
)

// Wish is what a rule says under quiet_hours.
type Wish string

// The wishes that are no name of a window.
const (
	Respect Wish = "respect" // the law of the place
	Ignore  Wish = "ignore"  // any time
)

const (
	// horizon is how far Ask looks for a common opening.
	horizon = 14 * 24 * time.Hour
	// closingMargin keeps a message from reaching a person just after a closing.
	closingMargin = time.Minute
	// shortest is the shortest opening that counts: what waited for a shorter one would come too near to its end, each time.
	shortest = 3 * closingMargin
)

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
		common, closer, ok := l.common(rules, moment)
		switch {
		case !ok:
			return Answer{}, fmt.Errorf("%w: %s", ErrNoOpening, closer)
		case common.Opens.After(moment) && why == "":
			why = closer.String()
		}
		if common.Until.IsZero() || common.Until.Sub(common.Opens) >= shortest {
			common.Open, common.Why = !common.Opens.After(at), why
			if common.Open {
				common.Opens = at
			}
			return common, nil
		}
		if moment = common.Until; common.Opens.After(moment) { // they don't overlap
			moment = common.Opens
		} else if why == "" {
			why = "openings shorter than " + shortest.String()
		}
	}
	return Answer{}, fmt.Errorf("%w: %s", ErrNoOpening, why)
}

// common is the overlap of what each rule allows next, from a moment on: it ends before it begins when there is none. closer is the
// first rule that is closed at the moment.
func (l *Law) common(rules []rule, moment time.Time) (answer Answer, closer rule, ok bool) {
	for _, r := range rules {
		opens, closes, ok := l.opening(r, moment)
		if !ok {
			return Answer{}, r, false
		}
		if opens.After(moment) && closer.row == nil {
			closer = r
		}
		if opens.After(answer.Opens) {
			answer.Opens = opens
		}
		if answer.Until.IsZero() || closes.Before(answer.Until) {
			answer.Until = closes
		}
	}
	return answer, closer, true
}

// May is Ask for a message that is to be sent at once: what closes within a minute counts as closed.
func (l *Law) May(at time.Time, place Place, wish Wish, marketing bool) (Answer, error) {
	answer, err := l.Ask(at, place, wish, marketing)
	if err != nil || !answer.Open || answer.Until.IsZero() || answer.Until.Sub(at) > closingMargin {
		return answer, err
	}
	next, err := l.Ask(answer.Until, place, wish, marketing)
	if err == nil && next.Open { // it closes for no time at all, as at midnight
		return answer, nil
	}
	return next, err
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
		if unknown.zone == nil || place.From == byZone {
			unknown.zone = place.Zones[0]
		}
		rules = append(rules, unknown)
	}
	return rules
}

// opening is the first open span of a rule that ends after a moment; it may have begun before. It is false when there is none
// within the horizon.
func (l *Law) opening(r rule, moment time.Time) (opens, closes time.Time, ok bool) {
	const day = 24 * time.Hour
	year, month, dayOfMonth := moment.In(r.zone).Date()
	for i := range int(horizon/day) + 1 {
		date := time.Date(year, month, dayOfMonth+i, 0, 0, 0, 0, time.UTC) // only its date counts
		for _, span := range l.spansOn(r.row, date) {
			opens, closes = wall(date, span.From, r.zone, true), wall(date, span.To, r.zone, false)
			if closes.After(moment) && closes.After(opens) {
				return opens, closes, true
			}
		}
	}
	return time.Time{}, time.Time{}, false
}

// spansOn are the open spans of a date, in order. A window over midnight is one of each of its two days, so that a closed day closes
// its part of it. A row that does not hold on that date closes nothing.
func (l *Law) spansOn(row *Row, date time.Time) []Span {
	if !row.holds(date) {
		return []Span{{0, minutesPerDay}}
	}
	if l.closed(row, date) {
		return nil
	}
	var spans []Span
	if last := row.Windows[(date.Weekday()+6)%7]; last.To > minutesPerDay { //nolint:mnd // the day before
		spans = append(spans, Span{0, last.To - minutesPerDay})
	}
	if span, open := row.Windows[date.Weekday()]; open {
		spans = append(spans, Span{span.From, min(span.To, minutesPerDay)})
	}
	return spans
}

// holds tells whether the row holds on a date.
func (r *Row) holds(date time.Time) bool {
	today := date.Format(time.DateOnly)
	return (r.From.IsZero() || today >= r.From.Format(time.DateOnly)) && (r.Until.IsZero() || today < r.Until.Format(time.DateOnly))
}

// closed tells whether a date is one of the days on which a row is closed.
func (l *Law) closed(row *Row, date time.Time) bool {
	return slices.ContainsFunc(row.Closed, func(name string) bool {
		if list := l.rules.Holidays[name]; list != nil {
			return list.on(date)
		}
		return strings.EqualFold(name, date.Weekday().String())
	})
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

// LimitsOf are the limits that the law of a place sets at a moment on marketing about one subject, which is a program here: caps of
// the person, named after their rows.
func (l *Law) LimitsOf(at time.Time, place Place, program string) []message.Cap {
	var caps []message.Cap
	for _, r := range l.lawOf(place) {
		name := fmt.Sprintf("law of %s on %s", r.name, program)
		limit := r.row.Limit
		if limit == nil || !r.row.holds(at.In(r.zone)) || slices.ContainsFunc(caps, func(c message.Cap) bool { return c.Name == name }) {
			continue
		}
		caps = append(caps, message.Cap{
			Name: name, Scope: message.PerPerson, Purpose: message.Marketing, Program: program, Messages: limit.Messages, Per: limit.Per,
		})
	}
	return caps
}
