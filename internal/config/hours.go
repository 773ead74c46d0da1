package config

import (
	"fmt"

	"github.com/beckonhq/beckon/internal/quiet"
)

// Law reads the time zone data and the tables of quiet hours: the shipped one and, over it, the configured file. An error names
// the setting, and file and line of every mistake.
func (c *Config) Law() (*quiet.Law, error) {
	zones, err := quiet.OpenZones(c.QuietHours.ZoneInfo)
	if err != nil {
		return nil, fmt.Errorf("BECKON_ZONEINFO: %w", err)
	}
	law, err := quiet.Load(zones, quiet.Options{File: c.QuietHours.File, Unknown: c.QuietHours.Unknown})
	if err != nil {
		return nil, fmt.Errorf("BECKON_QUIET_HOURS_FILE, BECKON_QUIET_UNKNOWN: %w", err)
	}
	return law, nil
}
