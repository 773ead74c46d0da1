package protocol

import (
	"bytes"
	"slices"
	"unsafe"
)

// The functions of this file are the ledger's transactions: each is one step.

func (w *World) eachAttempt(do func(*Attempt)) {
	for m := range w.Attempts {
		for a := range w.Attempts[m] {
			do(&w.Attempts[m][a])
		}
	}
}

func (w *World) broken(r Rule) {
	if w.Broken == NoneBroken {
		w.Broken = r
	}
}

// claim is Store.Claim with the dispatcher's gates: consent and the address are looked at under the address lock. The belt
// may deliver the message again afterwards, and for ever.
func (c Config) claim(w World, d, m uint8, emit step) {
	row := &w.Messages[m]
	if !row.OnBelt || row.State != Queued && !c.Without.QueuedCheck {
		return
	}
	about := func(what string, slot uint8) Action {
		return Action{What: what, Message: m, Attempt: slot, About: OfDispatcher}
	}
	if w.Stop == Applied {
		row.State, row.OnBelt = Suppressed, false
		emit(about("claims, and the gates find an opt-out", 0), w)
		return
	}
	if w.busy() && !c.Without.OneLive {
		return // it waits, and comes again
	}
	slot, ok := w.freeSlot(m)
	if !ok {
		return
	}
	w.Attempts[m][slot] = Attempt{State: Sending, Lease: c.Times.Lease}
	row.State, row.Newest = Sending, slot
	lookUp := w.Dispatchers[d].LookUp
	w.Dispatchers[d] = Dispatcher{Phase: Claimed, Message: m, Attempt: slot, Deadline: within(c.Times.Deadline), LookUp: lookUp}
	w.checkLive()
	emit(about("claims", slot), w)
}

func (w *World) busy() bool {
	busy := false
	w.eachAttempt(func(a *Attempt) { busy = busy || a.State.live() })
	return busy
}

func (w *World) checkLive() {
	live := 0
	w.eachAttempt(func(a *Attempt) {
		if a.State.live() {
			live++
		}
	})
	if live > 1 {
		w.broken(TwoLive)
	}
}

func (w *World) freeSlot(m uint8) (uint8, bool) {
	for a := range w.Attempts[m] {
		if w.Attempts[m][a].State == None {
			return uint8(a), true
		}
	}
	return 0, false
}

// arrive is Twilio taking a message.
func (w *World) arrive(m, a, lag uint8) {
	w.Attempts[m][a].Wire, w.Attempts[m][a].Left = Taken, lag
	taken := 0
	for _, at := range w.Attempts[m] {
		if at.Wire == Taken {
			taken++
		}
	}
	if taken > 1 {
		w.broken(SentTwice)
	}
	w.checkAbsence(m, a)
}

func (w *World) checkAbsence(m, a uint8) {
	if at := w.Attempts[m][a]; at.State == Absent && (at.Wire == Taken || at.Wire == InFlight) {
		w.broken(WrongAbsence)
	}
}

// report is Store.ApplyStatus: the attempt moves forward, and its message with it when it is the newest.
func (w *World) report(m, a uint8) {
	at := &w.Attempts[m][a]
	at.State, at.Lease, at.LookUp, at.Absences, at.Left = Delivered, 0, 0, 0, 0
	if row := &w.Messages[m]; row.Newest == a {
		row.State, row.OnBelt = Delivered, false
	}
}

// expire is Store.ExpireLeases.
func (w *World) expire(c Config, m, a uint8) {
	at, row := &w.Attempts[m][a], &w.Messages[m]
	if c.Without.LookUps {
		at.State, at.Lease = Absent, 0
		if row.Newest == a && row.State == Sending {
			row.State = Queued
		}
		return
	}
	at.State, at.Lease, at.LookUp = Unknown, 0, c.wait()
	if row.Newest == a && row.State == Sending {
		row.State = Unknown
	}
}

func (c Config) wait() uint8 {
	if c.Without.LookUpWait {
		return 0
	}
	return c.Times.LookUp
}

// end is the end of a call, or of a claim that came to none.
func (d *Dispatcher) end(outcome State) {
	lookUp := d.LookUp
	*d = Dispatcher{Phase: Called, Message: d.Message, Attempt: d.Attempt, Outcome: outcome, LookUp: lookUp}
}

// record is Store.Record for the outcome of a call. A refusal queues the message again or is final, by the table of reactions.
func (c Config) record(w World, d uint8, about func(string) Action, emit step) {
	self := w.Dispatchers[d]
	at := about("records " + string(self.Outcome.Real()))
	w.Dispatchers[d] = Dispatcher{LookUp: self.LookUp}
	becomes := map[State][]State{
		Accepted: {Accepted}, Unknown: {Unknown}, Refused: {Queued, Failed}, Canceled: {Queued}, Suppressed: {Suppressed},
	}[self.Outcome]
	state := self.Outcome
	if state == Suppressed {
		state = Canceled
	}
	if state == Unknown && c.Without.UnknownState {
		becomes = []State{Queued}
		state = Refused
	}
	for _, messageState := range becomes {
		stored := w
		stored.store(c, self.Message, self.Attempt, state, messageState)
		emit(at, stored)
	}
}

