package quiet_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/quiet"
)

// One window, zone by zone, around every kind of jump that clocks make. Each case asks from a while before, and wants an opening and
// its end in UTC. Transitions: IANA Time Zone Database.
func TestOpeningsAroundJumps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, zone, window, from, opens, until string }{
		{"New York, spring: eight comes sooner", "America/New_York", "08:00-20:00", "2026-03-08T04:00Z", "2026-03-08T12:00Z", "2026-03-09T00:00Z"},
		{"New York, autumn: and later", "America/New_York", "08:00-20:00", "2026-11-01T04:00Z", "2026-11-01T13:00Z", "2026-11-02T01:00Z"},
		{"Berlin, spring: it opens in the hour that is skipped", "Europe/Berlin", "02:30-09:00", "2026-03-28T23:00Z", "2026-03-29T01:00Z", "2026-03-29T07:00Z"},
		{"Berlin, spring: it closes in it", "Europe/Berlin", "01:00-02:30", "2026-03-28T23:00Z", "2026-03-29T00:00Z", "2026-03-29T01:00Z"},
		{"Berlin, autumn: it opens in the hour that comes twice", "Europe/Berlin", "02:30-09:00", "2026-10-24T22:00Z", "2026-10-25T01:30Z", "2026-10-25T08:00Z"},
		{"Berlin, autumn: it closes in it", "Europe/Berlin", "01:00-02:30", "2026-10-24T22:00Z", "2026-10-24T23:00Z", "2026-10-25T00:30Z"},
		{"Berlin, spring: all of it is skipped", "Europe/Berlin", "02:00-03:00", "2026-03-28T23:00Z", "2026-03-30T00:00Z", "2026-03-30T01:00Z"},
		{"Lord Howe, autumn: half an hour comes twice", "Australia/Lord_Howe", "01:45-09:00", "2026-04-04T13:30Z", "2026-04-04T15:15Z", "2026-04-04T22:30Z"},
		{"Lord Howe, autumn: it closes in it", "Australia/Lord_Howe", "00:45-01:45", "2026-04-04T13:30Z", "2026-04-04T13:45Z", "2026-04-04T14:45Z"},
		{"Lord Howe, spring: it opens in the half hour that is skipped", "Australia/Lord_Howe", "02:15-09:00", "2026-10-03T14:00Z", "2026-10-03T15:30Z", "2026-10-03T22:00Z"},
		{"Santiago, spring at midnight: the day begins at one", "America/Santiago", "00:00-06:00", "2026-09-06T01:00Z", "2026-09-06T04:00Z", "2026-09-06T09:00Z"},
		{"Santiago, spring: until midnight, which is skipped", "America/Santiago", "20:00-24:00", "2026-09-05T22:00Z", "2026-09-06T00:00Z", "2026-09-06T04:00Z"},
		{"Havana, spring at midnight", "America/Havana", "00:00-06:00", "2026-03-08T01:00Z", "2026-03-08T05:00Z", "2026-03-08T10:00Z"},
		{"Havana, autumn: the hour after midnight comes twice", "America/Havana", "00:30-06:00", "2026-11-01T03:00Z", "2026-11-01T05:30Z", "2026-11-01T11:00Z"},
		{"Beirut, autumn: the hour before midnight comes twice", "Asia/Beirut", "20:00-24:00", "2026-10-24T15:00Z", "2026-10-24T17:00Z", "2026-10-24T22:00Z"},
		{"Beirut, autumn: it closes in that hour", "Asia/Beirut", "20:00-23:30", "2026-10-24T15:00Z", "2026-10-24T17:00Z", "2026-10-24T20:30Z"},
		{"Cairo, spring at midnight", "Africa/Cairo", "00:30-06:00", "2026-04-23T20:00Z", "2026-04-23T22:00Z", "2026-04-24T03:00Z"},
		{"Apia, the Friday that never was: Thursday, then Saturday", "Pacific/Apia", "09:00-17:00", "2011-12-30T04:00Z", "2011-12-30T19:00Z", "2011-12-31T03:00Z"},
		{"over midnight, in spring", "America/New_York", "22:00-06:00", "2026-03-08T00:00Z", "2026-03-08T03:00Z", "2026-03-08T05:00Z"},
		{"over midnight: its second part", "America/New_York", "22:00-06:00", "2026-03-08T05:00Z", "2026-03-08T05:00Z", "2026-03-08T10:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			law := load(t, write(t, fmt.Sprintf(`named: {it: {windows: {daily: %q}, source: test, confidence: house}}`, c.window)))
			place := law.Locate(mobile, quiet.Hints{Zone: c.zone})
			require.Equal(t, c.zone, place.Zones[0].String())
			moment := func(text string) time.Time {
				at, err := time.Parse("2006-01-02T15:04Z", text)
				require.NoError(t, err)
				return at
			}
			answer, err := law.Ask(moment(c.from), place, "it", false)
			require.NoError(t, err)
			require.Equal(t, moment(c.opens), answer.Opens.UTC())
			require.Equal(t, moment(c.until), answer.Until.UTC())
		})
	}
}

