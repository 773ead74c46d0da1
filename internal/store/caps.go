package store

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/message"
)

// capLockClass sets the locks of counters apart from any other advisory lock in the database.
const capLockClass = 0x636170 // "cap"

const (
	bucketsPerWindow = 60 // how finely the wider scopes count; a message counts up to one bucket longer than its window
	capSpread        = 4  // what a cap defers comes back within this part of its window after there is room
)

// ledgerOfCaps is what the caps of one claim's messages have counted, under their locks. The nil one lets everything pass.
type ledgerOfCaps struct {
	now   time.Time
	books map[capKey]*capBook
}

type capKey struct {
	name string
	key  string // of the wider scopes; the address of a person
}

// capBook is one counter.
type capBook struct {
	message.Cap

	key    string
	counts []capCount // oldest first, no older than the window
	added  capCount   // by this claim
}

// capCount says that so much was sent at a time. It counts until the window has passed since then.
type capCount struct {
	at                 time.Time
	messages, segments int
}

// lockCaps locks and reads the counters that the candidates need, and those only; nil when no message has a cap. A message counts once,
// with its first attempt: later ones are not looked at. The address locks are held, which the scope person needs alone.
func lockCaps(ctx context.Context, tx pgx.Tx, candidates []*Candidate) (*ledgerOfCaps, error) {
	l := &ledgerOfCaps{books: map[capKey]*capBook{}}
	for _, c := range candidates {
		for _, one := range c.capsNow() {
			key := one.Key(&c.Message)
			l.books[capKey{one.Name, key}] = &capBook{Cap: one, key: key}
		}
	}
	if len(l.books) == 0 {
		return nil, nil //nolint:nilnil // the nil one is a good one
	}
	var p pipeline
	l.queueLocks(&p)
	l.queuePersons(&p)
	l.queueCounters(&p)
	p.query(`select clock_timestamp()`, func(rows pgx.Rows) (err error) {
		l.now, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[time.Time])
		return err
	})
	if err := p.run(ctx, tx); err != nil {
		return nil, fmt.Errorf("read the counters of caps: %w", err)
	}
	return l, nil
}

// capsNow are the caps that a candidate has still to pass.
func (c *Candidate) capsNow() []message.Cap {
	if c.rival || c.Message.Attempts > 0 {
		return nil
	}
	return c.Message.Caps
}

// queueLocks takes the locks of the wider scopes, in an order that is the same everywhere.
func (l *ledgerOfCaps) queueLocks(p *pipeline) {
	var keys []int32
	for key, book := range l.books {
		if book.Scope != message.PerPerson {
			h := fnv.New32a()
			_, _ = h.Write([]byte(key.name + "\x00" + key.key))
			keys = append(keys, int32(h.Sum32()))
		}
	}
	if len(keys) > 0 {
		slices.Sort(keys)
		p.exec(`select pg_advisory_xact_lock($1, k) from unnest($2::integer[]) k`, capLockClass, slices.Compact(keys))
	}
}

// queuePersons counts what each person was sent: the first attempts of messages that reached them or may have.
func (l *ledgerOfCaps) queuePersons(p *pipeline) {
	var names, addresses, rules, purposes, senders []string
	var windows []time.Duration
	for _, book := range l.books {
		if book.Scope == message.PerPerson {
			names, addresses, windows = append(names, book.Name), append(addresses, book.key), append(windows, book.Per)
			rules, purposes, senders = append(rules, book.Rule), append(purposes, string(book.Purpose)), append(senders, book.Sender)
		}
	}
	if len(names) == 0 {
		return
	}
	p.query(`select u.name, u.address, a.started_at, 1,
			case a.channel when 'sms' then greatest((m.content->'sms'->>'segments')::integer, 1) else 1 end
		from unnest($1::text[], $2::text[], $3::interval[], $4::text[], $5::text[], $6::text[]) u (name, address, per, rule, purpose, sender)
		join message m on m.recipient = u.address and u.rule in ('', m.rule) and u.purpose in ('', m.purpose) and u.sender in ('', m.sender)
			and m.attempts > 0 and m.state not in ('suppressed', 'expired', 'failed', 'undelivered')
		join attempt a on a.message_id = m.id and a.number = 1 and a.started_at > now() - u.per
		order by a.started_at`, l.read, names, addresses, windows, rules, purposes, senders)
}

// queueCounters reads the buckets of the wider scopes. What a bucket holds counts as sent at its end.
func (l *ledgerOfCaps) queueCounters(p *pipeline) {
	var names, keys []string
	var windows []time.Duration
	for _, book := range l.books {
		if book.Scope != message.PerPerson {
			names, keys, windows = append(names, book.Name), append(keys, book.key), append(windows, book.Per)
		}
	}
	if len(names) == 0 {
		return
	}
	p.query(`select c.name, c.key, c.ends_at, c.messages, c.segments
		from unnest($1::text[], $2::text[], $3::interval[]) u (name, key, per)
		join cap_count c on c.name = u.name and c.key = u.key and c.ends_at > now() - u.per
		order by c.ends_at`, l.read, names, keys, windows)
}

