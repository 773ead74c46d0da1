package config

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "<redacted>"

// Secret is a value that never prints: every way of formatting, logging or encoding it gives <redacted>, or nothing at
// all when it is empty. Reveal gives the value.
type Secret string

// Reveal is the value itself, for the one place that uses it.
func (s Secret) Reveal() string { return string(s) }

// String is <redacted>.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString is <redacted>.
func (s Secret) GoString() string { return s.String() }

// Format writes <redacted>, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) {
	// A formatter has nobody to tell that its writer failed.
	_, _ = io.WriteString(f, s.String())
}

// LogValue is <redacted>.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is <redacted>; JSON uses it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML is <redacted>.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }
