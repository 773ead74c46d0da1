package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/beckonhq/beckon/internal/embedded/natsd"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforcesim"
	"github.com/beckonhq/beckon/internal/stream"
)

const (
	object    = "Opportunity"
	fieldText = "some text of a field"
	subject   = "notifications." + benchOrg
	rounds    = 3 // of each comparison, one after another in turns
)

// rawBelt is JetStream as Beckon sets it up, without Beckon: the limit that the door is compared with. Its publishers
// are in the server's own process, so they pay no network.
type rawBelt struct {
	publish func(body []byte) error
	close   func()
}

func (b *bench) rawBelt(ctx context.Context, dir string) (*rawBelt, error) {
	server, err := natsd.Start(natsd.Config{Dir: filepath.Join(b.dir, dir)}) //nolint:contextcheck // it lives until Shutdown, not as long as this call
	if err != nil {
		return nil, err
	}
	conn, err := server.Conn()
	if err != nil {
		return nil, err
	}
	client, err := stream.Open(ctx, conn, stream.Options{})
	if err != nil {
		return nil, err
	}
	js, err := conn.JetStream()
	if err != nil {
		return nil, err
	}
	return &rawBelt{
		publish: func(body []byte) error {
			_, err := js.Publish(subject, body)
			return err
		},
		close: func() { client.Close(); conn.Close(); server.Shutdown() },
	}, nil
}

// rate is how many bodies a second are published by n publishers that wait for each confirmation.
func (r *rawBelt) rate(body []byte, count, n int) (float64, error) {
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make(chan error, n)
	began := time.Now()
	for range n {
		group.Go(func() {
			for next.Add(1) <= int64(count) {
				if err := r.publish(body); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	group.Wait()
	select {
	case err := <-errs:
		return 0, err
	default:
		return float64(count) / time.Since(began).Seconds(), nil
	}
}

func record(int) salesforcesim.Record {
	r := salesforcesim.Record{}
	for f := range largeFields {
		r[fmt.Sprintf("Custom_%d__c", f)] = fieldText
	}
	return r
}

// load posts envelopes to the door and fails unless all are acknowledged.
func load(ctx context.Context, c *child, cfg salesforcesim.LoadConfig) (salesforcesim.LoadResult, error) {
	org, err := salesforcesim.New(salesforcesim.Config{
		OrgID: benchOrg, Endpoint: c.public + "/salesforce/outbound-messages",
		Definitions: []salesforcesim.Definition{{Object: object}},
	})
	if err != nil {
		return salesforcesim.LoadResult{}, err
	}
	result, err := org.Load(ctx, cfg)
	if err == nil && result.Acked != cfg.Count {
		err = fmt.Errorf("%d of %d envelopes were acknowledged: %v", result.Acked, cfg.Count, result.Failures)
	}
	return result, err
}

// contest is the door against the raw belt.
type contest struct {
	child      *child
	raw        *rawBelt
	load       salesforcesim.LoadConfig
	body       []byte // what the raw belt gets
	publishers int    // of the raw belt
}

// run measures both in turns and returns the means.
func (c contest) run(ctx context.Context) (door, limit float64, err error) {
	for range rounds {
		result, err := load(ctx, c.child, c.load)
		if err != nil {
			return 0, 0, err
		}
		rate, err := c.raw.rate(c.body, c.load.Count, c.publishers)
		if err != nil {
			return 0, 0, err
		}
		door, limit = door+result.PerSecond()/rounds, limit+rate/rounds
	}
	return door, limit, nil
}

func (b *bench) acknowledgeLarge(ctx context.Context) (err error) {
	body, err := largeBody()
	if err != nil {
		return err
	}
	c, raw, done, err := b.doorAndBelt(ctx, "raw-large")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	var bestDoor, bestLimit float64
	for _, n := range []int{1, 8, 32} {
		cfg := salesforcesim.LoadConfig{Count: 600, Connections: n, PerEnvelope: notification.MaxPerEnvelope, Record: record}
		if n == 1 {
			cfg.Count = 200
		}
		door, limit, err := contest{c, raw, cfg, body, n}.run(ctx)
		if err != nil {
			return err
		}
		b.table.add(fmt.Sprintf("durable acknowledgements, envelopes of 100 (%d KB), %d connections", len(body)/1000, n),
			fmt.Sprintf("%.0f envelopes/s", door),
			fmt.Sprintf("raw JetStream, %d publishers: %.0f/s (ratio %s)", n, limit, ratio(door, limit)), "")
		bestDoor, bestLimit = max(bestDoor, door), max(bestLimit, limit)
	}
	b.table.reach("the same, best against best", fmt.Sprintf("%.0f notifications/s", bestDoor*notification.MaxPerEnvelope),
		"raw JetStream: ratio "+ratio(bestDoor, bestLimit), "ratio 0.7", bestDoor >= 0.7*bestLimit)
	return nil
}

// doorAndBelt starts the role ingest as a process and a raw belt beside it.
func (b *bench) doorAndBelt(ctx context.Context, dir string) (*child, *rawBelt, func() error, error) {
	raw, err := b.rawBelt(ctx, dir)
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := b.serve(ctx, "ingest")
	if err != nil {
		raw.close()
		return nil, nil, nil, err
	}
	return c, raw, func() error { raw.close(); return c.stop() }, nil
}

func (b *bench) acknowledgeSingle(ctx context.Context) (err error) {
	c, raw, done, err := b.doorAndBelt(ctx, "raw-single")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	body, err := largeBody()
	if err != nil {
		return err
	}
	body = body[:1200] // what one notification takes
	cfg := salesforcesim.LoadConfig{Count: 4000, Connections: 256, Record: record}
	door, one, err := contest{c, raw, cfg, body, 1}.run(ctx)
	if err != nil {
		return err
	}
	many, err := raw.rate(body, cfg.Count, 256)
	if err != nil {
		return err
	}
	b.table.reach("single-notification envelopes, 256 connections", fmt.Sprintf("%.0f envelopes/s", door),
		fmt.Sprintf("one raw publish at a time: %.0f/s (ratio %s); 256 raw publishers: %.0f/s (ratio %s)", one, ratio(door, one), many, ratio(door, many)),
		"ratio 2", door >= 2*one)
	return nil
}

func (b *bench) acceptLatency(ctx context.Context) (err error) {
	c, err := b.serve(ctx, "ingest")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	for _, step := range []struct {
		rate   float64
		target time.Duration
	}{{200, 4 * time.Millisecond}, {1000, 20 * time.Millisecond}} {
		const seconds = 5
		result, err := load(ctx, c, salesforcesim.LoadConfig{Count: int(step.rate * seconds), Rate: step.rate, Connections: 64, Record: record})
		if err != nil {
			return err
		}
		l := result.Latency
		b.table.reach(fmt.Sprintf("accept latency at %.0f/s", step.rate),
			fmt.Sprintf("p50 %s, p95 %s, p99 %s", millis(l.P50), millis(l.P95), millis(l.P99)),
			"counted from when the request was due", "p95 under "+millis(step.target), l.P95 < step.target)
	}
	return nil
}
