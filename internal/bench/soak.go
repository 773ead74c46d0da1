package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/salesforcesim"
)

const (
	soakRate   = 25.0 // messages a second, each with two callbacks
	soakSample = 10 * time.Second
	soakGrowth = 1.10 // what the last quarter may have of the second one
)

// soak keeps a steady load and samples the resident memory of the process. The samples go to soak.csv in the directory of profiles,
// or the current one: seconds, megabytes, messages at Twilio.
func (b *bench) soak(ctx context.Context) (err error) {
	length := b.soakFor
	sim, url, closeSim, err := b.simulator(ctx, true)
	if err != nil {
		return err
	}
	defer closeSim()
	c, err := b.serve(ctx, "ingest,router,dispatcher", "BECKON_TWILIO_API_URL="+url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	count := int(soakRate * length.Seconds())
	began := time.Now()
	loaded := make(chan error, 1)
	go func() {
		_, err := load(ctx, c, salesforcesim.LoadConfig{Count: count, Rate: soakRate, Connections: 8, Record: deal})
		loaded <- err
	}()
	var samples []float64
	var csv strings.Builder
	csv.WriteString("seconds,megabytes,messages\n")
	for done := false; !done; {
		select {
		case err := <-loaded:
			if err != nil {
				return err
			}
			done = true
		case <-time.After(soakSample):
		}
		total, _, err := c.resident()
		if err != nil {
			return err
		}
		samples = append(samples, float64(total)/bytesPerMB)
		fmt.Fprintf(&csv, "%.0f,%.1f,%d\n", time.Since(began).Seconds(), float64(total)/bytesPerMB, sim.Count(""))
	}
	if err := sim.WaitForCount(ctx, count); err != nil {
		return fmt.Errorf("%d of %d messages came: %w: %s", sim.Count(""), count, err, c.tail())
	}
	file := filepath.Join(b.profiles, "soak.csv")
	if err := os.WriteFile(file, []byte(csv.String()), 0o600); err != nil {
		return err
	}
	second, last := mean(samples[len(samples)/4:len(samples)/2]), mean(samples[len(samples)*3/4:])
	b.table.reach(fmt.Sprintf("steady load, %.0f messages/s with two callbacks each, for %s", soakRate, length),
		fmt.Sprintf("%.0f MB resident in the second quarter, %.0f MB in the last", second, last),
		fmt.Sprintf("%d messages, all at Twilio; samples in %s", count, filepath.Base(file)), "flat (at most a tenth more)", last < second*soakGrowth)
	return nil
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(max(len(values), 1))
}
