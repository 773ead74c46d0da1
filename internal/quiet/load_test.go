package quiet_test

import (
	"archive/zip"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nyaruka/phonenumbers"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/quiet"
)

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "quiet.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func TestOverride(t *testing.T) {
	t.Parallel()
	law := load(t, write(t, `
countries:
  US: {regions: {NY: {windows: {mon-fri: "10:00-18:00"}, source: our counsel, confidence: law}}}
  AT: {windows: {mon-sat: "09:00-20:00"}, source: our counsel, confidence: law}
`))
	answer, err := law.Ask(at(t, "2026-06-13T12:00:00-04:00"), law.Locate(newYork, quiet.Hints{}), quiet.Respect, true)
	require.NoError(t, err)
	require.Equal(t, at(t, "2026-06-15T10:00:00-04:00").UTC(), answer.Opens.UTC())
	kept, err := law.Ask(at(t, "2026-06-13T20:30:00-04:00"), law.Locate(miami, quiet.Hints{}), quiet.Respect, true)
	require.NoError(t, err)
	require.False(t, kept.Open, "the rows that are not replaced stay")
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	zones, err := quiet.OpenZones("")
	require.NoError(t, err)
	for text, want := range map[string]string{
		`countries: {US: {window: {daily: "08:00-21:00"}}}`:                                  "window",
		`named: {a: {windows: {daily: "8-21"}}}`:                                             "no span of a day",
		`named: {a: {windows: {daily: "21:00-21:00"}}}`:                                      "over midnight as 22:00-06:00",
		`countries: {de: {windows: {daily: "08:00-09:00"}}}`:                                 "country de is no country code",
		`countries: {CH: {windows: {daily: "08:00-09:00"}}, AT: }`:                           "country AT is empty",
		`countries: {US: {regions: {TEX: {windows: {daily: "08:00-09:00"}}}}}`:               "region US-TEX is none",
		`countries: {US: {regions: {NY: {windows: {daily: "08:00-09:00"}}, TX: }}}`:          "region US-TX is empty",
		`named: {b: {windows: {daily: "08:00-09:00"}}, a: }`:                                 "window a is empty",
		`named: {ignore: {windows: {daily: "08:00-09:00"}}}`:                                 "means something else",
		`named: {a: {windows: {daily: "08:00-09:00"}, limit: {messages: 3}}}`:                "limit that is not like",
		`holidays: {b: {days: [{name: x, month: 1, day: 1}]}, a: }`:                          "list of holidays a is empty",
		`holidays: {a: {days: [{name: x, month: 13, day: 1}]}}`:                              "month 13",
		`holidays: {a: {days: [{name: x, month: 1, weekday: funday, nth: 1}]}}`:              "funday",
		`holidays: {a: {days: [{name: x, month: 1, weekday: friday}]}}`:                      "with nth",
		`holidays: {a: {days: [{name: x, month: 2, day: 0}]}}`:                               "day 0",
		`holidays: {a: {days: [{name: x, easter: 1, month: 2}]}}`:                            "besides",
		`named: {a: {windows: {someday: "08:00-09:00"}}}`:                                    "is no day",
		`named: {a: {windows: {daily: "08:00-09:00", mon: "08:00-09:00"}}}`:                  "stands twice",
		`named: {a: {source: x}}`:                                                            "has no windows",
		`named: {a: {windows: {daily: "08:00-09:00"}, closed: [doomsday]}}`:                  "doomsday",
		`countries: {US: {unknown: {windows: {daily: "08:00-09:00"}, zone: Mars/Base}}}`:     "Mars/Base",
		`named: {a: {windows: {daily: "08:00-09:00"}, zone: Europe/Berlin}}`:                 "by the person's clock",
		`countries: {US: {closed: [us-federal]}}`:                                            "country US has no windows",
		`countries: {US: {limit: {messages: 1, per: 24h}, regions: {}}}`:                     "country US has no windows",
		`named: {a: {windows: {daily: "08:00-09:00"}, from: 2026-02-01, until: 2026-01-01}}`: "so never",
		`named: {a: {windows: {daily: "08:00-09:00"}, from: tomorrow}}`:                      "no day such as",
		`countries: {US: {regions: {NY: {windows: {daily: "08:00-09:00"}, clsd: []}}}}`:      "clsd",
	} {
		_, err := quiet.Load(zones, quiet.Options{File: write(t, "# ours\n"+text)})
		require.ErrorContains(t, err, want, text)
		require.ErrorContains(t, err, "quiet.yaml:2: ", text)
	}
	_, err = quiet.Load(zones, quiet.Options{File: "/nowhere.yaml"})
	require.ErrorContains(t, err, "nowhere.yaml")
}

// Every row says where it comes from and how sure that is.
func TestShippedRowsHaveSources(t *testing.T) {
	t.Parallel()
	law := load(t, "")
	law.EachRow(func(name string, row quiet.Row) {
		require.NotEmpty(t, row.Source, name)
		require.Contains(t, []string{"law", "several", "few", "unconfirmed", "house"}, row.Confidence, name)
	})
}

