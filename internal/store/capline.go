package store

import (
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/message"
)

const (
	// personJitter bounds what is added to the wait for a cap of a person, so that a campaign whose messages were put off together does
	// not come back in one second.
	personJitter = 15 * time.Minute
	// longestLine is the longest wait in a line, or the window where that is longer: each message is looked at again at least as often.
	longestLine = 24 * time.Hour
)

// queueUp gives a deferred message a place: the wait until it is looked at again, which is room at least.
//
// In the wider scopes one message comes back when there is room, and those behind it one by one, at the pace at which the cap lets
// through in the long run. A thousand messages behind a full cap so cost about a thousand looks, and not a thousand each time that
// there is room for one. The place is no claim to the room: whoever comes and finds room goes.
func (b *capBook) queueUp(now time.Time, room time.Duration, need int) time.Duration {
	jitter := min(b.Per/capSpread, personJitter)
	if b.Scope == message.PerPerson {
		return room + rand.N(jitter+1) //nolint:gosec // jitter needs no secrecy
	}
	at := now.Add(room)
	if b.line.After(at) {
		at = b.line
	}
	if wait, most := at.Sub(now), max(longestLine, b.Per); wait > most { // its end can't be told from here: nobody takes a place
		return most - rand.N(most/capSpread+1) //nolint:gosec // the same
	}
	b.line, b.moved = at.Add(b.step(need)), true
	return at.Sub(now)
}

// step is the time in which a full cap has room for one more message, in the long run.
func (b *capBook) step(need int) time.Duration {
	whole, step := b.Per+b.bucket(), time.Duration(0)
	if b.Messages > 0 {
		step = whole / time.Duration(b.Messages)
	}
	if b.Segments > 0 {
		step = max(step, whole/time.Duration(b.Segments)*time.Duration(min(need, b.Segments)))
	}
	return step
}

// bucket is how finely a wider scope counts.
func (b *capBook) bucket() time.Duration { return max(b.Per/bucketsPerWindow, time.Second) }

// queueLines reads how long the lines of the wider scopes are.
func (l *ledgerOfCaps) queueLines(p *pipeline, names, keys []string) {
	p.query(`select l.name, l.key, l.next_at from unnest($1::text[], $2::text[]) u (name, key)
		join cap_line l on l.name = u.name and l.key = u.key`, func(rows pgx.Rows) error {
		var key capKey
		var next time.Time
		return each(rows, []any{&key.name, &key.key, &next}, func() error {
			if book := l.books[key]; book != nil {
				book.line = next
			}
			return nil
		})
	}, names, keys)
}

// queuePlaces stores the lines that grew.
func (l *ledgerOfCaps) queuePlaces(p *pipeline) {
	if l == nil {
		return
	}
	var names, keys []string
	var next []time.Time
	for key, book := range l.books {
		if book.moved {
			names, keys, next = append(names, key.name), append(keys, key.key), append(next, book.line)
		}
	}
	if len(names) > 0 {
		p.exec(`insert into cap_line as l (name, key, next_at) select * from unnest($1::text[], $2::text[], $3::timestamptz[])
			on conflict (name, key) do update set next_at = excluded.next_at`, names, keys, next)
	}
}
