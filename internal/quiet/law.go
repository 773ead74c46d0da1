package quiet

import (
	"embed"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/message"
)

//go:embed law.yaml places.yaml countries.yaml zips.yaml
var shipped embed.FS

// Row is one rule about hours: of a country, a state, or a window with a name.
type Row struct {
	Windows    Week     `yaml:"windows"`
	Limit      *Limit   `yaml:"limit"`      // on marketing about one subject; nil: none
	Closed     []string `yaml:"closed"`     // sunday, saturday, or the name of a list of holidays
	From       Date     `yaml:"from"`       // holds from this day on; zero: always
	Until      Date     `yaml:"until"`      // holds up to the day before; zero: for ever
	Zone       string   `yaml:"zone"`       // counts in this zone instead of the person's; only for `unknown`
	Source     string   `yaml:"source"`     // where the rule stands
	Confidence string   `yaml:"confidence"` // law, several, few, unconfirmed, house

	zone *time.Location
}

// Limit is how many messages about one subject a person may get in a span of time.
type Limit struct {
	Messages int           `yaml:"messages"`
	Per      time.Duration `yaml:"per"`
}

// String is the limit for people: 3 messages in 24h.
func (l Limit) String() string { return message.Cap{Messages: l.Messages, Per: l.Per}.Bound() }

// Country is the row of a country with those of its states.
type Country struct {
	Row     `yaml:",inline"`
	Unknown *Row            `yaml:"unknown"` // for a person of whom no state is known
	Regions map[string]*Row `yaml:"regions"`
}

// table is the form of law.yaml and of an operator's file.
type table struct {
	Reviewed  string               `yaml:"reviewed"`
	Default   *Row                 `yaml:"default"`
	Countries map[string]*Country  `yaml:"countries"`
	Holidays  map[string]*Holidays `yaml:"holidays"`
	Named     map[string]*Row      `yaml:"named"`
}

type area struct {
	country, region string
	zones           []*time.Location
}

// wide is a country with more than one time.
type wide struct {
	Zones  []string `yaml:"zones"`
	ByArea bool     `yaml:"by_area"` // mobile numbers have area codes

	zones []*time.Location
}

type zipRange struct {
	From  int    `yaml:"from"`
	To    int    `yaml:"to"`
	State string `yaml:"state"`
}

// Law is all that is known about hours. It does not change after Load and is safe for concurrent use.
type Law struct {
	rules  table
	zones  *Zones
	places map[string]map[string][]*time.Location // country, region
	areas  map[int]*area
	wide   map[string]wide
	zips   []zipRange
}

// Options say what goes over the shipped tables.
type Options struct {
	File    string // an operator's table; its rows replace those of the same country, state or name; empty: none
	Unknown string // hours of people of whom no US state is known: on (as the table says), off, or 12:00-20:00; empty: on
}

// Load reads the shipped tables and what goes over them. All mistakes are reported at once, each as file:line: mistake.
func Load(zones *Zones, options Options) (*Law, error) {
	l := &Law{zones: zones, places: map[string]map[string][]*time.Location{}, areas: map[int]*area{}}
	const name = "law.yaml"
	text, err := shipped.ReadFile(name)
	if err == nil {
		err = decode(name, text, &l.rules)
	}
	if err == nil {
		err = l.loadPlaces()
	}
	if err == nil {
		err = l.check(newSource(name, text))
	}
	if err == nil && options.File != "" {
		err = l.loadOwn(options.File)
	}
	if err == nil {
		err = l.setUnknown(options.Unknown)
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Shipped is the law without any setting.
func Shipped() (*Law, error) {
	zones, err := OpenZones("")
	if err != nil {
		return nil, err
	}
	return Load(zones, Options{})
}

// loadOwn lays an operator's file over the shipped table.
func (l *Law) loadOwn(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the quiet hours: %w", err)
	}
	var own table
	if err := decode(file, text, &own); err != nil {
		return err
	}
	in := newSource(file, text)
	if err := own.incomplete(in); err != nil {
		return err
	}
	l.rules.lay(own)
	return l.check(in)
}

// incomplete tells of countries of an operator's table that have a part of a row only. A country without windows keeps our row, and
// what else stands there for it would be lost.
func (f *table) incomplete(in source) error {
	var problems []error
	for _, code := range slices.Sorted(maps.Keys(f.Countries)) {
		if country := f.Countries[code]; country != nil && len(country.Windows) == 0 && country.saysMore() {
			problems = append(problems, in.at("country "+code+" has no windows, and its row would replace ours as a whole: write the windows too", "countries", code))
		}
	}
	return errors.Join(problems...)
}

// saysMore tells whether a row has anything but windows.
func (r *Row) saysMore() bool {
	return r.Limit != nil || len(r.Closed) > 0 || !r.From.IsZero() || !r.Until.IsZero() || r.Zone+r.Source+r.Confidence != ""
}

// setUnknown replaces the hours of people of whom no state is known.
func (l *Law) setUnknown(text string) error {
	if text == "" || text == "on" {
		return nil
	}
	var windows Week
	if text != "off" {
		span, err := parseSpan(text)
		if err != nil {
			return fmt.Errorf("the quiet hours of unknown places are on, off or a span of the day: %w", err)
		}
		windows = everyDay(span)
	}
	for _, country := range l.rules.Countries {
		switch {
		case country.Unknown == nil:
		case text == "off":
			country.Unknown = nil
		default:
			row := *country.Unknown
			row.Windows, row.Source, row.Confidence = windows, "setting", "house"
			country.Unknown = &row
		}
	}
	return nil
}

// lay puts an operator's rows over ours.
func (f *table) lay(own table) {
	if own.Default != nil {
		f.Default = own.Default
	}
	for code, country := range own.Countries {
		ours := f.Countries[code]
		if ours == nil || country == nil {
			f.Countries[code] = country
			continue
		}
		if len(country.Windows) > 0 {
			ours.Row = country.Row
		}
		if country.Unknown != nil {
			ours.Unknown = country.Unknown
		}
		if ours.Regions == nil {
			ours.Regions = map[string]*Row{}
		}
		maps.Copy(ours.Regions, country.Regions)
	}
	maps.Copy(f.Holidays, own.Holidays)
	maps.Copy(f.Named, own.Named)
}

// loadPlaces reads where area codes and postal codes are.
func (l *Law) loadPlaces() error {
	type part struct {
		Codes []int    `yaml:"codes"`
		Zones []string `yaml:"zones"`
	}
	type region struct {
		part  `yaml:",inline"`
		Apart []part `yaml:"apart"`
	}
	var countries map[string]map[string]region
	for name, into := range map[string]any{"places.yaml": &countries, "countries.yaml": &l.wide, "zips.yaml": &l.zips} {
		text, err := shipped.ReadFile(name)
		if err == nil {
			err = decode(name, text, into)
		}
		if err != nil {
			return err
		}
	}
	for code, country := range l.wide {
		zones, err := l.all(country.Zones)
		if err != nil {
			return fmt.Errorf("countries.yaml: %s: %w", code, err)
		}
		country.zones = zones
		l.wide[code] = country
	}
	for country, regions := range countries {
		l.places[country] = map[string][]*time.Location{}
		for code, r := range regions {
			for _, p := range append([]part{r.part}, r.Apart...) {
				zones, err := l.all(p.Zones)
				if err != nil {
					return fmt.Errorf("places.yaml: %s-%s: %w", country, code, err)
				}
				if l.places[country][code] == nil {
					l.places[country][code] = zones
				}
				for _, npa := range p.Codes {
					l.areas[npa] = &area{country: country, region: code, zones: zones}
				}
			}
		}
	}
	return nil
}

func (l *Law) all(names []string) ([]*time.Location, error) {
	zones := make([]*time.Location, len(names))
	for i, name := range names {
		zone, err := l.zones.Get(name)
		if err != nil {
			return nil, err
		}
		zones[i] = zone
	}
	return zones, nil
}

// Named tells whether there is a window with this name.
func (l *Law) Named(name string) bool { return l.rules.Named[name] != nil }

// Names are the windows with names, sorted.
func (l *Law) Names() []string { return slices.Sorted(maps.Keys(l.rules.Named)) }

// Reviewed is the day on which somebody last went through the table.
func (l *Law) Reviewed() string { return l.rules.Reviewed }

// Zones are the zone data that the table counts with.
func (l *Law) Zones() *Zones { return l.zones }

// EachRow calls f with every row of the table that is in use, for listings and tests.
func (l *Law) EachRow(f func(name string, row Row)) {
	f("default", *l.rules.Default)
	for _, code := range slices.Sorted(maps.Keys(l.rules.Countries)) {
		country := l.rules.Countries[code]
		f(code, country.Row)
		if country.Unknown != nil {
			f(code+", place not known", *country.Unknown)
		}
		for _, region := range slices.Sorted(maps.Keys(country.Regions)) {
			f(code+"-"+region, *country.Regions[region])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.rules.Named)) {
		f(name, *l.rules.Named[name])
	}
}

// Markdown is the row as a line of the table in docs/compliance.md.
func (r *Row) Markdown(name string) string {
	hours := r.Windows.String()
	if r.Zone != "" {
		hours += " in " + r.Zone
	}
	if !r.From.IsZero() {
		hours += ", from " + r.From.Format(time.DateOnly)
	}
	if !r.Until.IsZero() {
		hours += ", until " + r.Until.Format(time.DateOnly)
	}
	limit := ""
	if r.Limit != nil {
		limit = r.Limit.String()
	}
	return "| " + strings.Join([]string{name, hours, strings.Join(r.Closed, ", "), limit, r.Confidence, r.Source}, " | ") + " |"
}