// The area codes, against what the phone number library knows: each code that can be a number of the US or Canada is in the table,
// and the library's zones keep the same time as one of ours.
func TestAreaCodes(t *testing.T) {
	t.Parallel()
	law := load(t, "")
	moments := []time.Time{at(t, "2025-01-15T12:00:00Z"), at(t, "2025-07-15T12:00:00Z")}
	offsets := func(zone *time.Location) string {
		_, winter := moments[0].In(zone).Zone()
		_, summer := moments[1].In(zone).Zone()
		return fmt.Sprint(winter, summer)
	}
	// The library gives these a neighbour's zone. Overlays serve the same area as the code beside them: 474 that of 306, 689 that of
	// 407; and Labrador changes its clocks, which Puerto Rico does not.
	wrong := map[int]string{474: "America/Winnipeg", 689: "America/Chicago", 709: "America/Puerto_Rico", 879: "America/Puerto_Rico"}
	checked := 0
	for code := 200; code < 1000; code++ {
		to := address.Address(fmt.Sprintf("+1%d2345678", code))
		number, err := phonenumbers.Parse(string(to), "")
		if err != nil || !phonenumbers.IsValidNumber(number) {
			continue
		}
		country := phonenumbers.GetRegionCodeForNumber(number)
		names, err := phonenumbers.GetTimezonesForNumber(number)
		const everywhere = 10 // numbers without a place have dozens of zones
		if country != "US" && country != "CA" || err != nil || len(names) > everywhere {
			continue
		}
		place := law.Locate(to, quiet.Hints{})
		require.Equal(t, country, place.Country, "area code %d", code)
		if place.From == "nothing" {
			t.Errorf("area code %d of %s is not in places.yaml; the library says %v", code, country, names)
			continue
		}
		require.NotEmpty(t, place.Regions, "area code %d", code)
		checked++
		var ours []string
		for _, zone := range place.Zones {
			ours = append(ours, offsets(zone))
		}
		for _, name := range names {
			zone, err := time.LoadLocation(name)
			require.NoError(t, err)
			if !slices.Contains(ours, offsets(zone)) && wrong[code] != name {
				t.Errorf("area code %d (%v) has %v, the library says %s", code, place.Regions, place.Zones, name)
			}
		}
	}
	require.Greater(t, checked, 350)
}

func TestZones(t *testing.T) {
	t.Parallel()
	machine, err := quiet.OpenZones("")
	require.NoError(t, err)
	text, _ := machine.Version()
	require.NotEmpty(t, text)
	_, err = machine.Get("Mars/Base")
	require.ErrorContains(t, err, "Mars/Base")

	zipped := filepath.Join(t.TempDir(), "zoneinfo.zip")
	out, err := os.Create(zipped)
	require.NoError(t, err)
	archive := zip.NewWriter(out)
	entry, err := archive.Create("America/New_York")
	require.NoError(t, err)
	_, err = entry.Write(tzif("EST5EDT,M3.2.0,M11.1.0"))
	require.NoError(t, err)
	require.NoError(t, archive.Close())
	require.NoError(t, out.Close())
	packed, err := quiet.OpenZones(zipped)
	require.NoError(t, err)
	text, _ = packed.Version()
	require.Equal(t, zipped, text)

	_, err = quiet.OpenZones("/nowhere")
	require.ErrorContains(t, err, "/nowhere")
	empty := t.TempDir()
	_, err = quiet.OpenZones(empty)
	require.ErrorContains(t, err, "America/New_York")
}

// Data that know what changed in 2026: Vancouver stays on -07:00. Made here, in the format of RFC 8536, with a footer only.
func TestNewerZones(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(name, rule string) {
		file := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o750))
		require.NoError(t, os.WriteFile(file, tzif(rule), 0o600))
	}
	put("America/New_York", "EST5EDT,M3.2.0,M11.1.0")
	put("America/Vancouver", "PST8PDT,M3.2.0,M11.1.0")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "+VERSION"), []byte("2025b\n"), 0o600))
	old, err := quiet.OpenZones(dir)
	require.NoError(t, err)
	text, warning := old.Version()
	require.Equal(t, "2025b from "+dir, text)
	require.Contains(t, warning, "older than 2026e")

	// Without a name, what they say of the three provinces counts.
	require.NoError(t, os.Remove(filepath.Join(dir, "+VERSION")))
	for _, name := range []string{"America/Vancouver", "America/Edmonton", "America/Winnipeg"} {
		nameless, err := quiet.OpenZones(dir)
		require.NoError(t, err)
		text, warning = nameless.Version()
		require.Equal(t, dir, text)
		require.Contains(t, warning, "older than 2026e", "before %s", name)
		put(name, "MST7")
	}
	newer, err := quiet.OpenZones(dir)
	require.NoError(t, err)
	_, warning = newer.Version()
	require.Empty(t, warning)
	for version, old := range map[string]bool{"2026d": true, "2026e": false, "2026f": false, "2027a": false} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "tzdata.zi"), []byte("# version "+version+"\n"), 0o600))
		named, err := quiet.OpenZones(dir)
		require.NoError(t, err)
		_, warning = named.Version()
		require.Equal(t, old, warning != "", version)
	}
	zone, err := newer.Get("America/New_York")
	require.NoError(t, err)
	require.Equal(t, "2026-07-01T08:00:00-04:00", at(t, "2026-07-01T12:00:00Z").In(zone).Format(time.RFC3339))
}

// tzif is a file of zone data, version 2, whose one rule is in its footer.
func tzif(rule string) []byte {
	block := func() []byte {
		header := append([]byte("TZif2"), make([]byte, 15)...)
		counts := []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4} // one type, four characters
		return append(append(header, counts...), 0, 0, 0, 0, 0, 0, 'U', 'T', 'C', 0)
	}
	return append(append(append(block(), block()...), '\n'), []byte(rule+"\n")...)
}
