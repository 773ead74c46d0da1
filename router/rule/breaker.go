package rule

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Breaker pauses a rule that suddenly makes far more messages than it is used to: AtLeast in a span of length Per, and Above times as
// many as in the busiest span of the last seven days.
type Breaker struct {
	Above   float64       `json:"above"`
	Per     time.Duration `json:"per"` // nanoseconds
	AtLeast int           `json:"at_least"`
}

// minSpan keeps a rule's counters few.
const minSpan = time.Minute

func (p *ruleParser) breaker(node *yaml.Node) *Breaker {
	if node == nil {
		return nil
	}
	keys := p.breakerKeys(node, "a breaker")
	if keys == nil {
		return nil
	}
	b := &Breaker{Per: p.span(keys["per"], "per", minSpan), AtLeast: p.bound(keys["at_least"], "at_least")}
	if n := keys["above"]; n != nil {
		var err error
		if b.Above, err = strconv.ParseFloat(strings.TrimSuffix(n.Value, "x"), 64); n.Kind != yaml.ScalarNode || err != nil || !(b.Above > 1 && b.Above <= maxBound) {
			p.errorf(n, "above must be a factor greater than 1, such as 10x")
		}
	}
	return b
}

// OptOutBreaker pauses a rule that people opt out of: when, of the people whom its messages reached within the time Per, at least
// AtLeast opted out in answer, and more than the share Above.
type OptOutBreaker struct {
	Above   float64       `json:"above"` // from 0 to 1
	Per     time.Duration `json:"per"`   // nanoseconds
	AtLeast int           `json:"at_least"`
}

// maxOptOutSpan is how long the ledger keeps who opted out of which rule.
const maxOptOutSpan = 30 * 24 * time.Hour

func (p *ruleParser) optOutBreaker(node *yaml.Node) *OptOutBreaker {
	if node == nil {
		return nil
	}
	keys := p.breakerKeys(node, "an opt-out breaker")
	if keys == nil {
		return nil
	}
	b := &OptOutBreaker{Per: p.span(keys["per"], "per", minSpan), AtLeast: p.bound(keys["at_least"], "at_least")}
	if n := keys["per"]; b.Per > maxOptOutSpan {
		p.errorf(n, "per %q is longer than %s", n.Value, maxOptOutSpan)
	}
	if n := keys["above"]; n != nil {
		digits, isShare := strings.CutSuffix(n.Value, "%")
		percent, err := strconv.ParseFloat(digits, 64)
		if n.Kind != yaml.ScalarNode || !isShare || err != nil || !(percent > 0 && percent < 100) {
			p.errorf(n, "above must be a share of the people reached, such as 3%%")
		}
		b.Above = percent / 100
	}
	return b
}

// breakerKeys are the keys that both breakers have, and need; nil when the node is none of them.
func (p *ruleParser) breakerKeys(node *yaml.Node, what string) map[string]*yaml.Node {
	names := []string{"above", "per", "at_least"}
	keys := p.fields(node, what, names)
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for _, key := range names {
		if keys[key] == nil {
			p.errorf(node, "%s has no %q, which it needs", what, key)
		}
	}
	return keys
}
