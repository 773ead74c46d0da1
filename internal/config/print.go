package config

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Print writes the effective configuration, a line for each setting: path, value (secrets and phone numbers hidden), and
// where it came from: default, file, or the name of the variable.
func (c *Config) Print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	all := settings()
	for _, s := range c.listed { // of those what the file says
		if c.origins[s.Path] != fromDefault {
			all = append(all, s)
		}
	}
	for _, s := range all {
		source := string(c.origins[s.Path])
		if source == string(fromEnv) {
			source = s.Variable
		}
		shown := s.field(c).show()
		if shown == "" || shown == "[]" {
			shown = "-"
		}
		if _, err := fmt.Fprintf(table, "%s\t%s\t%s\n", s.Path, shown, source); err != nil {
			return fmt.Errorf("print configuration: %w", err)
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return nil
}
