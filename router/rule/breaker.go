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
	keys := p.fields(node, "a breaker", []string{"above", "per", "at_least"})
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for _, key := range []string{"above", "per", "at_least"} {
		if keys[key] == nil {
			p.errorf(node, "the breaker has no %q, which every breaker needs", key)
		}
	}
	b := &Breaker{Per: p.duration(keys["per"], "per"), AtLeast: p.bound(keys["at_least"], "at_least")}
	if n := keys["per"]; n != nil && b.Per < minSpan {
		p.errorf(n, "per %q is shorter than %s", n.Value, minSpan)
	}
	if n := keys["above"]; n != nil {
		var err error
		if b.Above, err = strconv.ParseFloat(strings.TrimSuffix(n.Value, "x"), 64); n.Kind != yaml.ScalarNode || err != nil || !(b.Above > 1 && b.Above <= maxBound) {
			p.errorf(n, "above must be a factor greater than 1, such as 10x")
		}
	}
	return b
}