// store is what Store.Record does with one outcome.
func (w *World) store(c Config, m, a uint8, state, messageState State) {
	at, row := &w.Attempts[m][a], &w.Messages[m]
	known := at.State.live() || at.State == Absent && state == Accepted // it did reach Twilio after all
	if !known && !c.Without.RecordGuard {
		return
	}
	counts := row.Newest == a && (row.State.live() || at.State == Absent && state == Accepted)
	if counts || c.Without.RecordGuard {
		row.State, row.OnBelt = messageState, false
	}
	lease := at.Lease
	at.State, at.Lease, at.LookUp = state, 0, 0
	if state == Unknown {
		at.LookUp = lease + c.wait()
		if c.Without.LookUpWait {
			at.LookUp = 0
		}
	} else {
		at.Absences = 0
	}
	if state == Accepted {
		at.Left = 0
	}
	w.checkLive()
	w.checkAbsence(m, a)
}

// listing is what Twilio shows of this address that no attempt owns: a message with our text, since in the worst case all
// messages to a person say the same.
func (w *World) listing(m, a uint8, all bool) (found, slot uint8) {
	for i := range w.Attempts { // our own last: another's that shows is taken for it
		for j, at := range w.Attempts[i] {
			owned := at.State == Accepted || at.State == Delivered
			if at.Wire == Taken && at.Left == 0 && (!owned || all) && (uint8(i) != m || uint8(j) != a) {
				return uint8(i) + 1, uint8(j)
			}
		}
	}
	if at := w.Attempts[m][a]; at.Wire == Taken && at.Left == 0 {
		return m + 1, a
	}
	return 0, 0
}

// note is the end of a look-up: adopt what was found, note an absence, or note that it is proven.
func (c Config) note(w World, d uint8, emit step) {
	self := w.Dispatchers[d].LookUp
	m, a := self.Message, self.Attempt
	about := func(what string) Action {
		return Action{What: what, Message: m, Attempt: a, About: OfDispatcher}
	}
	w.Dispatchers[d].LookUp = LookUp{}
	needed := uint8(2)
	if c.Without.SecondListing {
		needed = 1
	}
	at := &w.Attempts[m][a]
	switch {
	case self.Found > 0:
		if self.Found != m+1 || self.Slot != a {
			w.broken(WrongSID)
		}
		w.store(c, m, a, Accepted, Accepted)
		emit(about("adopts what it found"), w)
	case self.Absences+1 < needed:
		if at.State == Unknown {
			at.Absences, at.LookUp = min(at.Absences+1, needed), c.wait()
		}
		emit(about("notes that it saw nothing"), w)
	default:
		w.store(c, m, a, Absent, Queued)
		emit(about("notes the attempt absent"), w)
	}
}

// normal makes one world of those that differ only in what can have no effect any more: outcomes and look-ups whose attempt has
// moved on, slots of attempts that are over and that nobody holds, and which process is which.
func (w *World) normal(c Config) {
	for i := range w.Dispatchers {
		w.forget(c, &w.Dispatchers[i])
	}
	for m := range w.Messages {
		if w.Messages[m].State.settled() {
			w.Messages[m].OnBelt = c.Without.QueuedCheck
		}
	}
	w.free()
	slices.SortFunc(w.Dispatchers[:c.Dispatchers], func(a, b Dispatcher) int { return bytes.Compare(raw(&a), raw(&b)) })
}

// free empties the slots of attempts that are over and that nobody holds.
func (w *World) free() {
	for m := range w.Attempts {
		for a := range w.Attempts[m] {
			at := &w.Attempts[m][a]
			over := at.State == Absent || at.State == Canceled || at.State == Refused
			if over && at.Wire != InFlight && at.Wire != Taken && !w.held(uint8(m), uint8(a)) {
				*at = Attempt{}
			}
		}
	}
}

// forget empties a dispatcher's memory of what can have no effect.
func (w *World) forget(c Config, d *Dispatcher) {
	if look := d.LookUp; look.Active {
		if state := w.Attempts[look.Message][look.Attempt].State; state != Unknown && (state != Absent || look.Found == 0) && !c.Without.RecordGuard {
			d.LookUp = LookUp{}
		}
	}
	if d.Phase == Idle || c.Without.RecordGuard {
		return
	}
	at := w.Attempts[d.Message][d.Attempt]
	writes := d.Phase < Checked && (d.Deadline > 0 || c.Without.DeadlineCheck) || d.Phase == Checked
	learns := d.Phase >= Calling && at.State == Absent && (d.Phase == Calling || d.Outcome == Accepted)
	if !at.State.live() && !writes && !learns {
		*d = Dispatcher{LookUp: d.LookUp}
	}
}

// raw is a dispatcher as bytes; it has no pointers and no padding, all its fields being one byte.
func raw(d *Dispatcher) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(d)), unsafe.Sizeof(*d)) //nolint:gosec // see above
}

func (w *World) held(m, a uint8) bool {
	for _, d := range w.Dispatchers {
		if d.Phase != Idle && d.Message == m && d.Attempt == a || d.LookUp.Active && d.LookUp.Message == m && d.LookUp.Attempt == a {
			return true
		}
	}
	return false
}
