package quiet_test

import (
	"testing"
	"time"

	"github.com/nyaruka/phonenumbers"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/quiet"
)

func load(t *testing.T, override string) *quiet.Law {
	t.Helper()
	zones, err := quiet.OpenZones("")
	require.NoError(t, err)
	law, err := quiet.Load(zones, quiet.Options{File: override})
	require.NoError(t, err)
	return law
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	moment, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return moment
}

// People: made-up numbers of the ranges for fiction.
const (
	newYork   = address.Address("+12125550123")
	miami     = address.Address("+13055550123")
	pensacola = address.Address("+18505550123") // both zones of Florida
	dallas    = address.Address("+12145550123")
	elPaso    = address.Address("+19155550123")
	losAngels = address.Address("+13105550123")
	honolulu  = address.Address("+18085550123")
	tollFree  = address.Address("+18005550123")
	toronto   = address.Address("+14165550123")
	london    = address.Address("+442079460123")
	mobile    = address.Address("+447700900123")
)

func TestAsk(t *testing.T) {
	t.Parallel()
	law := load(t, "")
	for _, test := range []struct {
		name      string
		to        address.Address
		hints     quiet.Hints
		wish      quiet.Wish
		marketing bool
		at        string
		opens     string // empty: open now
	}{
		{name: "federal morning", to: newYork, at: "2026-06-10T07:59:59-04:00", opens: "2026-06-10T08:00:00-04:00"},
		{name: "federal opening", to: newYork, at: "2026-06-10T08:00:00-04:00"},
		{name: "federal evening", to: newYork, at: "2026-06-10T20:59:59-04:00"},
		{name: "federal closing", to: newYork, at: "2026-06-10T21:00:00-04:00", opens: "2026-06-11T08:00:00-04:00"},
		{name: "Florida closes at 20", to: miami, at: "2026-06-10T20:00:00-04:00", opens: "2026-06-11T08:00:00-04:00"},
		{name: "two zones: the west opens later", to: pensacola, at: "2026-06-10T08:30:00-04:00", opens: "2026-06-10T09:00:00-04:00"},
		{name: "two zones: the east closes earlier", to: pensacola, at: "2026-06-10T19:30:00-05:00", opens: "2026-06-11T08:00:00-05:00"},
		{name: "Texas on Sunday", to: dallas, at: "2026-06-14T09:30:00-05:00", opens: "2026-06-14T12:00:00-05:00"},
		{name: "Texas on Monday", to: dallas, at: "2026-06-15T09:30:00-05:00"},
		{name: "El Paso has its own zone", to: elPaso, at: "2026-06-15T09:30:00-05:00", opens: "2026-06-15T09:00:00-06:00"},
		{name: "Alabama: Sunday", to: "+12055550123", at: "2026-06-14T12:00:00-05:00", opens: "2026-06-15T08:00:00-05:00"},
		{name: "Alabama: Memorial Day after a Sunday", to: "+12055550123", at: "2026-05-24T12:00:00-05:00", opens: "2026-05-26T08:00:00-05:00"},
		{name: "Alabama: Thanksgiving", to: "+12055550123", at: "2026-11-26T12:00:00-06:00", opens: "2026-11-27T08:00:00-06:00"},
		{name: "Pennsylvania: Sunday before the ban", to: "+12155550123", at: "2026-10-11T12:00:00-04:00"},
		{name: "Pennsylvania: first Sunday of the ban", to: "+12155550123", at: "2026-10-18T12:00:00-04:00", opens: "2026-10-19T08:00:00-04:00"},
		{name: "toll-free tells no place: vendors' hours", to: tollFree, at: "2026-06-10T11:00:00-04:00", opens: "2026-06-10T14:00:00-04:00"},
		{name: "toll-free, open everywhere", to: tollFree, at: "2026-06-10T15:00:00-04:00"},
		{name: "address before number", to: newYork, hints: quiet.Hints{State: "Hawaii"}, at: "2026-06-10T12:00:00-04:00", opens: "2026-06-10T08:00:00-10:00"},
		{name: "postal code before number", to: newYork, hints: quiet.Hints{PostalCode: "96801"}, at: "2026-06-10T12:00:00-04:00", opens: "2026-06-10T08:00:00-10:00"},
		{name: "time zone before number", to: newYork, hints: quiet.Hints{Zone: "America/Los_Angeles"}, at: "2026-06-10T09:00:00-04:00", opens: "2026-06-10T08:00:00-07:00"},
		{name: "a time zone is the clock, the number tells the state", to: miami, hints: quiet.Hints{Zone: "America/Los_Angeles"}, at: "2026-06-10T20:00:00-07:00", opens: "2026-06-11T08:00:00-07:00"},
		{name: "toll-free with a time zone: the vendors' hours there", to: tollFree, hints: quiet.Hints{Zone: "America/Los_Angeles"}, at: "2026-06-10T11:00:00-07:00", opens: "2026-06-10T12:00:00-07:00"},
		{name: "toll-free with an address", to: tollFree, hints: quiet.Hints{State: "NY"}, at: "2026-06-10T08:00:00-04:00"},
		{name: "a postal code that lost its zero is none", to: newYork, hints: quiet.Hints{PostalCode: "2138"}, at: "2026-06-10T20:30:00-04:00"},
		{name: "of nine digits", to: newYork, hints: quiet.Hints{PostalCode: "02138-1234"}, at: "2026-06-10T20:30:00-04:00", opens: "2026-06-11T08:00:00-04:00"},
		{name: "Jamaica shares +1: its own clock, no US law", to: "+18765550123", at: "2026-06-14T08:30:00-05:00", opens: "2026-06-14T09:00:00-05:00"},
		{name: "the Dominican Republic, too", to: "+18095550123", at: "2026-06-10T20:00:00-04:00", opens: "2026-06-11T09:00:00-04:00"},
		{name: "Puerto Rico is US", to: "+17875550123", at: "2026-06-10T08:00:00-04:00"},
		{name: "Guam is, on its own day", to: "+16715550123", at: "2026-06-10T07:59:00+10:00", opens: "2026-06-10T08:00:00+10:00"},
		{name: "an area code that is not in use: anywhere in the US", to: "+12115550123", at: "2026-06-10T11:00:00-04:00", opens: "2026-06-10T14:00:00-04:00"},
		{name: "a number of no country: as one of the US of no state", to: "+9991234567", at: "2026-06-10T11:00:00-04:00", opens: "2026-06-10T14:00:00-04:00"},
		{name: "a satellite telephone", to: "+870773111632", at: "2026-06-10T11:00:00-04:00", opens: "2026-06-10T14:00:00-04:00"},
		{name: "what is no address at all", to: "n/a", at: "2026-06-10T11:00:00-04:00", opens: "2026-06-10T14:00:00-04:00"},
		{name: "a WhatsApp id of the US: anywhere in it", to: "US.13491208655302741918", at: "2026-06-10T11:00:00-04:00", opens: "2026-06-10T14:00:00-04:00"},
		{name: "a WhatsApp id of Germany", to: "DE.13491208655302741918", at: "2026-06-10T08:00:00+02:00", opens: "2026-06-10T09:00:00+02:00"},
		{name: "an Australian mobile may be in Perth", to: "+61412345678", at: "2026-06-10T10:00:00+10:00", opens: "2026-06-10T09:00:00+08:00"},
		{name: "or on Lord Howe Island", to: "+61412345678", at: "2026-06-10T20:00:00+10:30", opens: "2026-06-11T09:00:00+08:00"},
		{name: "a telephone in Perth is there", to: "+61892211234", at: "2026-06-10T18:00:00+10:00"},
		{name: "a Russian mobile: one hour for eleven zones", to: "+79121234567", at: "2026-06-10T12:00:00Z", opens: "2026-06-11T07:00:00Z"},
		{name: "a Brazilian mobile has an area code", to: "+5592991234567", at: "2026-06-10T08:30:00-04:00", opens: "2026-06-10T09:00:00-04:00"},
		{name: "Brazil by address: all of it", to: newYork, hints: quiet.Hints{Country: "Brazil"}, at: "2026-06-10T09:30:00-03:00", opens: "2026-06-10T09:00:00-05:00"},
		{name: "Canaries", to: "+34612345678", at: "2026-06-10T09:30:00+02:00", opens: "2026-06-10T10:00:00+02:00"},
		{name: "Independence Day on a Saturday: the Friday is closed", to: "+12055550123", at: "2026-07-03T12:00:00-05:00", opens: "2026-07-06T08:00:00-05:00"},
		{name: "and the day itself", to: "+12055550123", at: "2026-07-04T12:00:00-05:00", opens: "2026-07-06T08:00:00-05:00"},
		{name: "Juneteenth on a Sunday: the Monday is closed", to: "+12055550123", at: "2033-06-20T12:00:00-05:00", opens: "2033-06-21T08:00:00-05:00"},
		{name: "New Year's Day on a Saturday: the last day of the year", to: "+12055550123", at: "2027-12-31T12:00:00-06:00", opens: "2028-01-03T08:00:00-06:00"},
		{name: "Mardi Gras", to: "+15045550123", at: "2026-02-17T12:00:00-06:00", opens: "2026-02-18T08:00:00-06:00"},
		{name: "Good Friday in Germany", to: "+4930901820", at: "2026-04-03T12:00:00+02:00", opens: "2026-04-04T09:00:00+02:00"},
		{name: "Easter Monday in Germany", to: "+4930901820", at: "2027-03-29T12:00:00+02:00", opens: "2027-03-30T09:00:00+02:00"},
		{name: "Ascension Day in France", to: "+33142345678", at: "2026-05-14T12:00:00+02:00", opens: "2026-05-15T08:00:00+02:00"},
		{name: "an unknown zone is no zone", to: newYork, hints: quiet.Hints{Zone: "Mars/Base"}, at: "2026-06-10T09:00:00-04:00"},
		{name: "another country", to: newYork, hints: quiet.Hints{Country: "Germany"}, at: "2026-06-10T08:30:00+02:00", opens: "2026-06-10T09:00:00+02:00"},
		{name: "a code of no country is left out", to: newYork, hints: quiet.Hints{Country: "EN"}, at: "2026-06-10T05:00:00-04:00", opens: "2026-06-10T08:00:00-04:00"},
		{name: "Canada on Saturday", to: toronto, at: "2026-06-13T18:00:00-04:00", opens: "2026-06-14T10:00:00-04:00"},
		{name: "London", to: london, at: "2026-06-10T07:30:00+01:00", opens: "2026-06-10T08:00:00+01:00"},
		{name: "British mobile: three zones", to: mobile, at: "2026-06-10T20:00:00+01:00", opens: "2026-06-11T08:00:00+01:00"},
		{name: "ignore", to: newYork, wish: quiet.Ignore, at: "2026-06-10T03:00:00-04:00"},
		{name: "marketing can't ignore", to: newYork, wish: quiet.Ignore, marketing: true, at: "2026-06-10T03:00:00-04:00", opens: "2026-06-10T08:00:00-04:00"},
		{name: "a window with a name", to: newYork, wish: "office-hours", at: "2026-06-12T17:00:00-04:00", opens: "2026-06-15T09:00:00-04:00"},
		{name: "a window with a name and the law", to: elPaso, wish: "office-hours", marketing: true, at: "2026-06-15T08:30:00-06:00", opens: "2026-06-15T09:00:00-06:00"},
		{name: "Hawaii keeps its time", to: honolulu, at: "2026-01-10T07:00:00-10:00", opens: "2026-01-10T08:00:00-10:00"},
		{name: "California opens at 9", to: losAngels, at: "2026-06-10T08:30:00-07:00", opens: "2026-06-10T09:00:00-07:00"},
		// Clocks change on 2026-03-08 and 2026-11-01 in New York.
		{name: "spring forward: eight o'clock comes an hour sooner", to: newYork, at: "2026-03-08T00:30:00-05:00", opens: "2026-03-08T08:00:00-04:00"},
		{name: "fall back: and an hour later", to: newYork, at: "2026-11-01T00:30:00-04:00", opens: "2026-11-01T08:00:00-05:00"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			wish := test.wish
			if wish == "" {
				wish = quiet.Respect
			}
			answer, err := law.Ask(at(t, test.at), law.Locate(test.to, test.hints), wish, test.marketing)
			require.NoError(t, err)
			if test.opens == "" {
				require.True(t, answer.Open, "opens %s, for %s", answer.Opens, answer.Why)
				return
			}
			require.False(t, answer.Open)
			require.Equal(t, at(t, test.opens).UTC(), answer.Opens.UTC())
			require.NotEmpty(t, answer.Why)
			again, err := law.Ask(answer.Opens, law.Locate(test.to, test.hints), wish, test.marketing)
			require.NoError(t, err)
			require.True(t, again.Open, "what it promised is not open")
		})
	}
}

