package cli

import (
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/demo"
)

func (r *root) demo() *cobra.Command {
	opts := demo.Options{Out: r.streams.Out, Err: r.streams.Err, Version: version}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play a story through everything, against simulators",
		Long: "Start Beckon with simulators of Salesforce and Twilio on free ports and in a temporary directory, and play a\n" +
			"story of some ten seconds: a deal is won and the customer is welcomed, people answer, opt out and rate a case.\n" +
			"Nothing is sent to anybody, and nothing is left behind.\n" +
			"The configuration is not read, except for BECKON_POSTGRES_BIN.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.PostgresBin = r.variable("BECKON_POSTGRES_BIN")
			opts.Color = isTerminal(r.streams.Out) && r.variable("NO_COLOR") == "" && r.variable("TERM") != "dumb"
			return demo.Run(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVar(&opts.KeepRunning, "keep-running", false, "leave everything running after the story, until Ctrl-C")
	cmd.Flags().BoolVar(&opts.Keep, "keep", false, "leave the temporary directory there")
	cmd.Flags().BoolVar(&opts.Verbose, "verbose", false, "write the log to the standard error")
	return cmd
}

// variable reads the environment; the last of several values counts, as in a shell.
func (r *root) variable(name string) string {
	value := ""
	for _, entry := range r.streams.Environ {
		if text, ok := strings.CutPrefix(entry, name+"="); ok {
			value = text
		}
	}
	return value
}

// isTerminal tells whether a person looks at w.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
