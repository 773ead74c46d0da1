package protocol

// step hands on one world that may follow.
type step func(Action, World)

// next hands on every world that may follow w in one action.
func (c Config) next(w World, emit step) {
	c.timePasses(w, emit)
	if c.Stop {
		c.stop(w, emit)
	}
	for m := range uint8(c.Messages) {
		c.belt(w, m, emit)
		for a := range w.Attempts[m] {
			if w.Attempts[m][a].State != None {
				c.attempt(w, m, uint8(a), emit)
			}
		}
	}
	for d := range uint8(c.Dispatchers) {
		c.crash(w, d, emit)
		c.send(w, d, emit)
		c.lookUp(w, d, emit)
	}
}

// timePasses is a unit of time, and a jump of the database's clock. Writing follows the last check at once: no time passes
// between them.
func (c Config) timePasses(w World, emit step) {
	if w.Jumps > 0 {
		jumped := w
		jumped.Jumps--
		jumped.eachAttempt(func(a *Attempt) { a.Lease, a.LookUp = 0, 0 })
		emit(Action{What: "the database's clock jumps forward"}, jumped)
	}
	for d := range w.Dispatchers {
		if w.Dispatchers[d].Phase == Checked && !c.Without.PromptWriting {
			return
		}
	}
	later := w
	for d := range later.Dispatchers {
		less(&later.Dispatchers[d].Deadline)
	}
	later.eachAttempt(func(a *Attempt) {
		less(&a.Lease)
		less(&a.LookUp)
		if less(&a.Left); a.Wire == InFlight && a.Left == 0 {
			a.Wire = Lost
		}
	})
	emit(Action{What: "time passes"}, later)
	if !c.Without.SuspendedClock {
		return
	}
	for d := range later.Dispatchers {
		if w.Dispatchers[d].Deadline > 0 {
			asleep := later
			asleep.Dispatchers[d].Deadline = w.Dispatchers[d].Deadline
			emit(Action{What: "time passes while the host is suspended", About: OfDispatcher}, asleep)
		}
	}
}

func less(left *uint8) {
	if *left > 0 {
		*left--
	}
}

// stop is the way of a STOP: the door stores it, and whoever works on replies applies it under the address lock.
func (c Config) stop(w World, emit step) {
	switch w.Stop {
	case Unsaid:
		w.Stop = Durable
		emit(Action{What: "the door stores a STOP"}, w)
	case Durable:
		w.Stop = Applied
		emit(Action{What: "the STOP is applied"}, w)
	case Applied:
	}
}

// belt is what happens to a message's place on the belt: it gets there, and may be lost with a stream or an early
// acknowledgement.
func (c Config) belt(w World, m uint8, emit step) {
	row := &w.Messages[m]
	switch {
	case row.State != Queued:
	case row.OnBelt:
		row.OnBelt = false
		emit(Action{What: "the belt loses it", Message: m, About: OfMessage}, w)
	case !c.Without.Sweeper:
		row.OnBelt = true
		emit(Action{What: "the sweeper puts it on the belt", Message: m, About: OfMessage}, w)
	}
}

// attempt is what happens to an attempt without its dispatcher: on the wire, at Twilio, by callbacks, and when its lease ends.
func (c Config) attempt(w World, m, a uint8, emit step) {
	about := func(what string) Action { return Action{What: what, Message: m, Attempt: a, About: OfAttempt} }
	at := w.Attempts[m][a]
	switch at.Wire {
	case InFlight:
		taken := w
		taken.arrive(m, a, within(c.Times.Lag))
		emit(about("Twilio takes the message"), taken)
		rejected := w
		rejected.Attempts[m][a].Wire, rejected.Attempts[m][a].Left = Rejected, 0
		emit(about("Twilio refuses the message"), rejected)
		lost := w
		lost.Attempts[m][a].Wire, lost.Attempts[m][a].Left = Lost, 0
		emit(about("the request is lost"), lost)
	case Taken:
		if at.Left > 0 {
			shown := w
			shown.Attempts[m][a].Left = 0
			emit(about("Twilio's listing shows the message"), shown)
		}
		if at.State == Absent || at.State.Real().Before(Delivered.Real()) {
			reported := w
			reported.report(m, a)
			emit(about("a callback reports the delivery"), reported)
		}
	case Unwritten, Lost, Rejected:
	}
	if at.State == Sending && (at.Lease == 0 || c.Without.LeaseCheck) {
		w.expire(c, m, a)
		emit(about("the lease is over"), w)
	}
}

