package twiliosim

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// FaultKind is a way to go wrong.
type FaultKind string

// The kinds. "Created" says that the message exists nevertheless.
const (
	Refuse             FaultKind = "refuse"               // Status (default 400) and Code as JSON; not created
	RateLimit          FaultKind = "rate_limit"           // 429, code 20429, Retry-After of RetryAfterSeconds; not created
	ServerError        FaultKind = "server_error"         // Status (default 500) with an HTML page; not created
	ServerErrorCreated FaultKind = "server_error_created" // the same; created
	Slow               FaultKind = "slow"                 // answers after DelayMS; created
	Hang               FaultKind = "hang"                 // never answers; not created
	HangCreated        FaultKind = "hang_created"         // never answers; created
	Reset              FaultKind = "reset"                // closes the connection; not created
	LoseAnswer         FaultKind = "lose_answer"          // closes the connection; created
	Junk               FaultKind = "junk"                 // 201 with something that is not JSON; created
	EmptyObject        FaultKind = "empty_object"         // 201 with {}; created
	Redirect           FaultKind = "redirect"             // 307 to the same path; not created
	Undelivered        FaultKind = "undelivered"          // ends undelivered with Code
	Failed             FaultKind = "failed"               // ends failed with Code
	DuplicateCallbacks FaultKind = "duplicate_callbacks"
	ReorderCallbacks   FaultKind = "reorder_callbacks"
	DropCallbacks      FaultKind = "drop_callbacks"
	EarlyCallback      FaultKind = "early_callback"
)

// Operation is the API call that a Fault is for.
type Operation string

// The operations.
const (
	OpCreate Operation = "create"
	OpList   Operation = "list"
	OpFetch  Operation = "fetch"
	OpMedia  Operation = "media"
)

// Fault makes calls go wrong.
type Fault struct {
	Kind              FaultKind `json:"kind"`
	Op                Operation `json:"op,omitempty"`    // default create
	Count             int       `json:"count,omitempty"` // how many calls; default 1
	To                string    `json:"to,omitempty"`    // only this recipient, as in the API
	Status            int       `json:"status,omitempty"`
	Code              int       `json:"code,omitempty"`
	RetryAfterSeconds int       `json:"retry_after_seconds,omitempty"`
	DelayMS           int       `json:"delay_ms,omitempty"`
}

func (f *Fault) delay() time.Duration { return time.Duration(f.DelayMS) * time.Millisecond }

// valid tells whether the kind is one of ours and fits the operation.
func (f *Fault) valid() bool {
	switch f.Kind {
	case Refuse, RateLimit, ServerError, Slow, Hang, Reset, Junk, EmptyObject, Redirect:
		return true
	case ServerErrorCreated, HangCreated, LoseAnswer, Undelivered, Failed,
		DuplicateCallbacks, ReorderCallbacks, DropCallbacks, EarlyCallback:
		return f.Op == OpCreate || f.Op == ""
	}
	return false
}

// creates tells whether the message exists after a create call with this fault.
func (f *Fault) creates() bool {
	switch f.Kind {
	case Refuse, RateLimit, ServerError, Hang, Reset, Redirect:
		return false
	case ServerErrorCreated, Slow, HangCreated, LoseAnswer, Junk, EmptyObject, Undelivered, Failed,
		DuplicateCallbacks, ReorderCallbacks, DropCallbacks, EarlyCallback:
		return true
	}
	return true
}

