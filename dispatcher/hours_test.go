package dispatcher

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	hours "github.com/beckonhq/beckon/internal/quiet"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

// lawWith is the shipped law with an operator's file over it.
func lawWith(t *testing.T, text string) *hours.Law {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hours.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	zones, err := hours.OpenZones("")
	require.NoError(t, err)
	law, err := hours.Load(zones, hours.Options{File: file})
	require.NoError(t, err)
	return law
}

// alwaysOpen lets tests of other things run at any time of day: their people are in California, or in Florida. The windows `closed` and `never` are for
// tests of hours: closed is open on one day, three days from now.
func alwaysOpen(t *testing.T) *hours.Law {
	t.Helper()
	day := strings.ToLower(time.Now().UTC().Add(3 * 24 * time.Hour).Weekday().String()[:3])
	return lawWith(t, fmt.Sprintf(`
countries: {US: {windows: {daily: "00:00-24:00"}, regions: {CA: {windows: {daily: "00:00-24:00"}}, FL: {windows: {daily: "00:00-24:00"}, limit: {messages: 3, per: 24h}}}}}
named:
  open: {windows: {daily: "00:00-24:00"}}
  closed: {windows: {%s: "00:00-24:00"}}
  never: {windows: {sun: "10:00-11:00"}, closed: [sunday]}
`, day))
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	moment, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return moment
}

func wishing(to address.Address, wish string) message.Message {
	m := sms(to, "x")
	m.ID, m.Hours = "a", &message.Hours{Wish: wish}
	return m
}

// The gate with the shipped law, around openings, closings and both changes of the clocks in New York in 2026: on March 8 and
// November 1, 08:00 is one hour of UTC apart from the day before.
func TestHoursGate(t *testing.T) {
	t.Parallel()
	const newYork, miami, tollFree, berlin = address.Address("+12125550123"), address.Address("+13055550123"),
		address.Address("+18005550123"), address.Address("+4930901820")
	marketing := sms(newYork, "x")
	marketing.Purpose = message.Marketing
	marketing.Hours = &message.Hours{Wish: "ignore"}
	older := marketing
	older.Hours = nil
	moved := wishing(newYork, "respect")
	moved.Hours.Zone = "America/Los_Angeles"
	addressed := wishing(newYork, "respect")
	addressed.Hours.Country, addressed.Hours.State = "USA", "Florida"
	for name, c := range map[string]struct {
		message message.Message
		now     string
		opens   string // empty: it passes
		closed  string
	}{
		"before the opening":                {wishing(newYork, "respect"), "2026-06-10T11:59:00Z", "2026-06-10T12:00:00Z", "US in America/New_York"},
		"at the opening":                    {wishing(newYork, "respect"), "2026-06-10T12:00:00Z", "", ""},
		"before the closing":                {wishing(newYork, "respect"), "2026-06-11T00:58:59Z", "", ""},
		"too near to the closing":           {wishing(newYork, "respect"), "2026-06-11T00:59:00Z", "2026-06-11T12:00:00Z", "US in America/New_York"},
		"the evening before the spring":     {wishing(newYork, "respect"), "2026-03-08T03:00:00Z", "2026-03-08T12:00:00Z", "US in America/New_York"},
		"an evening in winter":              {wishing(newYork, "respect"), "2026-03-07T03:00:00Z", "2026-03-07T13:00:00Z", "US in America/New_York"},
		"the evening before the autumn":     {wishing(newYork, "respect"), "2026-11-01T02:00:00Z", "2026-11-01T13:00:00Z", "US in America/New_York"},
		"an evening in summer":              {wishing(newYork, "respect"), "2026-10-31T02:00:00Z", "2026-10-31T12:00:00Z", "US in America/New_York"},
		"the state closes earlier":          {wishing(miami, "respect"), "2026-06-11T00:30:00Z", "2026-06-11T12:00:00Z", "US-FL in America/New_York"},
		"the time zone of the record":       {moved, "2026-06-10T14:00:00Z", "2026-06-10T15:00:00Z", "US in America/Los_Angeles"},
		"an address, both zones of Florida": {addressed, "2026-06-11T00:30:00Z", "2026-06-11T13:00:00Z", "US-FL in America/New_York"},
		"nobody knows where":                {wishing(tollFree, "respect"), "2026-06-10T15:00:00Z", "2026-06-10T18:00:00Z", "US in America/Anchorage"},
		"a Sunday in Germany":               {wishing(berlin, "respect"), "2026-06-07T10:00:00Z", "2026-06-08T07:00:00Z", "DE in Europe/Berlin"},
		"a window with a name":              {wishing(newYork, "office-hours"), "2026-06-10T22:00:00Z", "2026-06-11T13:00:00Z", "office-hours in America/New_York"},
		"transactional, without a wish":     {sms(newYork, "x"), "2026-06-10T06:00:00Z", "", ""},
		"marketing can't ignore":            {marketing, "2026-06-10T06:00:00Z", "2026-06-10T12:00:00Z", "US in America/New_York"},
		"marketing of before there was it":  {older, "2026-06-10T06:00:00Z", "2026-06-10T12:00:00Z", "US in America/New_York"},
	} {
		if c.message.ID == "" {
			c.message.ID = "a"
		}
		now := at(t, c.now)
		verdict := bare(everySender()).judge(store.Candidate{
			Message: c.message, Now: now, Consent: consent.State{{Channel: consent.AllChannels, Action: consent.OptIn, At: now}},
		})
		if c.opens == "" {
			require.Equal(t, message.SMS, verdict.Send, name)
			continue
		}
		require.True(t, verdict.Defer, name)
		require.Equal(t, message.ReasonQuietHours, verdict.Behind, name)
		opens := at(t, c.opens)
		require.WithinRange(t, now.Add(verdict.Wait), opens, opens.Add(openingSpread), name)
		require.Len(t, verdict.Answers, 1, name)
		require.Contains(t, verdict.Answers[0].Words, c.closed, name)
	}
}

