package torture

import (
	"bufio"
	"context"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// watched are the counters that show what the dispatchers went through, with the words of the report.
func watched() map[string]string {
	return map[string]string{
		`beckon_leases_expired_total`:                 "leases that ran out while a dispatcher could not report",
		`beckon_lookups_total{result="found"}`:        "unknown outcomes found at Twilio",
		`beckon_lookups_total{result="absent"}`:       "unknown outcomes proven absent, and sent again",
		`beckon_lookups_total{result="doubt"}`:        "look-ups that left an outcome unknown",
		`beckon_claims_postponed_total`:               "messages that had to wait behind another to the same person",
		`beckon_dispatcher_waits_total`:               "times that a dispatcher waited for Postgres or NATS",
		`beckon_suppressed_total{reason="opted_out"}`: "messages that an opt-out stopped",
	}
}

const lookEvery = time.Second

// watch adds up counters of the dispatchers until ctx ends. A process that is killed takes along what it counted since the last
// look, so that the sums are a little low.
func (w *world) watch(ctx context.Context) map[string]int {
	sums := map[string]int{}
	var mu sync.Mutex
	var looking sync.WaitGroup
	for _, service := range dispatchers() {
		looking.Go(func() {
			last := map[string]int{}
			for pause(ctx, lookEvery) {
				now := w.counters(ctx, service)
				if now == nil {
					continue
				}
				mu.Lock()
				for name, value := range now {
					grown := value - last[name]
					if grown < 0 { // it was started again
						grown = value
					}
					sums[name] += grown
				}
				mu.Unlock()
				last = now
			}
		})
	}
	looking.Wait()
	return maps.Clone(sums)
}

// counters reads the watched counters of a process; nil when it does not answer.
func (w *world) counters(ctx context.Context, service string) map[string]int {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.addresses[admin+service]+"/metrics", http.NoBody)
	if err != nil {
		return nil
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	found := map[string]int{}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		words, ok := watched()[name]
		value, err := strconv.ParseFloat(text, 64)
		if ok && err == nil {
			found[words] = int(value)
		}
	}
	if lines.Err() != nil {
		return nil
	}
	return found
}
