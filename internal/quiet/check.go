package quiet

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"
)

// check looks at what YAML does not: names of countries, regions, holidays and zones, and values out of range. Mistakes are told with
// their place in a file.
func (l *Law) check(in source) error {
	c := &checker{law: l, in: in}
	c.row(l.rules.Default, "default", "default")
	for _, code := range slices.Sorted(maps.Keys(l.rules.Countries)) {
		c.country(code, l.rules.Countries[code])
	}
	for _, name := range slices.Sorted(maps.Keys(l.rules.Named)) {
		if name == string(Respect) || name == string(Ignore) {
			c.wrong("window "+name, "has a name that means something else in a rule", "named", name)
		}
		c.row(l.rules.Named[name], "window "+name, "named", name)
	}
	for _, name := range slices.Sorted(maps.Keys(l.rules.Holidays)) {
		c.holidays(name, l.rules.Holidays[name])
	}
	return errors.Join(c.problems...)
}

// checker collects the mistakes of a table.
type checker struct {
	law      *Law
	in       source
	problems []error
}

func (c *checker) wrong(what, mistake string, path ...string) {
	c.problems = append(c.problems, c.in.at(what+" "+mistake, path...))
}

func (c *checker) country(code string, country *Country) {
	what, path := "country "+code, []string{"countries", code}
	if !regexp.MustCompile(`^[A-Z]{2}$`).MatchString(code) {
		c.wrong(what, "is no country code such as DE", path...)
	}
	if country == nil {
		c.wrong(what, "is empty", path...)
		return
	}
	c.row(&country.Row, what, path...)
	if country.Unknown != nil {
		c.unknown(country.Unknown, what+", unknown", append(path, "unknown")...)
	}
	for _, region := range slices.Sorted(maps.Keys(country.Regions)) {
		what, path := "region "+code+"-"+region, append(slices.Clone(path), "regions", region)
		if c.law.places[code][region] == nil {
			c.wrong(what, "is none that a person could be found in", path...)
		}
		c.row(country.Regions[region], what, path...)
	}
}

// unknown is row for the hours of people of whom no state is known, which may count in one zone.
func (c *checker) unknown(row *Row, what string, path ...string) {
	c.row(&Row{Windows: row.Windows, Limit: row.Limit, Closed: row.Closed, From: row.From, Until: row.Until}, what, path...)
	if row.Zone == "" {
		return
	}
	var err error
	if row.zone, err = c.law.zones.Get(row.Zone); err != nil {
		c.wrong(what, fmt.Sprintf("counts in %q, and there is no such time zone", row.Zone), path...)
	}
}

func (c *checker) row(row *Row, what string, path ...string) {
	if row == nil {
		c.wrong(what, "is empty", path...)
		return
	}
	if row.Zone != "" {
		c.wrong(what, "has a zone: only \"unknown\" of a country counts in one, all other rows by the person's clock", path...)
	}
	if !row.From.IsZero() && !row.Until.IsZero() && !row.From.Before(row.Until.Time) {
		c.wrong(what, "holds until "+row.Until.Format(time.DateOnly)+" and from "+row.From.Format(time.DateOnly)+" on, so never", path...)
	}
	if len(row.Windows) == 0 {
		c.wrong(what, "has no windows: when may people be written to?", path...)
	}
	for _, name := range row.Closed {
		if name != "sunday" && name != "saturday" && c.law.rules.Holidays[name] == nil {
			c.wrong(what, fmt.Sprintf("is closed on %q, which is neither saturday, sunday nor a list of holidays", name), path...)
		}
	}
	if limit := row.Limit; limit != nil && (limit.Messages < 1 || limit.Per < time.Minute) {
		c.wrong(what, "has a limit that is not like {messages: 3, per: 24h}", path...)
	}
}

func (c *checker) holidays(name string, list *Holidays) {
	if list == nil {
		c.wrong("the list of holidays "+name, "is empty", "holidays", name)
		return
	}
	for i := range list.Days {
		if mistake := list.Days[i].mistake(); mistake != "" {
			c.wrong(fmt.Sprintf("holiday %q of %s", list.Days[i].Name, name), mistake, "holidays", name)
		}
	}
}
