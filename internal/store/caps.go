package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/message"
)

// capLockClass sets the locks of counters apart from any other advisory lock in the database.
const capLockClass = 0x636170 // "cap"

const (
	bucketsPerWindow = 60 // how finely the wider scopes count; a message counts up to one bucket longer than its window
	capSpread        = 4  // what comes back at a time of no meaning is spread over this part of the window
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
	held   capCount   // for older messages that wait for another one to the same person
	line   time.Time  // when the next one comes back that it defers; of a wider scope
	moved  bool       // the line has, in this claim
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
	if c.Message.Attempts > 0 {
		return nil
	}
	return slices.Concat(c.Message.Caps, c.limits)
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

// queuePersons counts what each person was sent: messages that reached them or may have, at the time of their newest attempt.
func (l *ledgerOfCaps) queuePersons(p *pipeline) {
	var names, addresses, rules, purposes, senders, programs []string
	var windows []time.Duration
	for _, book := range l.books {
		if book.Scope == message.PerPerson {
			names, addresses, windows = append(names, book.Name), append(addresses, book.key), append(windows, book.Per)
			rules, purposes, senders = append(rules, book.Rule), append(purposes, string(book.Purpose)), append(senders, book.Sender)
			programs = append(programs, book.Program)
		}
	}
	if len(names) == 0 {
		return
	}
	p.query(sentToPersons, l.read, names, addresses, windows, rules, purposes, senders, programs)
}

// sentToPersons reads the attempts since the window began, which are few, and not all that a person ever got.
const sentToPersons = `select u.name, u.address, a.started_at, 1,
		case a.channel when 'sms' then greatest((m.content->'sms'->>'segments')::integer, 1) else 1 end
	from unnest($1::text[], $2::text[], $3::interval[], $4::text[], $5::text[], $6::text[], $7::text[])
		u (name, address, per, rule, purpose, sender, program)
	join attempt a on a.address = u.address and a.started_at > now() - u.per
	join message m on m.id = a.message_id and m.attempt_id = a.id and u.rule in ('', m.rule) and u.purpose in ('', m.purpose)
		and u.sender in ('', m.sender) and u.program in ('', m.program)
		and m.state not in ('suppressed', 'expired', 'failed', 'undelivered')
	order by a.started_at`

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
	l.queueLines(p, names, keys)
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

// judge turns the verdict of a message that may be sent, at once or behind another one, into what its caps say, when one of them is
// full: the one that suppresses goes first, else the one with the longest wait. A message that has to wait for another one is looked at
// too: while a cap is full its time has not begun.
func (l *ledgerOfCaps) judge(c *Candidate, verdict Verdict) Verdict {
	channel := cmp.Or(verdict.Send, verdict.On)
	if l == nil || channel == "" || verdict.Defer || c.rival {
		return verdict
	}
	need, wait := segments(c, channel), time.Duration(0)
	var full *capBook
	for _, one := range c.capsNow() {
		book := l.books[capKey{one.Name, one.Key(&c.Message)}]
		room := book.room(l.now, need)
		switch {
		case room <= 0:
		case one.Suppress:
			return Verdict{Suppress: message.ReasonFrequencyCap, Detail: book.words(), Answers: book.answer(verdict.Answers, channel, "")}
		case room > wait:
			full, wait = book, room
		}
	}
	if full == nil {
		return verdict
	}
	if !c.Permitted || c.Now.Add(wait).Before(c.ExpiresAt) { // else it is too late, and takes nobody's place
		wait = full.queueUp(l.now, wait, need)
	}
	return Verdict{
		Wait: wait, On: channel, Defer: true, Behind: message.ReasonFrequencyCap, Detail: full.words(),
		Answers: full.answer(verdict.Answers, channel, "wait: "),
	}
}

// hold keeps room for a message that goes before the younger ones of this claim to the same person, but not yet. A rival with a cap
// that was not read may be held up by it, and keeps nothing.
func (l *ledgerOfCaps) hold(c *Candidate, channel message.Channel) {
	if l == nil {
		return
	}
	var books []*capBook
	for _, one := range c.capsNow() {
		book := l.books[capKey{one.Name, one.Key(&c.Message)}]
		if book == nil {
			return
		}
		books = append(books, book)
	}
	for _, book := range books {
		book.held.messages++
		book.held.segments += segments(c, channel)
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
	used := capCount{messages: b.added.messages + b.held.messages, segments: b.added.segments + b.held.segments}
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
	return b.Per // what this claim sends itself, or is about to be sent, fills it
}

func (b *capBook) words() string {
	return fmt.Sprintf("cap %s: %s", b.Name, b.Bound())
}

func (b *capBook) answer(before []GateAnswer, channel message.Channel, prefix string) []GateAnswer {
	return append(slices.Clone(before), GateAnswer{
		Channel: string(channel), Gate: "caps", Answer: prefix + string(message.ReasonFrequencyCap), Words: b.words(),
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
		widths = append(widths, book.bucket())
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
