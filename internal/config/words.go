package config

import (
	"fmt"
	"os"

	"github.com/beckonhq/beckon/internal/consent"
)

// Erasure is the keys of the hashes of erased addresses, for the ledger.
func (c *Config) Erasure() []string {
	keys := make([]string, len(c.Consent.ErasureKeys))
	for i, key := range c.Consent.ErasureKeys {
		keys[i] = key.Reveal()
	}
	return keys
}

// Words reads the vocabulary of opt-outs: the shipped one, and the configured file that adds to it. An error names file and
// line of every mistake.
func (c *Config) Words() (*consent.Words, error) {
	if c.Consent.OptOutFile == "" {
		return consent.LoadWords()
	}
	data, err := os.ReadFile(c.Consent.OptOutFile)
	if err != nil {
		return nil, fmt.Errorf("read BECKON_OPT_OUT_FILE: %w", err)
	}
	return consent.LoadWords(consent.File{Name: c.Consent.OptOutFile, Data: data})
}
