package quiet_test

import (
	"testing"
	"time"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/quiet"
)

// BenchmarkMay is what a claim pays for the hours of one message: to find the place, and to ask its law.
func BenchmarkMay(b *testing.B) {
	law, err := quiet.Shipped()
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		to   address.Address
		at   string
	}{
		{"open", miami, "2026-06-10T17:00:00Z"},
		{"closed", miami, "2026-06-10T05:00:00Z"},
		{"closed over a long weekend", "+12055550123", "2026-07-03T17:00:00Z"},
		{"a number that tells no place", tollFree, "2026-06-10T05:00:00Z"},
		{"an Australian mobile", "+61412345678", "2026-06-10T05:00:00Z"},
	} {
		b.Run(c.name, func(b *testing.B) {
			now, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := law.May(now, law.Locate(c.to, quiet.Hints{}), quiet.Respect, true); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