func TestHoursGateWithoutAnOpening(t *testing.T) {
	t.Parallel()
	gate := hoursGate(alwaysOpen(t))
	ask := func(wish string) ruling {
		return gate(&store.Candidate{Message: wishing(person, wish), Now: time.Now()}, message.SMS)
	}
	require.Equal(t, ruling{}, ask("open"))
	require.Equal(t, ruling{}, gate(&store.Candidate{Message: wishing(person, "open"), Now: at(t, "2026-06-11T06:59:30Z")}, message.SMS),
		"midnight closes nothing that opens at midnight")
	never := ask("never")
	require.Equal(t, message.ReasonQuietHours, never.refuse)
	require.Contains(t, never.words, "two weeks")
	gone := ask("gone")
	require.Equal(t, noWindowWait, gone.wait)
	require.False(t, gone.defers, "its time runs: nobody may put the window back")
	require.Contains(t, gone.words, `there is no window "gone"`)
}

// Twilio's queue may be hours long: what is called before the closing does not leave it after that.
func TestTwilioIsToldWhenHoursClose(t *testing.T) {
	t.Parallel()
	l := bare(everySender())
	const newYork = address.Address("+12125550123")
	now := at(t, "2026-06-10T23:30:00Z") // half past seven in the evening
	closes := func(m message.Message, expires time.Duration) time.Time {
		return l.judge(store.Candidate{Message: m, Now: now, ExpiresAt: now.Add(expires)}).Closes
	}
	require.Equal(t, at(t, "2026-06-11T01:00:00Z"), closes(wishing(newYork, "respect"), 4*time.Hour).UTC())
	require.Zero(t, closes(wishing(newYork, "respect"), time.Hour), "it is too late before that")
	require.Zero(t, closes(sms(newYork, "x"), 4*time.Hour), "its rule asks for no hours")
	night := at(t, "2026-06-11T06:00:00Z")
	require.Zero(t, l.closing(&store.Candidate{Message: wishing(newYork, "respect"), Now: night, ExpiresAt: night.Add(4 * time.Hour)}), "the gate tells of that")
	l.closing = func(c *store.Candidate) time.Time { return closing(alwaysOpen(t), c) }
	require.Zero(t, closes(wishing(newYork, "respect"), 48*time.Hour), "midnight closes nothing that opens at midnight")

	claimed := store.Claimed{Expires: time.Now().Add(4 * time.Hour), Closes: time.Now().Add(90 * time.Minute), Channel: message.SMS, Message: sms(person, "x")}
	require.InDelta(t, 90*60, l.request(claimed).ValidityPeriod.Seconds(), 60)
	claimed.Expires = time.Now().Add(time.Hour)
	require.InDelta(t, 60*60, l.request(claimed).ValidityPeriod.Seconds(), 60)
}