// crash ends a process and starts it again with an empty memory. What it wrote goes on.
func (c Config) crash(w World, d uint8, emit step) {
	if w.Dispatchers[d] == (Dispatcher{}) {
		return
	}
	at := Action{What: "crashes", Message: w.Dispatchers[d].Message, Attempt: w.Dispatchers[d].Attempt, About: OfDispatcher}
	w.Dispatchers[d] = Dispatcher{}
	emit(at, w)
}

// send is the way of a message through one dispatcher.
func (c Config) send(w World, d uint8, emit step) {
	self := &w.Dispatchers[d]
	about := func(what string) Action {
		return Action{What: what, Message: self.Message, Attempt: self.Attempt, About: OfDispatcher}
	}
	switch self.Phase {
	case Idle:
		for m := range uint8(c.Messages) {
			c.claim(w, d, m, emit)
		}
	case Claimed, CaughtUp, HasRead:
		c.barrier(w, d, about, emit)
	case Allowed:
		if self.Deadline == 0 && !c.Without.DeadlineCheck {
			self.end(Canceled)
			emit(about("finds the deadline over"), w)
			return
		}
		self.Phase, self.Deadline = Checked, 0
		emit(about("checks the deadline"), w)
	case Checked:
		refused := w
		refused.Dispatchers[d].end(Refused)
		emit(about("can't connect"), refused)
		if self.Late {
			w.broken(SentAfterStop)
		}
		w.Attempts[self.Message][self.Attempt].Wire, w.Attempts[self.Message][self.Attempt].Left = InFlight, within(c.Times.Socket)
		self.Phase = Calling
		emit(about("writes the request"), w)
	case Calling:
		answered, unclear := w, w
		unclear.Dispatchers[d].end(Unknown)
		emit(about("gets no answer that it can read"), unclear)
		switch w.Attempts[self.Message][self.Attempt].Wire {
		case Taken:
			answered.Dispatchers[d].end(Accepted)
			emit(about("gets 201 with a SID"), answered)
		case Rejected:
			answered.Dispatchers[d].end(Refused)
			emit(about("gets a refusal"), answered)
		case Unwritten, InFlight, Lost:
		}
	case Called:
		c.record(w, d, about, emit)
	}
}

// barrier is what stands between claim and call. It may give the claim up at each step.
func (c Config) barrier(w World, d uint8, about func(string) Action, emit step) {
	self := &w.Dispatchers[d]
	gaveUp := w
	gaveUp.Dispatchers[d].end(Canceled)
	emit(about("gives the claim back"), gaveUp)
	caughtUp := w.Stop != Durable
	switch {
	case c.Without.Barrier:
		self.Phase, self.Late = Allowed, w.Stop != Unsaid
		emit(about("goes on without a look"), w)
	case self.Phase == Claimed && caughtUp:
		self.Phase, self.Seen = CaughtUp, w.Stop != Unsaid
		emit(about("has caught up with the replies"), w)
	case self.Phase == CaughtUp:
		self.Phase, self.Read = HasRead, w.Stop == Applied
		emit(about("reads consent"), w)
	case self.Phase == HasRead && self.Read:
		self.end(Suppressed)
		emit(about("finds an opt-out"), w)
	case self.Phase == HasRead && w.Stop != Unsaid && !self.Seen && !c.Without.SecondLook:
		if caughtUp { // a reply has come since the last look: it is waited for, and consent is read again
			self.Phase, self.Seen = CaughtUp, true
			emit(about("sees a newer reply"), w)
		}
	case self.Phase == HasRead:
		self.Phase, self.Late, self.Seen = Allowed, w.Stop != Unsaid, false
		emit(about("sees no newer reply"), w)
	}
}

// lookUp is the way of an unknown outcome through one dispatcher: list, then note what was seen, in two steps, since a process
// may stop between them. The code keeps others off an attempt that is being looked up; the model does not, which is more than
// can happen.
func (c Config) lookUp(w World, d uint8, emit step) {
	self := &w.Dispatchers[d].LookUp
	if self.Active {
		c.note(w, d, emit)
		return
	}
	for m := range w.Attempts {
		for a, at := range w.Attempts[m] {
			if at.State != Unknown || at.LookUp > 0 {
				continue
			}
			listed := w
			found := LookUp{Active: true, Message: uint8(m), Attempt: uint8(a), Absences: at.Absences}
			found.Found, found.Slot = w.listing(uint8(m), uint8(a), c.Without.KnownSIDs)
			listed.Dispatchers[d].LookUp = found
			emit(Action{What: "lists Twilio's messages", Message: uint8(m), Attempt: uint8(a), About: OfDispatcher}, listed)
		}
	}
}
