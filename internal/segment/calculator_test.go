package segment_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/segment"
)

// TestAgainstTwiliosCalculator compares with the library behind Twilio's own segment calculator (npm package
// sms-segments-calculator, smart encoding off).
func TestAgainstTwiliosCalculator(t *testing.T) {
	t.Parallel()
	const dir = "testdata/node"
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("SKIPPED: comparison with Twilio's segment calculator: Node is not installed")
	}
	probe := exec.CommandContext(t.Context(), node, "-e", "require.resolve('sms-segments-calculator')")
	probe.Dir = dir
	if probe.Run() != nil {
		t.Skip("SKIPPED: comparison with Twilio's segment calculator: run `npm ci` in internal/segment/" + dir)
	}

	rnd := rand.New(rand.NewPCG(160, 153))
	texts := []string{defaultAlphabet, extensionTable, "a\x1bb", "\f"}
	for range 3000 {
		texts = append(texts, randomText(rnd))
	}
	input, err := json.Marshal(texts)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), node, "count.js")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(input)
	out, err := cmd.Output()
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	require.Len(t, lines, len(texts))
	for i, text := range texts {
		got := segment.Count(text)
		require.Equalf(t, lines[i], fmt.Sprintf("%s %d", got.Encoding, got.Segments), "%q", text)
	}
}
