package quiet

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

const minutesPerHour, minutesPerDay = 60, 24 * 60

// Span is a part of a day, in minutes since midnight of the local clock. To is not part of it; it is beyond the length of a day in a
// span over midnight.
type Span struct{ From, To int }

// Week is the open span of each weekday. A day without one is closed.
type Week map[time.Weekday]Span

func everyDay(span Span) Week {
	week := Week{}
	for day := time.Sunday; day <= time.Saturday; day++ {
		week[day] = span
	}
	return week
}

func weekdays() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

// UnmarshalYAML reads {daily: "08:00-21:00"} or {mon-fri: "09:00-18:00", sat: "10:00-12:00"}.
func (w *Week) UnmarshalYAML(node *yaml.Node) error {
	var days map[string]string
	if err := node.Decode(&days); err != nil {
		return err
	}
	*w = Week{}
	for _, key := range slices.Sorted(mapKeys(days)) {
		from, to, err := dayRange(key)
		if err != nil {
			return fmt.Errorf("line %d: %w", node.Line, err)
		}
		span, err := parseSpan(days[key])
		if err != nil {
			return fmt.Errorf("line %d: %s: %w", node.Line, key, err)
		}
		for day := from; ; day = (day + 1) % 7 {
			if _, twice := (*w)[day]; twice {
				return fmt.Errorf("line %d: %s stands twice", node.Line, day)
			}
			(*w)[day] = span
			if day == to {
				break
			}
		}
	}
	return nil
}

func mapKeys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for key := range m {
			if !yield(key) {
				return
			}
		}
	}
}

func dayRange(text string) (from, to time.Weekday, err error) {
	if text == "daily" {
		return time.Sunday, time.Saturday, nil
	}
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	i, j := slices.Index(weekdays(), first), slices.Index(weekdays(), last)
	if i < 0 || j < 0 {
		return 0, 0, fmt.Errorf("%q is no day: write daily, mon, or mon-fri", text)
	}
	return time.Weekday(i), time.Weekday(j), nil
}

func parseSpan(text string) (Span, error) {
	m := regexp.MustCompile(`^(\d\d):(\d\d)-(\d\d):(\d\d)$`).FindStringSubmatch(text)
	if m == nil {
		return Span{}, fmt.Errorf("%q is no span of a day: write 09:00-17:30", text)
	}
	number := func(s string) int { n, _ := strconv.Atoi(s); return n } // the pattern has digits only
	span := Span{From: number(m[1])*minutesPerHour + number(m[2]), To: number(m[3])*minutesPerHour + number(m[4])}
	if number(m[2]) >= minutesPerHour || number(m[4]) >= minutesPerHour || span.To > minutesPerDay || span.From >= minutesPerDay || span.From == span.To {
		return Span{}, fmt.Errorf("%q is no span of a day: from 00:00 to 24:00, over midnight as 22:00-06:00", text)
	}
	if span.To < span.From {
		span.To += minutesPerDay
	}
	return span, nil
}

// Date is a day without a time or zone; the zero Date is none.
type Date struct{ time.Time }

// UnmarshalYAML reads 2026-10-18.
func (d *Date) UnmarshalYAML(node *yaml.Node) error {
	day, err := time.Parse(time.DateOnly, node.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is no day such as 2026-10-18", node.Line, node.Value)
	}
	d.Time = day
	return nil
}

// String is the week for people: daily 08:00-21:00, or mon-fri 09:00-18:00, sat-sun 10:00-17:00.
func (w Week) String() string {
	names := weekdays()
	var parts []string
	for i := 1; i <= len(names); {
		span, open := w[time.Weekday(i%len(names))]
		first := i
		for i++; i <= len(names); i++ {
			if next, is := w[time.Weekday(i%len(names))]; next != span || is != open {
				break
			}
		}
		if !open {
			continue
		}
		days := names[first%len(names)]
		switch last := i - 1; {
		case last-first == len(names)-1:
			days = "daily"
		case last > first:
			days += "-" + names[last%len(names)]
		}
		parts = append(parts, days+" "+span.String())
	}
	return strings.Join(parts, ", ")
}

// String is the span as law.yaml has it.
func (s Span) String() string {
	clock := func(minutes int) string {
		return fmt.Sprintf("%02d:%02d", minutes/minutesPerHour, minutes%minutesPerHour)
	}
	if s.To > minutesPerDay {
		return clock(s.From) + "-" + clock(s.To-minutesPerDay)
	}
	return clock(s.From) + "-" + clock(s.To)
}