// A window in the hours in which clocks change: never longer than it says on the wall.
func TestClocksChange(t *testing.T) {
	t.Parallel()
	law := load(t, write(t, `named: {night: {windows: {daily: "01:30-02:30"}, source: test, confidence: house}}`))
	place := law.Locate(newYork, quiet.Hints{})
	ask := func(from string) quiet.Answer {
		answer, err := law.Ask(at(t, from), place, "night", false)
		require.NoError(t, err)
		return answer
	}
	fall := ask("2026-11-01T00:30:00-04:00") // 01:30 comes twice
	require.Equal(t, at(t, "2026-11-01T01:30:00-05:00").UTC(), fall.Opens.UTC())
	require.Equal(t, at(t, "2026-11-01T02:30:00-05:00").UTC(), fall.Until.UTC())
	spring := ask("2026-03-08T00:30:00-05:00") // 02:30 does not come
	require.Equal(t, at(t, "2026-03-08T01:30:00-05:00").UTC(), spring.Opens.UTC())
	require.False(t, spring.Until.After(at(t, "2026-03-08T03:00:00-04:00")), "it closes when the clock jumps over its end")
}

func TestNoCommonOpening(t *testing.T) {
	t.Parallel()
	law := load(t, write(t, `named: {never: {windows: {mon: "03:00-04:00"}, source: test, confidence: house}}`))
	_, err := law.Ask(at(t, "2026-06-10T12:00:00Z"), law.Locate(newYork, quiet.Hints{}), "never", true)
	require.ErrorIs(t, err, quiet.ErrNoOpening)
	_, err = law.Ask(at(t, "2026-06-10T12:00:00Z"), law.Locate(newYork, quiet.Hints{}), "nameless", true)
	require.ErrorContains(t, err, `no window "nameless"`)
}

func TestSpread(t *testing.T) {
	t.Parallel()
	law := load(t, "")
	answer, err := law.Ask(at(t, "2026-06-10T03:00:00-04:00"), law.Locate(newYork, quiet.Hints{}), quiet.Respect, false)
	require.NoError(t, err)
	seen := map[time.Time]bool{}
	for _, key := range []string{"a", "b", "c", "d"} {
		moment := answer.Spread(15*time.Minute, key)
		require.False(t, moment.Before(answer.Opens))
		require.Less(t, moment.Sub(answer.Opens), 15*time.Minute)
		require.Equal(t, moment, answer.Spread(15*time.Minute, key))
		seen[moment] = true
	}
	require.Greater(t, len(seen), 2)
}

// Every country that has numbers has a clock of its own: nobody's is that of UTC for want of another.
func TestEveryCountryHasAClock(t *testing.T) {
	t.Parallel()
	law := load(t, "")
	for country := range phonenumbers.GetSupportedRegions() {
		place := law.Locate(tollFree, quiet.Hints{Country: country})
		require.NotEmpty(t, place.Zones, country)
		require.NotEqual(t, []*time.Location{time.UTC}, place.Zones, country)
	}
}
