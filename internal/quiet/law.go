package quiet

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"go.yaml.in/yaml/v4"
)

//go:embed law.yaml places.yaml zips.yaml
var shipped embed.FS

// Row is one rule about hours: of a country, a state, or a window with a name.
type Row struct {
	Windows    Week     `yaml:"windows"`
	Closed     []string `yaml:"closed"`     // sunday, saturday, or the name of a list of holidays
	From       Date     `yaml:"from"`       // holds from this day on; zero: always
	Until      Date     `yaml:"until"`      // holds up to the day before; zero: for ever
	Zone       string   `yaml:"zone"`       // counts in this zone instead of the person's; only for `unknown`
	Source     string   `yaml:"source"`     // where the rule stands
	Confidence string   `yaml:"confidence"` // law, several, few, unconfirmed, house

	zone *time.Location
}

// Country is the row of a country with those of its states.
type Country struct {
	Row     `yaml:",inline"`
	Unknown *Row            `yaml:"unknown"` // for a person of whom no state is known
	Regions map[string]*Row `yaml:"regions"`
}

// Holidays is a list of days.
type Holidays struct {
	Source string    `yaml:"source"`
	Days   []Holiday `yaml:"days"`
}

// file is the form of law.yaml and of an operator's file.
type file struct {
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

type zipRange struct {
	From  int    `yaml:"from"`
	To    int    `yaml:"to"`
	State string `yaml:"state"`
}

// Law is all that is known about hours. It does not change after Load and is safe for concurrent use.
type Law struct {
	rules  file
	zones  *Zones
	places map[string]map[string][]*time.Location // country, region
	areas  map[int]*area
	zips   []zipRange
}

// errTable marks the errors of Load.
var errTable = errors.New("the table of quiet hours has mistakes")

// Load reads the shipped tables and, over them, an operator's file when there is one. Its rows replace those of the same country,
// state or name. All mistakes are reported at once.
func Load(zones *Zones, override string) (*Law, error) {
	l := &Law{zones: zones, places: map[string]map[string][]*time.Location{}, areas: map[int]*area{}}
	text, err := shipped.ReadFile("law.yaml")
	if err == nil {
		err = decode(text, &l.rules)
	}
	if err != nil {
		return nil, fmt.Errorf("law.yaml: %w", err)
	}
	if err := l.loadPlaces(); err != nil {
		return nil, err
	}
	name := "law.yaml"
	if override != "" {
		name = override
		body, err := os.ReadFile(override)
		if err != nil {
			return nil, fmt.Errorf("read the quiet hours: %w", err)
		}
		var own file
		if err := decode(body, &own); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", errTable, override, err)
		}
		l.rules.lay(own)
	}
	if err := l.check(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errTable, name, err)
	}
	return l, nil
}

func decode(text []byte, into any) error {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// lay puts an operator's rows over ours.
func (f *file) lay(own file) {
	if own.Default != nil {
		f.Default = own.Default
	}
	for code, country := range own.Countries {
		ours := f.Countries[code]
		if ours == nil {
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

// check looks at what YAML does not: names of holidays and zones.
func (l *Law) check() error {
	var problems []error
	look := func(what string, row *Row) {
		if row == nil {
			return
		}
		if len(row.Windows) == 0 {
			problems = append(problems, fmt.Errorf("%s has no windows: when may people be written to?", what))
		}
		for _, name := range row.Closed {
			if name != "sunday" && name != "saturday" && l.rules.Holidays[name] == nil {
				problems = append(problems, fmt.Errorf("%s is closed on %q, which is neither saturday, sunday nor a list of holidays", what, name))
			}
		}
		if row.Zone != "" {
			zone, err := l.zones.Get(row.Zone)
			if err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", what, err))
			}
			row.zone = zone
		}
	}
	look("default", l.rules.Default)
	for _, code := range slices.Sorted(maps.Keys(l.rules.Countries)) {
		country := l.rules.Countries[code]
		look("country "+code, &country.Row)
		look("country "+code+", unknown", country.Unknown)
		for _, region := range slices.Sorted(maps.Keys(country.Regions)) {
			look("region "+code+"-"+region, country.Regions[region])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.rules.Named)) {
		look("window "+name, l.rules.Named[name])
	}
	return errors.Join(problems...)
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
	for name, into := range map[string]any{"places.yaml": &countries, "zips.yaml": &l.zips} {
		text, err := shipped.ReadFile(name)
		if err == nil {
			err = decode(text, into)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
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
