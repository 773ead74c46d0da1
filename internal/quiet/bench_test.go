package quiet_test

import (
	"testing"
	"time"

	"github.com/beckonhq/beckon/internal/quiet"
)

// BenchmarkAsk is what a claim pays for a message that may go now.
func BenchmarkAsk(b *testing.B) {
	zones, err := quiet.OpenZones("")
	if err != nil {
		b.Fatal(err)
	}
	law, err := quiet.Load(zones, quiet.Options{})
	if err != nil {
		b.Fatal(err)
	}
	noon := time.Date(2026, time.June, 10, 17, 0, 0, 0, time.UTC)
	for b.Loop() {
		if answer, err := law.Ask(noon, law.Locate(miami, quiet.Hints{}), quiet.Respect, false); err != nil || !answer.Open {
			b.Fatal(answer, err)
		}
	}
}
