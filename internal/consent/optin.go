package consent

import (
	"slices"
	"time"

	"github.com/beckonhq/beckon/internal/message"
)

// Mark is the entry as a state has it.
func (e Entry) Mark() Mark {
	return Mark{Channel: e.Channel, Scope: e.Scope.Clean(), Action: e.Action, At: e.OccurredAt, Seq: e.Seq}
}

// includes tells whether a word about s is one about every program that the other scope is about.
func (s Scope) includes(other Scope) bool {
	s, other = s.Clean(), other.Clean()
	switch s.Kind {
	case ScopeAll, "":
		return true
	case ScopeBrand:
		return s == other || other.Kind == ScopeProgram && BrandOf(other.Name) == s.Name
	case ScopeProgram:
	}
	return s == other
}

// Program is one that the scope is about, to send a message about it: the program itself, else the brand's default one.
func (s Scope) Program() string {
	switch s = s.Clean(); {
	case s.Kind == ScopeProgram:
		return s.Name
	case s.Kind == ScopeBrand && s.Name != message.DefaultProgram:
		return s.Name + "/" + message.DefaultProgram
	}
	return message.DefaultProgram
}

// Confirmed tells whether all that an opt-in is about has a confirmed one, which no opt-out has ended.
func (s State) Confirmed(optIn Mark) bool {
	return s.about(optIn.Scope).Granted(optIn.Channel, optIn.Scope.Program(), true)
}

// Ended tells whether an opt-out from all that an opt-in is about came after it: then nobody is asked to confirm it, and a YES
// confirms nothing, also when START has lifted the opt-out since.
func (s State) Ended(optIn Mark) bool {
	return s.about(optIn.Scope).any(func(m Mark) bool {
		return stops(m.Action) && m.on(optIn.Channel) && m.newer(optIn)
	})
}

// Waits tells whether an opt-in waits to be confirmed.
func (s State) Waits(optIn Mark) bool { return !s.Confirmed(optIn) && !s.Ended(optIn) }

// SilentSince tells whether the person has said nothing about what an opt-in is about since a time, but for opt-ins.
func (s State) SilentSince(optIn Mark, since time.Time) bool {
	return !s.about(optIn.Scope).any(func(m Mark) bool {
		return m.Action != OptIn && m.Action != "" && m.on(optIn.Channel) && m.At.After(since)
	})
}

// about are the marks whose words are about all of a scope.
func (s State) about(scope Scope) State {
	return slices.DeleteFunc(slices.Clone(s), func(m Mark) bool { return !m.Scope.includes(scope) })
}
