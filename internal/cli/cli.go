package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/app"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/store"
)

// version is stamped by the build (-ldflags "-X ...").
var version = "dev"

// Version is the version that the build stamped, dev without one.
func Version() string { return version }

// Streams is what a command reads, writes, and takes its environment from.
type Streams struct {
	In      io.Reader
	Out     io.Writer
	Err     io.Writer
	Environ []string
}

// OS returns the streams and environment of this process.
func OS() Streams {
	return Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Environ: config.Environ()}
}

// Exit codes.
const (
	exitGood   = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is a mistake in how the command was called.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// usagef makes a usageError.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errSilent says that the command failed and has written why.
var errSilent = errors.New("failed")

// exitCode is the one table of errors and exit codes.
func exitCode(err error) int {
	var usage usageError
	var malformed *config.Error
	var missing *config.MissingError
	switch {
	case err == nil:
		return exitGood
	case errors.As(err, &usage), errors.As(err, &malformed), errors.As(err, &missing), errors.Is(err, app.ErrSetup), errors.Is(err, store.ErrNoErasureKey):
		return exitUsage
	}
	return exitFailed
}

// doubled is how long after a signal another one counts as the same: a process group and a parent such as make or timeout
// each pass it on, and that must not cut an orderly end short.
const doubled = time.Second

// Main runs the command line and returns its exit code. SIGINT and SIGTERM end a command in order, a second one, a second
// later or more, at once.
func Main(ctx context.Context, args []string, streams Streams) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(doubled, stop) }) // from then on a second signal is not caught
	root := newRoot(streams)                                         //nolint:contextcheck // cobra hands the context to the command that runs
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, errSilent) {
		_, _ = fmt.Fprintln(streams.Err, "beckon:", err)
	}
	return exitCode(err)
}

// root is what all commands share.
type root struct {
	streams    Streams
	configFile string
}

func newRoot(streams Streams) *cobra.Command {
	r := &root{streams: streams}
	cmd := &cobra.Command{
		Use:   "beckon",
		Short: "Salesforce record changes become SMS and WhatsApp conversations",
		Long: "Beckon takes Salesforce outbound messages, decides by rule files who should hear of a change,\n" +
			"sends SMS and WhatsApp messages through Twilio, and keeps consent, delivery and replies in Postgres.",
		SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no command %q, see beckon help", args[0])
			}
			return nil
		},
	}
	cmd.SetIn(streams.In)
	cmd.SetOut(streams.Out)
	cmd.SetErr(streams.Err)
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usagef("%w, see %s --help", err, cmd.CommandPath()) })
	cmd.PersistentFlags().StringVar(&r.configFile, "config", "", "configuration file (default: beckon.yaml when there is one)")
	cmd.AddCommand(
		r.serve(), r.demo(), r.migrate(), r.recover(), r.doctor(), r.version(), r.healthcheck(),
		r.rules(), r.templates(), r.messages(), r.stats(), r.trace(), r.consent(), r.reviews(), r.conversations(), r.webhooks(), r.deadLetters(),
		r.replay(), r.audit(), r.hours(), r.simulate(),
		r.config(), r.torture(),
	)
	return cmd
}

// load reads the configuration.
func (r *root) load() (*config.Config, error) { return config.Load(r.configFile, r.streams.Environ) }

// noArgs refuses arguments, as a usage error.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments", cmd.CommandPath())
	}
	return nil
}

// exactlyOne demands one argument; what says which.
func exactlyOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("%s takes %s", cmd.CommandPath(), what)
		}
		return nil
	}
}

// group makes a command that only has sub-commands.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("%s has no command %q, see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(subs...)
	return cmd
}
