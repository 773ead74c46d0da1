package rule_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/router/rule"
	"github.com/beckonhq/beckon/templates"
)

// TestExampleRules plays the tests of the rule files that we ship, against the templates that we ship: every rule must
// be seen matching, not matching and without a recipient, and what it passes on must render.
func TestExampleRules(t *testing.T) {
	t.Parallel()
	texts, err := templates.Load(templates.Defaults())
	require.NoError(t, err)
	fsys := os.DirFS("../../rules")
	set, err := rule.Load(fsys, rule.Options{Templates: texts})
	require.NoError(t, err)
	require.Empty(t, set.Warnings())
	require.GreaterOrEqual(t, len(set.Rules()), 6)
	tests, err := rule.LoadTests(fsys)
	require.NoError(t, err)

	tested, rendered := map[string]bool{}, map[string]bool{}
	for _, result := range rule.RunTests(set, tests, rule.Tools{Render: texts.Render}) {
		for _, failure := range result.Failures {
			t.Errorf("%s: %s", result.Name, failure)
		}
		for _, r := range result.Decision.Results {
			tested[r.Rule+"/"+string(r.Verdict)] = true
			for _, draft := range r.Messages {
				if _, err := texts.Render(draft.Template, draft.Language, draft.Vars); err == nil {
					rendered[r.Rule] = true
				}
			}
		}
	}
	for _, r := range set.Rules() {
		require.Equal(t, r.Name, r.Template)
		require.True(t, rendered[r.Name], "no test in which the template of rule %s renders", r.Name)
		for _, verdict := range []rule.Verdict{rule.VerdictMatched, rule.VerdictNotMatched, rule.VerdictNoRecipient} {
			require.True(t, tested[r.Name+"/"+string(verdict)], "no test in which rule %s is %s", r.Name, verdict)
		}
	}
}
