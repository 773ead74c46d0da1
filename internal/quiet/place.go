package quiet

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nyaruka/phonenumbers"

	"github.com/beckonhq/beckon/internal/address"
)

// Hints is what a rule says of where a person is, as the CRM has it. All may be empty.
type Hints struct {
	Zone       string // time zone, Europe/Berlin
	Country    string // ISO 3166-1 code, or the English name of one in the table
	State      string // code or English name of a US state or Canadian province
	PostalCode string
}

// Place is where a person may be. Every zone and every region of it is possible.
type Place struct {
	Country string           // ISO 3166-1, empty when not known
	Regions []string         // codes of states or provinces; empty when not known or of no matter
	Zones   []*time.Location // at least one
	From    string           // what told it: time_zone, address, number, nothing
}

// byZone is the From of a place whose time zone was given.
const byZone = "time_zone"

// Locate finds where a person is: by a time zone and an address when there are, else by the number. A time zone says what the clock
// shows; whose law holds is still said by the address, else by the number. What is not known makes the place larger, never smaller.
func (l *Law) Locate(to address.Address, hints Hints) Place {
	byNumber := l.byNumber(to)
	place := byNumber
	country, regions := l.byAddress(hints, byNumber.Country)
	switch {
	case country == "":
	case len(regions) > 0:
		place = Place{Country: country, Regions: regions, Zones: l.zonesOf(country, regions), From: "address"}
	case country != byNumber.Country:
		place = l.wholeCountry(country, "address")
	}
	if zone, err := l.zones.Get(hints.Zone); err == nil {
		place.Zones, place.From = []*time.Location{zone}, byZone
	}
	return place
}

// byAddress reads the country and the state of an address. A state or US postal code without a country belongs to the country of
// the number.
func (l *Law) byAddress(hints Hints, numberCountry string) (country string, regions []string) {
	country = l.CountryCode(hints.Country)
	if country == "" && (hints.State != "" || hints.PostalCode != "") {
		country = numberCountry
	}
	states := l.places[country]
	if states == nil {
		return country, nil
	}
	if code := stateCode(country, hints.State); states[code] != nil {
		return country, []string{code}
	}
	if country == "US" {
		if code := l.stateOfZIP(hints.PostalCode); code != "" {
			return country, []string{code}
		}
	}
	return country, nil
}

func (l *Law) stateOfZIP(postal string) string {
	const zip, zipPlus4, prefixDigits = 5, 9, 3
	digits := strings.ReplaceAll(strings.TrimSpace(postal), "-", "")
	if _, err := strconv.ParseUint(digits, 10, 64); err != nil || len(digits) != zip && len(digits) != zipPlus4 {
		return "" // such as 2138, of 02138 in a spreadsheet: 213 is another state's
	}
	prefix, _ := strconv.Atoi(digits[:prefixDigits]) // it has digits only
	for _, r := range l.zips {
		if r.From <= prefix && prefix <= r.To {
			return r.State
		}
	}
	return ""
}

// byNumber reads country, state and zones from a phone number.
func (l *Law) byNumber(to address.Address) Place {
	number, err := phonenumbers.Parse(string(to), "")
	if err != nil { // a business-scoped id of WhatsApp may tell the country
		if country := to.Country(); country != "" {
			return l.wholeCountry(country, "number")
		}
		return l.nowhere()
	}
	if code, ok := areaCode(to); ok {
		if area := l.areas[code]; area != nil {
			return Place{Country: area.country, Regions: []string{area.region}, Zones: area.zones, From: "number"}
		}
		return l.unknownAmerican(number)
	}
	country := phonenumbers.GetRegionCodeForNumber(number)
	if country == "" { // not in a range that is in use
		country = phonenumbers.GetRegionCodeForCountryCode(int(number.GetCountryCode()))
	}
	if all := l.wide[country]; all.zones != nil && !all.ByArea && phonenumbers.GetNumberType(number) != phonenumbers.FIXED_LINE {
		return Place{Country: country, Zones: all.zones, From: "number"}
	}
	if zones := l.libraryZones(number); len(zones) > 0 {
		return Place{Country: country, Zones: zones, From: "number"}
	}
	return l.nowhere()
}

// nowhere is the place of who may be anywhere, as somebody with a satellite telephone. It counts as the United States, where the rules
// are the strictest.
func (l *Law) nowhere() Place { return l.wholeCountry("US", "nothing") }

// libraryZones are the zones that the phone number library gives for a number. It gives some for numbers that can't exist, too.
func (l *Law) libraryZones(number *phonenumbers.PhoneNumber) []*time.Location {
	names, err := phonenumbers.GetTimezonesForNumber(number)
	if err != nil {
		return nil
	}
	var zones []*time.Location
	for _, name := range names {
		if zone, err := l.zones.Get(name); err == nil {
			zones = append(zones, zone)
		}
	}
	return zones
}

// unknownAmerican is a number of the North American plan that tells no place: toll-free, or of a Caribbean country.
func (l *Law) unknownAmerican(number *phonenumbers.PhoneNumber) Place {
	country := phonenumbers.GetRegionCodeForNumber(number)
	if country == "" || country == "001" {
		country = "US"
	}
	if l.places[country] != nil {
		return l.wholeCountry(country, "nothing")
	}
	if zones := l.libraryZones(number); len(zones) > 0 {
		return Place{Country: country, Zones: zones, From: "number"}
	}
	return l.nowhere()
}

// wholeCountry is a country of which nothing nearer is known: no region is named, all of its zones are possible.
func (l *Law) wholeCountry(country, from string) Place {
	var all []string
	for region := range l.places[country] {
		if !territory(region) {
			all = append(all, region)
		}
	}
	slices.Sort(all)
	place := Place{Country: country, Zones: l.zonesOf(country, all), From: from}
	if len(place.Zones) == 0 {
		place.Zones = l.countryZones(country)
	}
	return place
}

// territory tells whether a region of the US lies so far from the others that a number which tells nothing is not taken as
// one of it: the zones of all of them have no common daytime.
func territory(region string) bool {
	return slices.Contains([]string{"AS", "GU", "MP", "PR", "VI"}, region)
}

func (l *Law) zonesOf(country string, regions []string) []*time.Location {
	var zones []*time.Location
	for _, region := range regions {
		for _, zone := range l.places[country][region] {
			if !slices.Contains(zones, zone) {
				zones = append(zones, zone)
			}
		}
	}
	return zones
}

// countryZones are all of a country's when it has several, else those of its example number; UTC when the library knows none.
func (l *Law) countryZones(country string) []*time.Location {
	if all := l.wide[country]; all.zones != nil {
		return all.zones
	}
	if example := phonenumbers.GetExampleNumber(country); example != nil {
		if zones := l.libraryZones(example); len(zones) > 0 {
			return zones
		}
	}
	return []*time.Location{time.UTC}
}

// areaCode is the area code of a number of the North American plan.
func areaCode(to address.Address) (int, bool) {
	const length, begin, end = 12, 2, 5 // +1 NPA NXX XXXX
	if len(to) != length || !strings.HasPrefix(string(to), "+1") {
		return 0, false
	}
	code, err := strconv.Atoi(string(to[begin:end]))
	return code, err == nil
}
