package rule

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/notification"
)

func TestPanicStaysInItsRule(t *testing.T) {
	t.Parallel()
	good := &Rule{Name: "good", when: &expression{key: "when", bareField: "Won"}}
	good.when.schema = &schema{types: map[string]fieldType{"Won": boolField}}
	good.to = &expression{key: "to", bareField: "To"}
	broken := &Rule{Name: "broken", when: &expression{key: "when"}} // no program: calling it panics
	set := &Set{objects: map[string]*object{"thing": {rules: []*Rule{broken, good}, schema: good.when.schema}}}
	d := Decide(set, Input{Object: "Thing", Notification: notification.Notification{
		Fields: []notification.Field{{Name: "Won", Value: "true"}, {Name: "To", Value: "1"}},
	}})
	require.Equal(t, []Verdict{VerdictError, VerdictMatched}, []Verdict{d.Results[0].Verdict, d.Results[1].Verdict})
	require.Equal(t, panicked, d.Results[0].Error)
}
