package torture

import (
	"slices"
	"time"
)

// Recovery says how long it took after a fault was healed. Other faults may have been under way at the time. A negative value
// says that it did not happen any more.
type Recovery struct {
	NextAck  time.Duration `json:"next_ack_ns"`  // until the door acknowledged a notification
	NextSend time.Duration `json:"next_send_ns"` // until Twilio took a message
	Most     time.Duration `json:"most_ns"`      // until nine tenths of what was acknowledged before, and not done yet, was done
	Clear    time.Duration `json:"clear_ns"`     // until all of it was done
}

const never = time.Duration(-1)

// work is one accepted notification: from its acknowledgement to the end of the work on it.
type work struct{ acked, done time.Time }

// recoveries fills in how long it took after each fault.
func recoveries(books Ledgers, suffered []Suffered) {
	all := workOf(books)
	var acks, sends []time.Time
	for _, w := range all {
		acks = append(acks, w.acked)
	}
	for _, m := range books.Twilio {
		if m.Direction != "inbound" {
			sends = append(sends, m.Created)
		}
	}
	slices.SortFunc(acks, time.Time.Compare)
	slices.SortFunc(sends, time.Time.Compare)
	for i := range suffered {
		healed := suffered[i].Healed
		r := Recovery{NextAck: firstAfter(acks, healed), NextSend: firstAfter(sends, healed)}
		r.Most, r.Clear = cleared(all, healed)
		suffered[i].Recovery = r
	}
}

// cleared says how long after a moment nine tenths, and all, of what was waiting then were done.
func cleared(all []work, moment time.Time) (most, whole time.Duration) {
	var waits []time.Duration
	open := 0
	for _, w := range all {
		switch {
		case w.acked.After(moment):
		case w.done.IsZero():
			open++
		case w.done.After(moment):
			waits = append(waits, w.done.Sub(moment))
		}
	}
	if len(waits)+open == 0 {
		return 0, 0
	}
	slices.Sort(waits)
	at := func(n int) time.Duration {
		if n > len(waits) {
			return never
		}
		return waits[n-1]
	}
	total := len(waits) + open
	return at((9*total + 9) / 10), at(total)
}

func firstAfter(times []time.Time, t time.Time) time.Duration {
	i, _ := slices.BinarySearchFunc(times, t, time.Time.Compare)
	if i == len(times) {
		return never
	}
	return times[i].Sub(t)
}

// workOf says when the work on each accepted notification was done: its message at Twilio or given up, or the decision that
// there is none.
func workOf(books Ledgers) []work {
	o := &oracle{Ledgers: books}
	o.index()
	all := make([]work, 0, len(books.Asked))
	for id, asked := range books.Asked {
		if asked.Acked.IsZero() {
			continue
		}
		w := work{acked: asked.Acked}
		switch rows := o.messages[id]; {
		case len(o.sent[id]) > 0:
			w.done = o.sent[id][0].Created
		case len(rows) > 0 && rows[0].State.Final():
			w.done = rows[0].UpdatedAt
		case len(rows) == 0 && o.notes[id].Outcome != "":
			w.done = o.notes[id].DecidedAt
		}
		all = append(all, w)
	}
	return all
}
