package cli_test

import (
	"bufio"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/beckonhq/beckon/internal/cli"
)

// TestMainLeavesNothingRunning runs commands in this process, to see that what they start ends with them. It is not
// parallel: it looks at all goroutines.
func TestMainLeavesNothingRunning(t *testing.T) {
	defer goleak.VerifyNone(t)
	out, in := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	var errs strings.Builder
	go func() {
		code <- cli.Main(ctx, []string{"simulate", "twilio", "--addr", "127.0.0.1:0"}, cli.Streams{Out: in, Err: &errs})
		_ = in.Close()
	}()
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), "Twilio is played on 127.0.0.1:")
	cancel()
	var last string
	for lines.Scan() {
		last = lines.Text()
	}
	require.Equal(t, "stopped: 0 messages, 0 callbacks of which 0 failed", last)
	require.Zero(t, <-code)
	require.Empty(t, errs.String())
}

func TestAnUnwritableOutputIsNoSuccess(t *testing.T) {
	t.Parallel()
	out, in := io.Pipe()
	require.NoError(t, out.Close())
	var errs strings.Builder
	require.Equal(t, 1, cli.Main(t.Context(), []string{"version", "--json"}, cli.Streams{Out: in, Err: &errs}))
	require.Contains(t, errs.String(), "closed pipe")
}
