package prices

import (
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/beckonhq/beckon/internal/message"
)

// Table is the prices of one file. It does not change after loading.
type Table struct {
	currency string
	entries  []entry
}

type entry struct {
	Channel  message.Channel `yaml:"channel"`
	Country  string          `yaml:"country"`
	Category string          `yaml:"category"`
	Per      string          `yaml:"per"`
	Price    amount          `yaml:"price"`
}

type amount struct{ *big.Rat }

// UnmarshalYAML reads a decimal number exactly, with or without quotes.
func (a *amount) UnmarshalYAML(node *yaml.Node) error {
	if !regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`).MatchString(node.Value) {
		return fmt.Errorf("line %d: price %q is no number such as 0.01", node.Line, node.Value)
	}
	a.Rat, _ = new(big.Rat).SetString(node.Value)
	return nil
}

// Load reads a file of prices; name is its name, for errors. All mistakes are reported at once.
func Load(name string, data []byte) (*Table, error) {
	var file struct {
		Currency string  `yaml:"currency"`
		Prices   []entry `yaml:"prices"`
	}
	if err := yaml.Load(data, &file, yaml.WithKnownFields()); err != nil {
		return nil, fmt.Errorf("prices %s: %w", name, err)
	}
	var problems []error
	if !regexp.MustCompile(`^[A-Z]{3}$`).MatchString(file.Currency) {
		problems = append(problems, errors.New("currency must be a code such as USD"))
	}
	if len(file.Prices) == 0 {
		problems = append(problems, errors.New("there are no prices"))
	}
	seen := map[[3]string]bool{}
	for i, e := range file.Prices {
		if problem := e.problem(); problem != nil {
			problems = append(problems, fmt.Errorf("price %d: %w", i+1, problem))
		}
		key := [3]string{string(e.Channel), e.Country, e.Category}
		if seen[key] {
			problems = append(problems, fmt.Errorf("price %d: the same channel, country and category come twice", i+1))
		}
		seen[key] = true
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("prices %s: %w", name, errors.Join(problems...))
	}
	return &Table{currency: file.Currency, entries: file.Prices}, nil
}

func (e *entry) problem() error {
	categories := map[message.Channel][]string{message.SMS: {"", "sms", "mms"}, message.WhatsApp: {"", "service", "marketing", "utility"}}
	switch known := categories[e.Channel]; {
	case known == nil:
		return fmt.Errorf("channel %q is none of sms, whatsapp", e.Channel)
	case !slices.Contains(known, e.Category):
		return fmt.Errorf("category %q is none of %v", e.Category, known[1:])
	case e.Country != "" && !regexp.MustCompile(`^[A-Z]{2}$`).MatchString(e.Country):
		return fmt.Errorf("country %q is no ISO 3166-1 code such as US", e.Country)
	case e.Per != "message" && e.Per != "segment":
		return fmt.Errorf("per %q is none of message, segment", e.Per)
	case e.Per == "segment" && e.Channel != message.SMS:
		return errors.New("only SMS has segments")
	case e.Price.Rat == nil:
		return errors.New("price is missing")
	}
	return nil
}

// Currency is the code of the amounts, ISO 4217.
func (t *Table) Currency() string { return t.currency }

// Cost is the price of messages of one kind; false when the file has none for them. An entry that names the country goes before one
// that names the category only, and both before one that names neither.
func (t *Table) Cost(channel message.Channel, country, category string, messages, segments int64) (*big.Rat, bool) {
	var best *entry
	rank := -1
	for i := range t.entries {
		e := &t.entries[i]
		if e.Channel != channel || e.Country != "" && e.Country != country || e.Category != "" && e.Category != category {
			continue
		}
		now := 0
		if e.Country != "" {
			now += 2
		}
		if e.Category != "" {
			now++
		}
		if now > rank {
			best, rank = e, now
		}
	}
	if best == nil {
		return new(big.Rat), false
	}
	n := messages
	if best.Per == "segment" {
		n = segments
	}
	return new(big.Rat).Mul(best.Price.Rat, new(big.Rat).SetInt64(n)), true
}
