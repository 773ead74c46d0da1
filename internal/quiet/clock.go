package quiet

import "time"

// probe is how far from a moment UTC may call it another time: more than the largest offset of a zone and the longest jump of a
// clock (Samoa skipped a day in 2011). Clocks are taken to change at most once within two of it.
const probe = 40 * time.Hour

// wall is the moment at which the clock of a zone shows a time: so many minutes after the midnight at which a date begins, more than a
// day's for a later date. Where the clock shows it twice, late chooses the second; where it skips it, it is the moment of the jump.
//
// It does not rely on time.Date, which may give either side of a jump, and knows nothing of jumps by half an hour (Lord Howe), at
// midnight (Cairo, Santiago) or of a whole day.
func wall(date time.Time, minutes int, zone *time.Location, late bool) time.Time {
	shown := time.Date(date.Year(), date.Month(), date.Day(), 0, minutes, 0, 0, time.UTC) // as if the clock were in UTC
	before, after := atOffsetOf(shown.Add(-probe), shown, zone), atOffsetOf(shown.Add(probe), shown, zone)
	first, second := shows(before, shown), shows(after, shown)
	switch {
	case first && second && late == after.After(before):
		return after
	case first:
		return before
	case second:
		return after
	}
	jump, _ := before.ZoneBounds() // the old offset leads past the jump
	return jump
}

// atOffsetOf is the moment at which the clock shows a time if it has the offset of another moment.
func atOffsetOf(moment, shown time.Time, zone *time.Location) time.Time {
	_, offset := moment.In(zone).Zone()
	return shown.Add(-time.Duration(offset) * time.Second).In(zone)
}

// shows tells whether the clock shows a time at a moment.
func shows(moment, shown time.Time) bool {
	_, offset := moment.Zone()
	return moment.Unix()+int64(offset) == shown.Unix()
}
