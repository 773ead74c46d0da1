package torture

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/twiliosim"
)

// Kind is a way to do harm.
type Kind string

// The kinds.
const (
	Kill      Kind = "kill"      // kill -9, and started again after a while
	Restart   Kind = "restart"   // asked to end, and started again at once
	Freeze    Kind = "freeze"    // SIGSTOP, and SIGCONT after a while
	Cut       Kind = "cut"       // connections are reset, and refused for a while
	Blackhole Kind = "blackhole" // connections stay open and carry nothing, in one direction or both
	Slow      Kind = "slow"      // every piece on a connection is late
	Answers   Kind = "answers"   // Twilio answers wrongly, late, twice or not at all
)

// Kinds lists all kinds.
func Kinds() []Kind { return []Kind{Kill, Restart, Freeze, Cut, Blackhole, Slow, Answers} }

// Fault is one harm. Target is the name of a process, or for kinds of the network a pattern of edges (path.Match).
type Fault struct {
	Number int           `json:"number"`
	At     time.Duration `json:"at_ns"`
	For    time.Duration `json:"for_ns"` // 0: over at once
	Kind   Kind          `json:"kind"`
	Target string        `json:"target"`
	Detail string        `json:"detail,omitempty"` // of a blackhole its direction, of answers the kind of fault and how many
}

// String is the fault on one line.
func (f Fault) String() string {
	text := fmt.Sprintf("%7.2fs  %-9s %s", f.At.Seconds(), f.Kind, f.Target)
	if f.Detail != "" {
		text += " " + f.Detail
	}
	if f.For > 0 {
		text += fmt.Sprintf(" for %.1fs", f.For.Seconds())
	}
	return text
}

func (f Fault) end() time.Duration { return f.At + f.For }

const (
	firstFault = 3 * time.Second // work is under way by then
	meanGap    = 3 * time.Second
	rest       = 2 * time.Second // that a process has before the next harm to it
)

// card is what may be drawn: a kind with its target.
type card struct {
	kind   Kind
	target string
	answer twiliosim.FaultKind // of Answers
}

// schedule draws the faults of a run: the same seed, map, length and kinds give the same list. Cards come from a shuffled deck
// that holds each once, so that a run that is long enough does every harm to everything. A process, and an edge, suffers one
// harm at a time; harms to several overlap. All are over at the end.
func schedule(m chart, seed uint64, length time.Duration, kinds []Kind) []Fault {
	rng := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // it has to be repeatable
	all := deck(m, kinds)
	var faults []Fault
	var cards []card
	busy := map[string]time.Duration{}
	at := firstFault
	for at < length && len(all) > 0 {
		if len(cards) == 0 {
			cards = slices.Clone(all)
			rng.Shuffle(len(cards), func(i, k int) { cards[i], cards[k] = cards[k], cards[i] })
		}
		i := slices.IndexFunc(cards, func(c card) bool { return free(m, busy, c, at) })
		if i >= 0 {
			f := draw(rng, cards[i], at)
			cards = slices.Delete(cards, i, i+1)
			if f.end() <= length {
				f.Number = len(faults) + 1
				faults = append(faults, f)
				for _, name := range touched(m, f.Kind, f.Target) {
					busy[name] = f.end() + rest
				}
			}
		} else {
			cards = nil // all that is left is busy
		}
		gap := time.Duration(rng.ExpFloat64() * float64(meanGap))
		at += min(max(gap, meanGap/8), 3*meanGap)
	}
	return faults
}

func deck(m chart, kinds []Kind) []card {
	var all []card
	for _, kind := range kinds {
		targets := m.processes()
		switch kind {
		case Kill, Freeze: // there are more edges than processes: these two weigh double
			targets = slices.Concat(targets, targets)
		case Restart:
		case Cut, Blackhole:
			targets = m.regions()
		case Slow:
			targets = m.servers()
		case Answers:
			targets = nil
			for _, answer := range misbehaviours() {
				all = append(all, card{kind: kind, target: twilioName, answer: answer})
			}
		}
		for _, target := range targets {
			all = append(all, card{kind: kind, target: target})
		}
	}
	return all
}

// touched names what a fault keeps busy.
func touched(m chart, kind Kind, target string) []string {
	switch kind {
	case Cut, Blackhole, Slow:
		return m.matching(target)
	case Answers:
		return nil
	case Kill, Restart, Freeze:
	}
	return []string{target}
}

func free(m chart, busy map[string]time.Duration, c card, at time.Duration) bool {
	return !slices.ContainsFunc(touched(m, c.kind, c.target), func(name string) bool { return busy[name] > at })
}

