package rule

import (
	"slices"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/message"
)

// Tools are what a test needs besides the rules. Each may be nil.
type Tools struct {
	Render Render
	Opens  Opens
}

// Render renders a template, so that a test can demand a message's text; templates.Set has it as a method.
type Render func(template, language string, vars map[string]any) (message.Content, error)

// Opens is the first moment at which a message of a draft that is made at a moment may go to a recipient, by its delay and the hours where
// they are. The error says why there is none.
type Opens func(draft *Draft, to string, made time.Time) (time.Time, error)

// compareOpens looks when the message may go first, to each of its recipients.
func (t *testRun) compareOpens(e Expectation, got *Draft) {
	want, err := time.Parse(time.RFC3339, e.Opens)
	switch {
	case err != nil: // nothing is demanded, or a mistake of the file that is told already
		return
	case t.tools.Opens == nil:
		t.fail(e.Line, "rule %q: when it opens cannot be checked without the hours", e.Rule)
		return
	}
	for i, to := range got.To {
		opens, err := t.tools.Opens(got, to, t.test.Input.Received)
		switch {
		case err != nil:
			t.fail(e.Line, "opens of rule %q, recipient %d: %v", e.Rule, i+1, err)
		case !opens.Equal(want):
			t.fail(e.Line, "opens of rule %q, recipient %d%s", e.Rule, i+1, differs(e.Opens, opens.In(want.Location()).Format(time.RFC3339)))
		}
	}
}

// compareCaps looks which caps hold for the message, by their names in any order.
func (t *testRun) compareCaps(e Expectation, got []message.Cap) {
	if e.Caps == nil {
		return
	}
	have := make([]string, 0, len(got))
	for _, c := range got {
		have = append(have, c.Name)
	}
	want := slices.Sorted(slices.Values(e.Caps))
	slices.Sort(have)
	if !slices.Equal(want, have) {
		t.fail(e.Line, "caps of rule %q%s", e.Rule, differs(strings.Join(want, ", "), strings.Join(have, ", ")))
	}
}