func (l *ledgerOfCaps) read(rows pgx.Rows) error {
	var key capKey
	var n capCount
	return each(rows, []any{&key.name, &key.key, &n.at, &n.messages, &n.segments}, func() error {
		if book := l.books[key]; book != nil {
			book.counts = append(book.counts, n)
		}
		return nil
	})
}

// judge turns the verdict of a message that may be sent into what its caps say, when one of them is full: the one that
// suppresses goes first, else the one with the longest wait.
func (l *ledgerOfCaps) judge(c *Candidate, verdict Verdict) Verdict {
	if l == nil || verdict.Send == "" {
		return verdict
	}
	need, wait := segments(c, verdict.Send), time.Duration(0)
	var full *capBook
	for _, one := range c.capsNow() {
		book := l.books[capKey{one.Name, one.Key(&c.Message)}]
		room := book.room(l.now, need)
		switch {
		case room <= 0:
		case one.Suppress:
			return Verdict{Suppress: message.ReasonFrequencyCap, Detail: book.words(), Answers: book.answer(verdict, "")}
		case room > wait:
			full, wait = book, room
		}
	}
	if full == nil {
		return verdict
	}
	wait += rand.N(full.Per/capSpread + 1) //nolint:gosec // jitter needs no secrecy
	return Verdict{
		Wait: wait, On: verdict.Send, Defer: true, Behind: message.ReasonFrequencyCap, Answers: full.answer(verdict, "wait: "),
	}
}

// take counts a message that is sent.
func (l *ledgerOfCaps) take(c *Candidate, channel message.Channel) {
	if l == nil {
		return
	}
	for _, one := range c.capsNow() {
		book := l.books[capKey{one.Name, one.Key(&c.Message)}]
		book.added.messages++
		book.added.segments += segments(c, channel)
	}
}

// room is the time until a message passes, 0 when it does now. One with more segments than the cap has at all passes when
// nothing else counts.
func (b *capBook) room(now time.Time, need int) time.Duration {
	used := b.added
	for _, n := range b.counts {
		used.messages, used.segments = used.messages+n.messages, used.segments+n.segments
	}
	full := func() bool {
		return b.Messages > 0 && used.messages+1 > b.Messages || b.Segments > 0 && used.segments > 0 && used.segments+need > b.Segments
	}
	if !full() {
		return 0
	}
	for _, n := range b.counts {
		used.messages, used.segments = used.messages-n.messages, used.segments-n.segments
		if !full() {
			return max(n.at.Add(b.Per).Sub(now), time.Second)
		}
	}
	return b.Per // what this claim sends itself fills it
}

func (b *capBook) words() string {
	text := fmt.Sprintf("cap %s: ", b.Name)
	switch {
	case b.Segments == 0:
		text += fmt.Sprintf("%d messages", b.Messages)
	case b.Messages == 0:
		text += fmt.Sprintf("%d segments", b.Segments)
	default:
		text += fmt.Sprintf("%d messages and %d segments", b.Messages, b.Segments)
	}
	return text + " in " + b.Per.String()
}

func (b *capBook) answer(verdict Verdict, prefix string) []GateAnswer {
	return append(slices.Clone(verdict.Answers), GateAnswer{
		Channel: string(verdict.Send), Gate: "caps", Answer: prefix + string(message.ReasonFrequencyCap), Words: b.words(),
	})
}

// queue stores what this claim added, and forgets what no window holds any more.
func (l *ledgerOfCaps) queue(p *pipeline) {
	if l == nil {
		return
	}
	var names, keys []string
	var messages, segs []int32
	var windows, widths []time.Duration
	for key, book := range l.books {
		if book.Scope == message.PerPerson || book.added.messages == 0 {
			continue
		}
		names, keys, windows = append(names, key.name), append(keys, key.key), append(windows, book.Per)
		widths = append(widths, max(book.Per/bucketsPerWindow, time.Second))
		messages, segs = append(messages, int32(book.added.messages)), append(segs, int32(book.added.segments))
	}
	if len(names) == 0 {
		return
	}
	p.exec(`delete from cap_count c using unnest($1::text[], $2::text[], $3::interval[]) u (name, key, per)
		where c.name = u.name and c.key = u.key and c.ends_at <= now() - u.per`, names, keys, windows)
	p.exec(`insert into cap_count as c (name, key, ends_at, messages, segments)
		select name, key, to_timestamp((floor(extract(epoch from clock_timestamp()) / extract(epoch from width)) + 1) * extract(epoch from width)),
			messages, segments
		from unnest($1::text[], $2::text[], $3::interval[], $4::integer[], $5::integer[]) u (name, key, width, messages, segments)
		on conflict (name, key, ends_at) do update set messages = c.messages + excluded.messages, segments = c.segments + excluded.segments`,
		names, keys, widths, messages, segs)
}

// capsJSON is the stored form of a message's caps; empty for none.
func capsJSON(caps []message.Cap) (string, error) {
	if len(caps) == 0 {
		return "", nil
	}
	encoded, err := json.Marshal(caps)
	return string(encoded), err
}