func draw(rng *rand.Rand, c card, at time.Duration) Fault {
	f := Fault{At: at.Round(time.Millisecond), Kind: c.kind, Target: c.target}
	between := func(least, most time.Duration) time.Duration {
		return (least + time.Duration(rng.Int64N(int64(most-least)))).Round(time.Millisecond)
	}
	// long straddles the deadline of a call, the lease of an attempt, and the time-outs of Salesforce and the door.
	long := func() time.Duration { return between(lease+time.Second, lease+5*time.Second) }
	switch c.kind {
	case Kill:
		f.For = between(100*time.Millisecond, 3*time.Second)
	case Restart:
	case Freeze:
		if f.For = long(); rng.IntN(3) == 0 {
			f.For = between(300*time.Millisecond, 3*time.Second)
		}
	case Cut:
		if rng.IntN(2) == 0 {
			f.For = between(500*time.Millisecond, 5*time.Second)
		}
	case Blackhole:
		f.Detail = []string{"both ways", "to the server", "to the client"}[rng.IntN(3)]
		if f.For = between(500*time.Millisecond, 4*time.Second); rng.IntN(2) == 0 {
			f.For = long()
		}
	case Slow:
		f.For = between(3*time.Second, 8*time.Second)
		f.Detail = fmt.Sprintf("%d ms", 50+rng.IntN(350))
	case Answers:
		f.Detail = fmt.Sprintf("%s x%d", c.answer, 1+rng.IntN(20))
	}
	return f
}

// misbehaviours are what Twilio does wrongly.
func misbehaviours() []twiliosim.FaultKind {
	return []twiliosim.FaultKind{
		twiliosim.LoseAnswer, twiliosim.HangCreated, twiliosim.ServerErrorCreated, twiliosim.Junk, twiliosim.RateLimit,
		twiliosim.ServerError, twiliosim.Hang, twiliosim.Reset, twiliosim.Slow, twiliosim.DuplicateCallbacks,
		twiliosim.ReorderCallbacks, twiliosim.EarlyCallback,
	}
}

// chart is the map of the world: processes, and the edges between them.
type chart struct {
	nodes []string
	edges []string
}

const (
	ingestName     = "ingest"
	postgresName   = "postgres"
	twilioName     = "twilio"
	salesforceName = "salesforce"
	arrow          = ">"
)

func routers() []string     { return []string{"router-1", "router-2"} }
func dispatchers() []string { return []string{"dispatcher-1", "dispatcher-2", "dispatcher-3"} }

func services() []string { return slices.Concat([]string{ingestName}, routers(), dispatchers()) }

// newChart has so many NATS nodes.
func newChart(nodes int) chart {
	var m chart
	for i := range nodes {
		m.nodes = append(m.nodes, fmt.Sprintf("nats-%d", i+1))
	}
	edge := func(from, to string) { m.edges = append(m.edges, from+arrow+to) }
	for _, service := range services() {
		for _, node := range m.nodes {
			edge(service, node)
		}
		if service != ingestName {
			edge(service, postgresName)
		}
	}
	for _, dispatcher := range dispatchers() {
		edge(dispatcher, twilioName)
	}
	edge(salesforceName, ingestName)
	edge(twilioName, ingestName)
	for _, from := range m.nodes {
		for _, to := range m.nodes {
			if from != to {
				edge(from, to)
			}
		}
	}
	return m
}

func (m chart) processes() []string {
	return slices.Concat(services(), m.nodes, []string{postgresName, twilioName})
}

// regions are the patterns of edges that a fault of the network strikes together.
func (m chart) regions() []string {
	regions := m.servers()
	for _, service := range services() {
		regions = append(regions, service+">nats-*")
		if service != ingestName {
			regions = append(regions, service+">postgres")
		}
	}
	for _, node := range m.nodes {
		if len(m.nodes) > 1 {
			regions = append(regions, "nats-*<>"+node) // the other nodes, in both directions
		}
	}
	return regions
}

// servers are the regions of all ways to one server, or to the door.
func (m chart) servers() []string {
	regions := []string{"*>postgres", "*>twilio", "salesforce>ingest", "twilio>ingest"}
	for _, node := range m.nodes {
		regions = append(regions, "[a-mo-z]*>"+node) // from its clients
	}
	return regions
}

// matching lists the edges of a pattern; with <> in both directions.
func (m chart) matching(pattern string) []string {
	patterns := []string{pattern}
	if from, to, both := strings.Cut(pattern, "<>"); both {
		patterns = []string{from + arrow + to, to + arrow + from}
	}
	var found []string
	for _, edge := range m.edges {
		if slices.ContainsFunc(patterns, func(p string) bool { ok, err := path.Match(p, edge); return ok && err == nil }) {
			found = append(found, edge)
		}
	}
	return found
}
