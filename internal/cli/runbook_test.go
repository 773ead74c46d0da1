package cli_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every command of these runbooks is executed by the script, as it stands there; the script may add flags that answer for it.
func TestCommandsOfTheRunbooksAreExecuted(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("testdata/script/belt.txtar")
	require.NoError(t, err)
	for _, name := range []string{"dead-letters.md", "replay.md"} {
		text, err := os.ReadFile("../../docs/runbooks/" + name)
		require.NoError(t, err)
		commands := regexp.MustCompile(`(?m)^    (beckon .*)$`).FindAllStringSubmatch(string(text), -1)
		require.NotEmpty(t, commands, name)
		for _, command := range commands {
			executed := regexp.MustCompile(`(?m)^exits [01] ` + regexp.QuoteMeta(strings.TrimSpace(command[1])) + `( --(yes|json|by ada|rate 10/s))*$`)
			require.Regexp(t, executed, string(script), name)
		}
	}
}
