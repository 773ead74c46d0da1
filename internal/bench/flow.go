package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/beckonhq/beckon/internal/salesforcesim"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

const (
	flowLimit   = 60 * time.Second
	flowRate    = 200.0
	flowSeconds = 10
	flowLoad    = 10_000 // messages of a closed loop
	idleWait    = 5 * time.Second
	bytesPerMB  = 1e6
)

// endToEnd measures from the SOAP request to the request at Twilio.
func (b *bench) endToEnd(ctx context.Context) error { return b.flow(ctx, false) }

func (b *bench) endToEndWithCallbacks(ctx context.Context) error { return b.flow(ctx, true) }

func (b *bench) flow(ctx context.Context, callbacks bool) (err error) {
	sim, url, closeSim, err := b.simulator(ctx, callbacks)
	if err != nil {
		return err
	}
	defer closeSim()
	c, err := b.serve(ctx, "ingest,router,dispatcher", "BECKON_TWILIO_API_URL="+url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	with := "no status callbacks"
	if callbacks {
		with = "each message with its callbacks sent and delivered"
	} else if err := b.idle(ctx, c); err != nil {
		return err
	}
	w := &world{child: c, sim: sim, with: with}
	if err := b.flowLatency(ctx, w); err != nil {
		return err
	}
	for _, per := range []int{1, 100} {
		if err := b.flowLoop(ctx, w, per); err != nil {
			return err
		}
	}
	return nil
}

// world is a running Beckon with its Twilio.
type world struct {
	child  *child
	sim    *twiliosim.Simulator
	with   string // what the simulator does
	people int    // so many were written to
}

func (b *bench) simulator(ctx context.Context, callbacks bool) (*twiliosim.Simulator, string, func(), error) {
	sim, err := twiliosim.New(twiliosim.Config{
		AccountSID: account, AuthToken: token, NoMagic: true, Callbacks: twiliosim.Callbacks{Drop: !callbacks},
	})
	if err != nil {
		return nil, "", nil, err
	}
	var config net.ListenConfig
	socket, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		sim.Close()
		return nil, "", nil, err
	}
	server := &http.Server{Handler: sim, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(socket) }()
	return sim, "http://" + socket.Addr().String(), func() { sim.Close(); _ = server.Close() }, nil
}

func (b *bench) idle(ctx context.Context, c *child) error {
	select {
	case <-time.After(idleWait):
	case <-ctx.Done():
		return ctx.Err()
	}
	total, anonymous, err := c.resident()
	if err != nil {
		return err
	}
	b.table.reach("memory of an idle `beckon serve`, all roles, embedded NATS", fmt.Sprintf("%.0f MB resident", float64(total)/bytesPerMB),
		fmt.Sprintf("%.0f MB of it are not the program file's; Postgres's processes not counted", float64(anonymous)/bytesPerMB),
		"under 120 MB", total < 120e6)
	return nil
}

// person is the number of the i-th person of a run.
func person(i int) string { return fmt.Sprintf("+1212%03d%04d", 220+i/10_000, i%10_000) }

func deal(i int) salesforcesim.Record {
	return salesforcesim.Record{
		"StageName": "Closed Won", "Name": fmt.Sprintf("Opportunity %d", i), "Amount": 1200.0, "ContactId": "0035g00000ABCdeAAG",
		"Contact_Mobile__c": person(i), "Contact_First_Name__c": "Ada", "Language__c": "en",
	}
}

