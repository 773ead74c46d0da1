package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforcesim"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

const (
	object    = "Opportunity"
	people    = 150             // who are written to at one time
	stopEvery = 3 * time.Second // somebody writes STOP, about so often
)

// load is what the world has to do: records change, and people opt out.
type load struct {
	org    *salesforcesim.Org
	twilio string // base URL of the simulator itself, past every edge
	client *http.Client

	mu      sync.Mutex
	rng     *rand.Rand // of the records
	moods   *rand.Rand // of the people
	asked   map[notification.ID]Asked
	records []change // that may change again
	active  []string
	stopped []string
	born    int
	stops   []Stop
}

// Asked is one notification that Salesforce queued, and what has to come of it.
type Asked struct {
	To    string    // who is to be written to; empty for a record that no rule matches
	At    time.Time // when it was queued
	Acked time.Time // when it was acknowledged first; zero if never
}

// Stop is one opt-out: Began is when the person first wrote, Acked when the door first confirmed it; zero if it never did.
type Stop struct {
	To           string
	Began, Acked time.Time
}

type change struct {
	record   notification.ID
	to, kind string
}

// newLoad plays a Salesforce organisation that is quicker to try again than the real one.
func newLoad(opts Options, endpoint, twilio string) (*load, error) {
	l := &load{
		twilio: twilio, client: &http.Client{Timeout: 2 * callbackTimeout},
		rng:   rand.New(rand.NewPCG(opts.Seed, 3)), //nolint:gosec // it has to be repeatable
		moods: rand.New(rand.NewPCG(opts.Seed, 4)), //nolint:gosec // the same
		asked: map[notification.ID]Asked{},
	}
	for range people {
		l.active = append(l.active, l.person())
	}
	var err error
	l.org, err = salesforcesim.New(salesforcesim.Config{
		OrgID: orgID, Endpoint: endpoint, Definitions: []salesforcesim.Definition{{Object: object}}, Seed: opts.Seed,
		HTTPClient: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: salesforcesim.DefaultConcurrency}},
		BatchSize:  20, Linger: 50 * time.Millisecond, Timeout: salesforceTimeout,
		FirstGap: 250 * time.Millisecond, MaxGap: 4 * time.Second, RepeatAfterAck: 0.03, Regroup: true, Shuffle: true,
	})
	return l, err
}

// person is a new phone number. The caller holds mu, or is alone.
func (l *load) person() string {
	l.born++
	return fmt.Sprintf("+1212%03d%04d", 220+l.born/10_000, l.born%10_000)
}

// change saves records at the rate until ctx ends.
func (l *load) change(ctx context.Context, rate float64) error {
	ticker := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer ticker.Stop()
	for {
		if err := l.save(); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// save changes a record: mostly a new one, at times one that was there before.
func (l *load) save() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := change{to: l.recipient(), kind: l.kind()}
	if len(l.records) > 0 && l.rng.IntN(5) == 0 {
		c = l.records[l.rng.IntN(len(l.records))]
	}
	record := salesforcesim.Record{"Kind__c": c.kind, "Contact_Mobile__c": c.to, "Amount": l.born}
	if c.record != "" {
		record["Id"] = string(c.record)
	}
	saved, err := l.org.Save(object, record)
	if err != nil {
		return fmt.Errorf("change a record: %w", err)
	}
	if c.record == "" {
		const most = 200
		c.record = saved.Record
		if l.records = append(l.records, c); len(l.records) > most {
			l.records = l.records[1:]
		}
	}
	asked := Asked{To: c.to, At: time.Now()}
	if c.kind == "quiet" {
		asked.To = ""
	}
	for _, id := range saved.Notifications {
		l.asked[id] = asked
	}
	return nil
}

// recipient is mostly somebody who has not opted out. The caller holds mu.
func (l *load) recipient() string {
	if len(l.stopped) > 0 && l.rng.IntN(10) == 0 {
		return l.stopped[l.rng.IntN(len(l.stopped))]
	}
	return l.active[l.rng.IntN(len(l.active))]
}

func (l *load) kind() string {
	switch n := l.rng.IntN(10); {
	case n == 0:
		return "quiet"
	case n < 4:
		return "whatsapp"
	}
	return "sms"
}

// optOut lets people write STOP until ctx ends. One who gets no answer writes again.
func (l *load) optOut(ctx context.Context) {
	for pause(ctx, stopEvery) {
		l.mu.Lock()
		i := l.moods.IntN(len(l.active))
		stop := Stop{To: l.active[i], Began: time.Now()}
		l.active[i] = l.person()
		l.stopped = append(l.stopped, stop.To)
		l.mu.Unlock()
		for stop.Acked.IsZero() && ctx.Err() == nil {
			if l.write(ctx, stop.To, "STOP") {
				stop.Acked = time.Now()
			} else {
				pause(ctx, time.Second)
			}
		}
		l.mu.Lock()
		l.stops = append(l.stops, stop)
		l.mu.Unlock()
	}
}

// write lets a person write to us by SMS; true when the door has confirmed it.
func (l *load) write(ctx context.Context, from, body string) bool {
	var result twiliosim.InboundResult
	err := l.post(ctx, "/_sim/inbound", twiliosim.InboundMessage{From: from, To: smsFrom, Body: body}, &result)
	return err == nil && result.HTTPStatus/100 == 2
}

// misbehave lets Twilio's next answers go wrong.
func (l *load) misbehave(ctx context.Context, f twiliosim.Fault) error {
	return l.post(ctx, "/_sim/faults", f, nil)
}

func (l *load) post(ctx context.Context, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("ask the Twilio simulator: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, l.twilio+path, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("ask the Twilio simulator: %w", err)
	}
	response, err := l.client.Do(request)
	if err != nil {
		return fmt.Errorf("ask the Twilio simulator: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("ask the Twilio simulator: it answers %d", response.StatusCode)
	}
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return fmt.Errorf("ask the Twilio simulator: %w", err)
	}
	return nil
}

// ledger is what Salesforce asked for, and who opted out.
func (l *load) ledger() (map[notification.ID]Asked, []Stop) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, asked := range l.asked {
		history, ok := l.org.History(id)
		if !ok || history.State != salesforcesim.Delivered {
			continue
		}
		for _, try := range history.Attempts {
			if try.Outcome == salesforcesim.Acked {
				asked.Acked = try.At.Add(try.Took)
				l.asked[id] = asked
				break
			}
		}
	}
	return l.asked, slices.Clone(l.stops)
}

// pause waits; false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