// AddFault queues a fault. Faults are used in the order in which they were added. It panics on an unknown kind, which
// is a mistake in a test.
func (s *Simulator) AddFault(f Fault) {
	if !f.valid() {
		panic("twiliosim: fault " + string(f.Kind) + " is unknown or not possible for this operation")
	}
	if f.Op == "" {
		f.Op = OpCreate
	}
	f.Count = max(f.Count, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
}

// ClearFaults empties the queue.
func (s *Simulator) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// nextFault takes the first queued fault that fits.
func (s *Simulator) nextFault(op Operation, to string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.faults {
		f := &s.faults[i]
		if f.Op != op || (f.To != "" && f.To != to) {
			continue
		}
		taken := *f
		if f.Count--; f.Count == 0 {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
		return &taken
	}
	return nil
}

// Magic is what a number does.
type Magic struct {
	To, From string // one of them, without a channel prefix
	Fault    Fault
}

// MagicNumbers lists the numbers that go wrong by themselves.
//
// The first group is Twilio's own ("Test Credentials", numbers +1500555 0001 to 0009). The others are ours, in the
// same unused range: +1500555 and a short form of the code, so that +15005553003 ends with 30003 and +15005556316 with 63016.
func MagicNumbers() []Magic {
	refuse := func(code int) Fault { return Fault{Kind: Refuse, Code: code} }
	ends := func(code int) Fault { return Fault{Kind: Undelivered, Code: code} }
	return []Magic{
		{From: "+15005550001", Fault: refuse(21212)},
		{From: "+15005550007", Fault: refuse(21606)},
		{From: "+15005550008", Fault: refuse(21611)},
		{To: "+15005550001", Fault: refuse(21211)},
		{To: "+15005550002", Fault: refuse(21612)},
		{To: "+15005550003", Fault: refuse(21408)},
		{To: "+15005550004", Fault: refuse(21610)},
		{To: "+15005550009", Fault: refuse(21614)},

		{To: "+15005553003", Fault: ends(30003)},
		{To: "+15005553004", Fault: ends(30004)},
		{To: "+15005553005", Fault: ends(30005)},
		{To: "+15005553006", Fault: ends(30006)},
		{To: "+15005553007", Fault: ends(30007)},
		{To: "+15005553008", Fault: ends(30008)},
		{To: "+15005556303", Fault: ends(63003)},
		{To: "+15005556314", Fault: ends(63014)},
		{To: "+15005556316", Fault: ends(63016)},
		{To: "+15005556324", Fault: ends(63024)},
		{To: "+15005556349", Fault: ends(63049)},

		{To: "+15005550429", Fault: Fault{Kind: RateLimit, RetryAfterSeconds: 1}},
		{To: "+15005550500", Fault: Fault{Kind: ServerError}},
		{To: "+15005550501", Fault: Fault{Kind: ServerErrorCreated}},
		{To: "+15005550408", Fault: Fault{Kind: Hang}},
		{To: "+15005550409", Fault: Fault{Kind: HangCreated}},
		{To: "+15005550504", Fault: Fault{Kind: Slow, DelayMS: 3000}},
		{To: "+15005550998", Fault: Fault{Kind: Reset}},
		{To: "+15005550999", Fault: Fault{Kind: LoseAnswer}},
		{To: "+15005550200", Fault: Fault{Kind: Junk}},
	}
}

// magicTables indexes MagicNumbers.
func magicTables() (to, from map[string]*Fault) {
	to, from = map[string]*Fault{}, map[string]*Fault{}
	for _, m := range MagicNumbers() {
		f := m.Fault
		if m.To != "" {
			to[m.To] = &f
		} else {
			from[m.From] = &f
		}
	}
	return to, from
}

func (s *Simulator) magic(to, from string) *Fault {
	if f := s.magicFrom[strings.TrimPrefix(from, whatsapp)]; f != nil {
		return f
	}
	f := s.magicTo[strings.TrimPrefix(to, whatsapp)]
	// These three are of WhatsApp alone: the same person gets an SMS.
	if f != nil && f.Code >= 63000 && f.Code < 64000 && !strings.HasPrefix(to, whatsapp) {
		return nil
	}
	return f
}

// misbehave answers in the fault's way. It returns false if the normal answer is to be written.
func (s *Simulator) misbehave(w http.ResponseWriter, r *http.Request, f *Fault) bool {
	switch f.Kind {
	case Refuse:
		writeError(w, orInt(f.Status, http.StatusBadRequest), f.Code)
	case RateLimit:
		if f.RetryAfterSeconds > 0 {
			w.Header().Set("Retry-After", itoa(f.RetryAfterSeconds))
		}
		writeError(w, http.StatusTooManyRequests, orInt(f.Code, codeTooMany))
	case ServerError, ServerErrorCreated:
		writePage(w, orInt(f.Status, http.StatusInternalServerError))
	case Hang, HangCreated:
		select {
		case <-r.Context().Done():
		case <-s.ctx.Done():
		}
		panic(http.ErrAbortHandler)
	case Reset, LoseAnswer:
		panic(http.ErrAbortHandler) // net/http then closes the connection without an answer
	case Junk:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte("<<this is not JSON>>"))
	case EmptyObject:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte("{}"))
	case Redirect:
		w.Header().Set("Location", r.URL.RequestURI())
		w.WriteHeader(http.StatusTemporaryRedirect)
	case Slow:
		s.pause(r.Context(), f.delay())
		return false
	case Undelivered, Failed, DuplicateCallbacks, ReorderCallbacks, DropCallbacks, EarlyCallback:
		return false
	}
	return true
}
