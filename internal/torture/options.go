package torture

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Options say what to do. Zero values mean the defaults that the fields name.
type Options struct {
	For    time.Duration // how long harm is done, from the first notification on; default 2 minutes
	Settle time.Duration // how long everything may take to come to rest after it; default 4 minutes
	Seed   uint64        // of the schedule and of the load; 0: another one each time
	Rate   float64       // changes of records a second; default 20
	Nodes  int           // NATS servers, 1 or 3; default 3
	Kinds  []Kind        // default: all
	Dir    string        // for data and logs; empty: a temporary one, which is removed unless the run fails

	Program     string   // path of the beckon program that plays the processes; default: this one
	PostgresBin string   // directory of the Postgres programs; empty: they are searched
	Environ     []string // of the processes, beside what they are configured with; only PATH, HOME and TMPDIR are passed on
	Progress    io.Writer
}

// Defaults of Options.
const (
	DefaultFor    = 2 * time.Minute
	DefaultSettle = 4 * time.Minute
	DefaultRate   = 20.0
	DefaultNodes  = 3
)

// The timings of the tortured processes: short, so that leases run out many times in a run.
const (
	sendTimeout    = 2 * time.Second
	reconcileAfter = 2 * time.Second
	confirmTimeout = 3 * time.Second
	// lease is what the dispatcher makes of sendTimeout, see docs/adr/0003-send-protocol.md.
	lease = 2*sendTimeout + 5*time.Second

	salesforceTimeout = 5 * time.Second
	callbackTimeout   = 3 * time.Second
	stopPatience      = 15 * time.Second // for an orderly end
	startPatience     = 2 * time.Minute
	dialTimeout       = 2 * time.Second
)

// ErrOptions says that options make no sense.
var ErrOptions = errors.New("torture")

func (o Options) withDefaults() (Options, error) {
	if o.For == 0 {
		o.For = DefaultFor
	}
	if o.Settle == 0 {
		o.Settle = DefaultSettle
	}
	if o.Rate == 0 {
		o.Rate = DefaultRate
	}
	if o.Nodes == 0 {
		o.Nodes = DefaultNodes
	}
	if len(o.Kinds) == 0 {
		o.Kinds = Kinds()
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	switch {
	case o.For < 2*firstFault || o.Settle < time.Second:
		return o, fmt.Errorf("%w: the length has to be at least %s, the time to settle at least 1s", ErrOptions, 2*firstFault)
	case o.Rate < 0.1 || o.Rate > 1000:
		return o, fmt.Errorf("%w: the rate has to be from 0.1 to 1000 changes a second", ErrOptions)
	case o.Nodes != 1 && o.Nodes != 3:
		return o, fmt.Errorf("%w: there are 1 or 3 NATS servers", ErrOptions)
	}
	for _, kind := range o.Kinds {
		if !slices.Contains(Kinds(), kind) {
			return o, fmt.Errorf("%w: there is no fault %q, the faults are %s", ErrOptions, kind, kindList())
		}
	}
	return o, nil
}

func kindList() string {
	names := make([]string, 0, len(Kinds()))
	for _, kind := range Kinds() {
		names = append(names, string(kind))
	}
	return strings.Join(names, ", ")
}