// Minute by minute over changes of the clocks, with the clock itself as the judge: whatever is open, the clock on the wall says so.
func TestOpenOnlyWhenTheClockSaysSo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ zone, from string }{
		{"America/New_York", "2026-03-07T00:00:00Z"},
		{"America/New_York", "2026-10-31T00:00:00Z"},
		{"Australia/Lord_Howe", "2026-04-03T00:00:00Z"},
		{"Australia/Lord_Howe", "2026-10-02T00:00:00Z"},
		{"America/Santiago", "2026-09-05T00:00:00Z"},
		{"Asia/Beirut", "2026-10-24T00:00:00Z"},
		{"Africa/Cairo", "2026-04-23T00:00:00Z"},
		{"Pacific/Apia", "2011-12-29T00:00:00Z"},
		{"Africa/Casablanca", "2026-02-14T00:00:00Z"},
	} {
		for _, window := range [][2]int{{0, 120}, {90, 150}, {480, 1200}, {1320, 1440}, {1350, 1530}} {
			text := fmt.Sprintf("%02d:%02d-%02d:%02d", window[0]/60, window[0]%60, window[1]%1440/60, window[1]%60)
			if window[1] == 1440 {
				text = fmt.Sprintf("%02d:%02d-24:00", window[0]/60, window[0]%60)
			}
			law := load(t, write(t, fmt.Sprintf(`named: {it: {windows: {daily: %q}, source: test, confidence: house}}`, text)))
			place := law.Locate(mobile, quiet.Hints{Zone: c.zone})
			opened := 0
			for moment, i := at(t, c.from), 0; i < 3*24*60; moment, i = moment.Add(time.Minute), i+1 {
				answer, err := law.Ask(moment, place, "it", false)
				require.NoError(t, err)
				if !answer.Open {
					require.True(t, answer.Opens.After(moment), "%s %s at %s", c.zone, text, moment)
					continue
				}
				opened++
				local := moment.In(place.Zones[0])
				clock := local.Hour()*60 + local.Minute()
				inside := clock >= window[0] && clock < window[1] || clock+1440 < window[1]
				require.True(t, inside, "%s is open at %s, which the clock calls %s", text, moment, local)
			}
			require.Positive(t, opened, "%s %s", c.zone, text)
		}
	}
}

func TestOverMidnightAndClosedDays(t *testing.T) {
	t.Parallel()
	law := load(t, write(t, `named: {night: {windows: {fri-sat: "22:00-02:00"}, closed: [sunday], source: test, confidence: house}}`))
	place := law.Locate(newYork, quiet.Hints{})
	ask := func(from string) quiet.Answer {
		answer, err := law.Ask(at(t, from), place, "night", false)
		require.NoError(t, err)
		return answer
	}
	require.True(t, ask("2026-06-13T01:30:00-04:00").Open, "Friday's window, on Saturday")
	require.True(t, ask("2026-06-13T23:30:00-04:00").Open)
	sunday := ask("2026-06-14T01:00:00-04:00")
	require.False(t, sunday.Open, "Sunday is closed, also for what began on Saturday")
	require.Equal(t, at(t, "2026-06-19T22:00:00-04:00").UTC(), sunday.Opens.UTC())
}

// An opening that nobody could make use of is none: a message that waited for it would be put off each day, and never go.
func TestOverlapThatIsTooShort(t *testing.T) {
	t.Parallel()
	law := load(t, write(t, `named: {it: {windows: {mon-fri: "07:00-08:02", sat: "07:00-08:03"}, source: test, confidence: house}}`))
	place := law.Locate(newYork, quiet.Hints{})
	answer, err := law.Ask(at(t, "2026-06-10T08:00:30-04:00"), place, "it", true) // the law opens at 8
	require.NoError(t, err)
	require.False(t, answer.Open)
	require.Equal(t, at(t, "2026-06-13T08:00:00-04:00").UTC(), answer.Opens.UTC())
	require.Equal(t, 3*time.Minute, answer.Until.Sub(answer.Opens))
	for i := range 100 {
		moment := answer.Spread(15*time.Minute, strconv.Itoa(i))
		may, err := law.May(moment, place, "it", true)
		require.NoError(t, err)
		require.True(t, may.Open, "spread to %s", moment)
	}
}
