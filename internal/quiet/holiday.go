package quiet

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Holidays is a list of days.
type Holidays struct {
	Source string    `yaml:"source"`
	Days   []Holiday `yaml:"days"`
	// Observed adds a day in lieu of each fixed day that falls on a weekend: the Friday before a Saturday, the Monday after a Sunday.
	Observed bool `yaml:"observed"`
}

// Holiday is a day of the year: a fixed one, the nth weekday of a month (counted from the end when nth is negative), or one so many
// days after Easter Sunday of the western churches (before it when easter is negative).
type Holiday struct {
	Name    string `yaml:"name"`
	Month   int    `yaml:"month"`
	Day     int    `yaml:"day"`
	Weekday string `yaml:"weekday"`
	Nth     int    `yaml:"nth"`
	Easter  *int   `yaml:"easter"`
}

// on tells whether a date is one of the days. Only its date counts.
func (h *Holidays) on(date time.Time) bool {
	year, month, day := date.Date()
	date = time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	falls := func(date time.Time, fixedOnly bool) bool {
		return slices.ContainsFunc(h.Days, func(d Holiday) bool { return (d.fixed() || !fixedOnly) && d.on(date) })
	}
	if falls(date, false) {
		return true
	}
	switch {
	case !h.Observed:
		return false
	case date.Weekday() == time.Friday:
		return falls(date.AddDate(0, 0, 1), true)
	case date.Weekday() == time.Monday:
		return falls(date.AddDate(0, 0, -1), true)
	}
	return false
}

func (h *Holiday) fixed() bool { return h.Weekday == "" && h.Easter == nil }

// on tells whether the holiday falls on a date in UTC.
func (h *Holiday) on(date time.Time) bool {
	year, month, day := date.Date()
	const week = 7
	switch {
	case h.Easter != nil:
		return date.Equal(easter(year).AddDate(0, 0, *h.Easter))
	case time.Month(h.Month) != month:
		return false
	case h.Weekday == "":
		return h.Day == day
	case !strings.EqualFold(date.Weekday().String(), h.Weekday):
		return false
	case h.Nth > 0:
		return (day-1)/week+1 == h.Nth
	}
	last := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
	return (last-day)/week+1 == -h.Nth
}

// easter is Easter Sunday of a year of the Gregorian calendar.
//
// Source: the "anonymous" algorithm of 1876, in J. Meeus, Astronomical Algorithms, chapter 8.
func easter(year int) time.Time {
	a, b, c := year%19, year/100, year%100
	d, e := b/4, b%4
	g := (8*b + 13) / 25
	h := (19*a + b - d - g + 15) % 30
	i, k := c/4, c%4
	l := (32 + 2*e + 2*i - h - k) % 7
	m := (a + 11*h + 22*l) / 451
	sum := h + l - 7*m + 114
	return time.Date(year, time.Month(sum/31), sum%31+1, 0, 0, 0, 0, time.UTC)
}

// mistake says what is wrong with a holiday; empty: nothing.
func (h *Holiday) mistake() string {
	const lastDay, lastNth, aYear = 31, 5, 366
	names := append(weekdayNames(), "")
	switch {
	case h.Easter != nil && (h.Month != 0 || h.Day != 0 || h.Weekday != "" || h.Nth != 0):
		return "has easter, and month, day, weekday or nth besides"
	case h.Easter != nil && (*h.Easter < -aYear || *h.Easter > aYear):
		return fmt.Sprintf("is %d days from Easter", *h.Easter)
	case h.Easter != nil:
		return ""
	case h.Month < 1 || h.Month > 12: //nolint:mnd // months
		return fmt.Sprintf("is in month %d: write 1 to 12, or easter with a number of days", h.Month)
	case !slices.Contains(names, strings.ToLower(h.Weekday)):
		return fmt.Sprintf("is on a %q, which is no day of the week", h.Weekday)
	case h.Weekday == "" && (h.Day < 1 || h.Day > lastDay || h.Nth != 0):
		return fmt.Sprintf("is on day %d: write 1 to 31, or weekday with nth", h.Day)
	case h.Weekday != "" && (h.Day != 0 || h.Nth == 0 || h.Nth > lastNth || h.Nth < -lastNth):
		return "is on a weekday: write which with nth, 1 to 5, or -1 for the last"
	}
	return ""
}

func weekdayNames() []string {
	names := make([]string, 0, 8) //nolint:mnd // a week, and room for one more
	for day := time.Sunday; day <= time.Saturday; day++ {
		names = append(names, strings.ToLower(day.String()))
	}
	return names
}