// flowLatency posts envelopes of one notification at a fixed rate; the time is from the answer to the SOAP request, and
// from when that request was due, to the request at Twilio.
func (b *bench) flowLatency(ctx context.Context, w *world) error {
	ctx, cancel := context.WithTimeout(ctx, flowLimit)
	defer cancel()
	first, count := w.people, int(flowRate*flowSeconds)
	w.people += count
	var mu sync.Mutex
	accepted := map[string]time.Time{}
	due := map[string]time.Time{}
	org, err := salesforcesim.New(salesforcesim.Config{
		OrgID: benchOrg, Endpoint: w.child.public + "/salesforce/outbound-messages",
		Definitions: []salesforcesim.Definition{{Object: object}},
		HTTPClient: &http.Client{Transport: watch{&http.Transport{MaxIdleConnsPerHost: 64}, func(body []byte, at time.Time) {
			if number, ok := numberIn(body); ok {
				mu.Lock()
				defer mu.Unlock()
				accepted[number] = at
			}
		}}},
	})
	if err != nil {
		return err
	}
	before := w.sim.Count("")
	result, err := org.Load(ctx, salesforcesim.LoadConfig{
		Count: count, Rate: flowRate, Connections: 64, Record: func(i int) salesforcesim.Record { return deal(first + i) },
	})
	if err != nil {
		return err
	}
	start := time.Now().Add(-result.Elapsed)
	for i := range count {
		due[person(first+i)] = start.Add(time.Duration(float64(i) / flowRate * float64(time.Second)))
	}
	if err := w.sim.WaitForCount(ctx, before+count); err != nil {
		return fmt.Errorf("%d of %d messages came: %w: %s", w.sim.Count("")-before, count, err, w.child.tail())
	}
	var fromAck, fromDue []time.Duration
	for _, m := range w.sim.Messages() {
		if at, ok := accepted[m.To]; ok {
			fromAck, fromDue = append(fromAck, m.Created.Sub(at)), append(fromDue, m.Created.Sub(due[m.To]))
		}
	}
	if len(fromAck) != count {
		return fmt.Errorf("%d people were written to, not %d", len(fromAck), count)
	}
	p95 := percentile(fromAck, 95)
	b.table.reach(fmt.Sprintf("end to end at %.0f/s, %s", flowRate, w.with),
		fmt.Sprintf("SOAP accepted to request at Twilio: p50 %s, p95 %s, p99 %s", millis(percentile(fromAck, 50)), millis(p95), millis(percentile(fromAck, 99))),
		fmt.Sprintf("counted from when the SOAP request was due: p50 %s, p95 %s", millis(percentile(fromDue, 50)), millis(percentile(fromDue, 95))),
		"p95 under 120 ms", p95 < 120*time.Millisecond)
	return nil
}

// watch tells when the answer to a body came.
type watch struct {
	next http.RoundTripper
	seen func(body []byte, at time.Time)
}

// RoundTrip passes the request on.
func (w watch) RoundTrip(r *http.Request) (*http.Response, error) {
	var body bytes.Buffer
	if r.GetBody != nil {
		if reader, err := r.GetBody(); err == nil {
			_, _ = body.ReadFrom(reader)
		}
	}
	response, err := w.next.RoundTrip(r)
	w.seen(body.Bytes(), time.Now())
	return response, err
}

func numberIn(body []byte) (string, bool) {
	_, rest, ok := bytes.Cut(body, []byte("Contact_Mobile__c>"))
	if !ok || len(rest) < len(person(0)) {
		return "", false
	}
	return string(rest[:len(person(0))]), true
}

// flowLoop posts as fast as it is answered, and counts from the first SOAP request to the last request at Twilio.
func (b *bench) flowLoop(ctx context.Context, w *world, per int) error {
	ctx, cancel := context.WithTimeout(ctx, flowLimit)
	defer cancel()
	first, before := w.people, w.sim.Count("")
	w.people += flowLoad
	connections := 64
	if per > 1 {
		connections = 4
	}
	profiled := b.profile(ctx, w.child, fmt.Sprintf("flow-%d", per))
	used := cpuOf(w.child)
	result, err := load(ctx, w.child, salesforcesim.LoadConfig{
		Count: flowLoad / per, Connections: connections, PerEnvelope: per,
		Record: func(i int) salesforcesim.Record { return deal(first + i) },
	})
	if err != nil {
		return err
	}
	began := time.Now().Add(-result.Elapsed)
	if err := w.sim.WaitForCount(ctx, before+flowLoad); err != nil {
		return fmt.Errorf("%d of %d messages came: %w: %s", w.sim.Count("")-before, flowLoad, err, w.child.tail())
	}
	elapsed := time.Since(began)
	used = cpuOf(w.child).minus(used)
	profiled()
	rate := flowLoad / elapsed.Seconds()
	value := fmt.Sprintf("%.0f messages/s", rate)
	compared := fmt.Sprintf("%d messages in %.1f s, the door took %.1f s of it; %s", flowLoad, elapsed.Seconds(),
		result.Elapsed.Seconds(), used.each(flowLoad))
	b.table.reach(fmt.Sprintf("end to end, as fast as it goes, envelopes of %d, %s", per, w.with), value, compared, "3000/s", rate >= 3000)
	return nil
}

func percentile(samples []time.Duration, p int) time.Duration {
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}
