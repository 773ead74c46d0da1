package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/beckonhq/beckon/internal/salesforcesim"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

const (
	floodLoad     = 50_000
	floodPeople   = 10_000
	floodPerBatch = 100
	floodDown     = 30 * time.Second // how long Twilio stays away after everything was decided
	floodLimit    = 5 * time.Minute
	floodMemory   = 300e6 // bytes
	sampleEvery   = 200 * time.Millisecond
)

// flood lets 50,000 notifications pile up while nothing answers at Twilio's address, and then opens it.
func (b *bench) flood(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, floodLimit)
	defer cancel()
	gate, err := newGate(ctx)
	if err != nil {
		return err
	}
	defer gate.close()
	c, err := b.serve(ctx, "ingest,router,dispatcher", "BECKON_TWILIO_API_URL=http://"+gate.address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	peak := watchMemory(ctx, c)
	if _, err := load(ctx, c, salesforcesim.LoadConfig{
		Count: floodLoad / floodPerBatch, Connections: 4, PerEnvelope: floodPerBatch,
		Record: func(i int) salesforcesim.Record {
			record := deal(i % floodPeople)
			record["Contact_First_Name__c"] = fmt.Sprintf("N%06d", i)
			return record
		},
	}); err != nil {
		return err
	}
	if err := c.awaitMetric(ctx, `beckon_messages_made_total{state="queued"}`, floodLoad); err != nil {
		return err
	}
	if err := waitFor(ctx, floodDown); err != nil {
		return err
	}
	refused, err := c.metric(ctx, "beckon_twilio_errors_total")
	if err != nil {
		return err
	}
	began := time.Now()
	if err := gate.open(ctx); err != nil {
		return err
	}
	if err := gate.sim.WaitForCount(ctx, floodLoad); err != nil {
		return fmt.Errorf("%d of %d messages came: %w: %s", gate.sim.Count(""), floodLoad, err, c.tail())
	}
	b.floodRows(gate, time.Since(began), peak(), refused)
	return nil
}

func (b *bench) floodRows(g *gate, took time.Duration, peak int64, refused float64) {
	messages := g.sim.Messages()
	swapped := outOfOrder(messages)
	first := time.Duration(0)
	if len(messages) > 0 {
		first = messages[0].Created.Sub(g.opened)
	}
	what := fmt.Sprintf("flood: %d notifications waiting while Twilio is away, then back", floodLoad)
	b.table.reach(what, fmt.Sprintf("%.0f MB resident at the most", float64(peak)/bytesPerMB),
		fmt.Sprintf("%.0f calls failed meanwhile", refused), "under 300 MB", peak < floodMemory)
	b.table.reach(what+": order", fmt.Sprintf("%d of %d messages came before an older one to the same person", swapped, len(messages)),
		fmt.Sprintf("%d people with %d messages each", floodPeople, floodLoad/floodPeople), "none", swapped == 0)
	b.table.add(what+": drained", fmt.Sprintf("%.0f messages/s", floodLoad/took.Seconds()),
		fmt.Sprintf("in %.0f s, the first %.1f s after Twilio was back; at most %d calls at once, at most %d in a tenth of a second",
			took.Seconds(), first.Seconds(), g.most.Load(), busiest(messages)), "")
}

// outOfOrder counts the messages that came before an older one to the same person. Their texts carry a rising number.
func outOfOrder(messages []twiliosim.Message) int {
	messages = slices.Clone(messages)
	slices.SortStableFunc(messages, func(a, b twiliosim.Message) int { return a.Created.Compare(b.Created) })
	newest, swapped := map[string]int{}, 0
	for _, m := range messages {
		number := numberOf(m.Body)
		if number < newest[m.To] {
			swapped++
			continue
		}
		newest[m.To] = number
	}
	return swapped
}

func numberOf(text string) int {
	_, rest, _ := strings.Cut(text, "N")
	const digits = 6
	if len(rest) < digits {
		return -1
	}
	number, err := strconv.Atoi(rest[:digits])
	if err != nil {
		return -1
	}
	return number
}

// busiest is the most messages that came within one tenth of a second.
func busiest(messages []twiliosim.Message) int {
	counts, most := map[int64]int{}, 0
	for _, m := range messages {
		tenth := m.Created.UnixMilli() / 100
		counts[tenth]++
		most = max(most, counts[tenth])
	}
	return most
}

// gate is a Twilio whose address refuses connections until it is opened.
type gate struct {
	sim     *twiliosim.Simulator
	address string
	opened  time.Time
	server  *http.Server
	most    atomic.Int64 // calls at once
}

func newGate(ctx context.Context) (*gate, error) {
	sim, err := twiliosim.New(twiliosim.Config{
		AccountSID: account, AuthToken: token, NoMagic: true, Callbacks: twiliosim.Callbacks{Drop: true},
	})
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(ctx, 1)
	if err != nil {
		sim.Close()
		return nil, err
	}
	g := &gate{sim: sim, address: ports[0]}
	var now atomic.Int64
	g.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for most := g.most.Load(); n > most && !g.most.CompareAndSwap(most, n); most = g.most.Load() {
		}
		sim.ServeHTTP(w, r)
	})}
	return g, nil
}

func (g *gate) open(ctx context.Context) error {
	var config net.ListenConfig
	socket, err := config.Listen(ctx, "tcp", g.address)
	if err != nil {
		return err
	}
	g.opened = time.Now()
	go func() { _ = g.server.Serve(socket) }()
	return nil
}

func (g *gate) close() {
	g.sim.Close()
	_ = g.server.Close()
}

// watchMemory samples the child's resident memory until ctx ends. The function returned gives the most so far, in bytes.
func watchMemory(ctx context.Context, c *child) func() int64 {
	var mu sync.Mutex
	var most int64
	go func() {
		for waitFor(ctx, sampleEvery) == nil {
			if total, _, err := c.resident(); err == nil {
				mu.Lock()
				most = max(most, total)
				mu.Unlock()
			}
		}
	}()
	return func() int64 {
		mu.Lock()
		defer mu.Unlock()
		return most
	}
}

func waitFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// metric sums the values of the samples whose name and labels begin with a text.
func (c *child) metric(ctx context.Context, begins string) (float64, error) {
	body, err := get(ctx, c.admin+"/metrics")
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, begins) {
			continue
		}
		fields := strings.Fields(line)
		value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			return 0, err
		}
		sum += value
	}
	return sum, nil
}

// awaitMetric returns when a metric has reached a value.
func (c *child) awaitMetric(ctx context.Context, begins string, want float64) error {
	for {
		have, err := c.metric(ctx, begins)
		if err == nil && have >= want {
			return nil
		}
		if err := waitFor(ctx, sampleEvery); err != nil {
			return fmt.Errorf("%s is %.0f, not %.0f: %w: %s", begins, have, want, err, c.tail())
		}
	}
}
