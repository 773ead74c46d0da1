package protocol

import (
	"fmt"
	"slices"
	"strings"
)

// Result is what a check found.
type Result struct {
	States int
	Steps  int
	Broken Rule
	Trace  []Step // the shortest way to the broken rule
}

// Step is one line of a trace.
type Step struct {
	Action Action
	World  World
}

// String is the trace as a person reads it.
func (r Result) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%d states, %d steps, broken: %s\n", r.States, r.Steps, r.Broken)
	for i, s := range r.Trace {
		fmt.Fprintf(&out, "%3d. %s\n       %s\n", i+1, s.Action, s.World)
	}
	return out.String()
}

// search is a breadth-first search. Worlds are numbered in the order in which they are found.
type search struct {
	config Config
	number map[World]uint32
	worlds []World
	parent []uint32
	from   []uint32 // the edges, by their ends, in the order of from
	to     []uint32
}

// Check visits every world that can be reached and returns the first one in which a rule is broken, with the way to it. When
// no rule is, it makes sure that every world still has a way to an end of all messages.
func Check(c Config) Result {
	s := &search{config: c, number: map[World]uint32{}}
	s.find(c.start(), 0)
	for at := uint32(0); int(at) < len(s.worlds); at++ {
		if s.worlds[at].Broken != NoneBroken {
			return s.result(at, s.worlds[at].Broken)
		}
		c.next(s.worlds[at], func(_ Action, w World) {
			w.normal(c)
			if to := s.find(w, at); to != at {
				s.from, s.to = append(s.from, at), append(s.to, to)
			}
		})
	}
	if at, stuck := s.stuck(); stuck {
		return s.result(at, DeadEnd)
	}
	return Result{States: len(s.worlds), Steps: len(s.to)}
}

func (s *search) find(w World, parent uint32) uint32 {
	if at, ok := s.number[w]; ok {
		return at
	}
	at := uint32(len(s.worlds))
	s.number[w] = at
	s.worlds, s.parent = append(s.worlds, w), append(s.parent, parent)
	return at
}

// stuck finds the first world from which no way leads to an end.
func (s *search) stuck() (uint32, bool) {
	first := make([]uint32, len(s.worlds)+1) // edges by where they lead
	for _, to := range s.to {
		first[to+1]++
	}
	for i := range s.worlds {
		first[i+1] += first[i]
	}
	back, fill := make([]uint32, len(s.to)), slices.Clone(first)
	for i, to := range s.to {
		back[fill[to]] = s.from[i]
		fill[to]++
	}
	good := make([]bool, len(s.worlds))
	var todo []uint32
	for i, w := range s.worlds {
		if w.ended() {
			good[i], todo = true, append(todo, uint32(i))
		}
	}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, before := range back[first[at]:first[at+1]] {
			if !good[before] {
				good[before], todo = true, append(todo, before)
			}
		}
	}
	at := slices.Index(good, false)
	return uint32(max(at, 0)), at >= 0
}

func (w *World) ended() bool {
	for _, m := range w.Messages {
		if m.State != None && !m.State.settled() {
			return false
		}
	}
	return true
}

// result walks back from a world. The actions are found again: the search keeps none.
func (s *search) result(at uint32, broken Rule) Result {
	r := Result{States: len(s.worlds), Steps: len(s.to), Broken: broken}
	var way []uint32
	for i := at; i != 0; i = s.parent[i] {
		way = append(way, i)
	}
	for _, i := range slices.Backward(way) {
		done := false
		s.config.next(s.worlds[s.parent[i]], func(a Action, w World) {
			w.normal(s.config)
			if !done && w == s.worlds[i] {
				done = true
				r.Trace = append(r.Trace, Step{a, w})
			}
		})
	}
	return r
}

// Walk goes one way of many through the model: pick says which of the actions comes next, and visit sees it with the world after
// it, until visit returns false. Nothing is forgotten on the way, so that late steps without an effect are taken, too.
func Walk(c Config, pick func([]Action) int, visit func(Action, World) bool) {
	w := c.start()
	for {
		var actions []Action
		var worlds []World
		c.next(w, func(a Action, next World) {
			if next != w {
				actions, worlds = append(actions, a), append(worlds, next)
			}
		})
		if len(actions) == 0 {
			return
		}
		one := pick(actions)
		if w = worlds[one]; !visit(actions[one], w) {
			return
		}
		w.free()
	}
}