// What waited for one opening goes out over a quarter of an hour.
func TestOpeningIsSpread(t *testing.T) {
	t.Parallel()
	l := bare(everySender())
	now, quarters := at(t, "2026-06-10T10:00:00Z"), map[int]int{}
	for i := range 300 {
		m := wishing("+12125550123", "respect")
		m.ID = fmt.Sprintf("0197%028d", i)
		wait := l.judge(store.Candidate{Message: m, Now: now}).Wait - 2*time.Hour
		require.GreaterOrEqual(t, wait, time.Duration(0))
		quarters[int(4*wait/openingSpread)]++
		require.Equal(t, wait, l.judge(store.Candidate{Message: m, Now: now}).Wait-2*time.Hour, "it stays at its place")
	}
	require.Len(t, quarters, 4)
	for quarter, n := range quarters {
		require.Greater(t, n, 45, quarter)
	}
}

// From the queue to the person: a closed window defers, marketing too, an opening lets go, no opening suppresses, and what was
// permitted before ends when its time does.
func TestQuietHours(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twiliosim.Config{})
	w.start()
	require.NoError(t, w.AddConsent(t.Context(), consent.Entry{
		Org: testOrg, Address: "+14155550111", Channel: consent.AllChannels, Action: consent.OptIn, Source: consent.FromOperator, Evidence: "x",
	}))
	marketing := wishing("+14155550111", "closed")
	marketing.Purpose = message.Marketing
	ids := w.queue(wishing(person, "open"), wishing("+14155550110", "closed"), marketing, wishing("+14155550112", "never"))
	w.becomes(ids[0], message.Delivered)
	require.Equal(t, message.ReasonQuietHours, w.becomes(ids[3], message.Suppressed).Reason)
	require.Contains(t, w.message(ids[3]).Detail, "two weeks")
	for _, id := range ids[1:3] {
		require.True(t, w.wait(func() bool { return w.message(id).Reason == message.ReasonQuietHours }))
		m := w.message(id)
		require.Equal(t, message.Queued, m.State)
		require.Greater(t, time.Until(m.NotBefore), 24*time.Hour)
		require.Equal(t, 1, w.number(`select count(*) from message where id = $1 and permitted_at is null`, id), "its time has not begun")
		require.Equal(t, 1, w.number(`select count(*) from gate_answer where message_id = $1 and answers->0->>'gate' = 'hours'
			and answers->0->>'words' like 'until %closed by closed in America/Los_Angeles'`, id))
	}
	// A younger message to the same person is not held up.
	w.becomes(w.queue(sms("+14155550110", "now"))[0], message.Delivered)

	// The opening comes.
	w.exec(`update message set hours = '{"wish": "open"}', not_before = now() where id = $1`, ids[1])
	w.exec(`update belt set due_at = now() where message_id = $1`, ids[1])
	w.becomes(ids[1], message.Delivered)

	// Of a message that was permitted once, the time runs on through the night.
	w.exec(`update message set not_before = now(), permitted_at = now() - interval '3 hours' where id = $1`, ids[2])
	w.exec(`update belt set due_at = now() where message_id = $1`, ids[2])
	require.Equal(t, message.ReasonValidity, w.becomes(ids[2], message.Expired).Reason)
	require.Len(t, w.outbound(), 3)
}
