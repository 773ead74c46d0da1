package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/embedded/natsd"
	"github.com/beckonhq/beckon/internal/embedded/postgres"
	"github.com/beckonhq/beckon/internal/telemetry"
	"github.com/beckonhq/beckon/internal/torture"
)

func (r *root) torture() *cobra.Command {
	opts := torture.Options{Environ: r.streams.Environ}
	var kinds []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "torture",
		Short: "Kill, freeze and cut off every part under load, and count what was lost or sent twice",
		Long: "Start Beckon's stages, three NATS servers, a Postgres server and simulators of Salesforce and Twilio as processes on\n" +
			"this machine, and for a time kill, freeze, restart and cut them off at random while records change and people opt\n" +
			"out. Then let everything settle and compare what four ledgers say: Salesforce, NATS, Postgres and Twilio.\n" +
			"It fails when a notification was lost or a message was sent twice. Nothing is sent to anybody. The configuration is\n" +
			"not read, except for BECKON_POSTGRES_BIN.\n\n" +
			"The faults are: " + strings.Join(kindNames(), ", ") + ". The same seed makes the same schedule of faults.",
		Example: "  beckon torture\n  beckon torture --for 20m --seed 7\n  beckon torture --faults kill,freeze --nats 1 --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.PostgresBin = r.variable("BECKON_POSTGRES_BIN")
			opts.Progress = r.streams.Err
			for _, kind := range kinds {
				opts.Kinds = append(opts.Kinds, torture.Kind(kind))
			}
			report, err := torture.Run(cmd.Context(), opts)
			if errors.Is(err, torture.ErrOptions) {
				return usageError{err}
			}
			if err != nil {
				return err
			}
			write := report.Text
			if asJSON {
				write = report.JSON
			}
			if err := write(r.streams.Out); err != nil {
				return err
			}
			if !report.Good() {
				return errSilent
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.DurationVar(&opts.For, "for", torture.DefaultFor, "how long harm is done")
	f.DurationVar(&opts.Settle, "settle", torture.DefaultSettle, "how long everything may take to come to rest after it")
	f.Uint64Var(&opts.Seed, "seed", 0, "the seed of the schedule (0: another one each time)")
	f.Float64Var(&opts.Rate, "rate", torture.DefaultRate, "changes of records a second")
	f.IntVar(&opts.Nodes, "nats", torture.DefaultNodes, "how many NATS servers there are, 1 or 3")
	f.StringSliceVar(&kinds, "faults", kindNames(), "the kinds of faults, comma-separated")
	f.StringVar(&opts.Dir, "dir", "", "an empty directory for data and logs, which stays (default: a temporary one, which stays only after a failure)")
	jsonFlag(cmd, &asJSON, "the report as one JSON object, with every fault and finding")
	cmd.AddCommand(r.tortureTwilio(), r.tortureNode(), r.torturePostgres())
	return cmd
}

func kindNames() []string {
	names := make([]string, 0, len(torture.Kinds()))
	for _, kind := range torture.Kinds() {
		names = append(names, string(kind))
	}
	return names
}

// The commands below are the processes that a torture starts beside beckon serve.

func (r *root) tortureTwilio() *cobra.Command {
	var opts torture.TwilioOptions
	cmd := &cobra.Command{
		Use: "twilio", Short: "The Twilio simulator of a torture", Hidden: true, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return torture.ServeTwilio(cmd.Context(), opts) },
	}
	cmd.Flags().StringVar(&opts.Address, "addr", "", "where to listen, host:port")
	cmd.Flags().StringVar(&opts.Journal, "journal", "", "the file that remembers the messages")
	cmd.Flags().StringVar(&opts.InboundURL, "inbound", "", "where replies are posted")
	return cmd
}

func (r *root) tortureNode() *cobra.Command {
	opts := torture.NodeOptions{Log: telemetry.NewLogger(r.streams.Err, slog.LevelInfo, "text")}
	var tokenFile string
	cmd := &cobra.Command{
		Use: "node", Short: "One NATS server of a torture", Hidden: true, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			token, err := os.ReadFile(tokenFile)
			if err != nil {
				return fmt.Errorf("read the token: %w", err)
			}
			opts.Cluster.Token = string(token)
			return torture.ServeNode(cmd.Context(), opts)
		},
	}
	cmd.Flags().StringVar(&opts.Dir, "dir", "", "the directory of the store")
	addClusterFlags(cmd, &opts.Cluster)
	cmd.Flags().StringVar(&tokenFile, "token-file", "", "a file with the token that clients and other servers show")
	return cmd
}

func addClusterFlags(cmd *cobra.Command, c *natsd.Cluster) {
	cmd.Flags().StringVar(&c.Name, "name", "", "the name of the server")
	cmd.Flags().StringVar(&c.Address, "addr", "", "where clients connect, host:port")
	cmd.Flags().StringVar(&c.RouteAddress, "route-addr", "", "where other servers connect, host:port")
	cmd.Flags().StringVar(&c.Advertise, "advertise", "", "the route address that others are told, host:port")
	cmd.Flags().StringSliceVar(&c.Routes, "route", nil, "the route address of another server, host:port")
}

func (r *root) torturePostgres() *cobra.Command {
	cfg := postgres.Config{Log: telemetry.NewLogger(r.streams.Err, slog.LevelInfo, "text")}
	cmd := &cobra.Command{
		Use: "postgres", Short: "The Postgres server of a torture", Hidden: true, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return torture.KeepPostgres(cmd.Context(), cfg, r.streams.In, r.streams.Out)
		},
	}
	cmd.Flags().StringVar(&cfg.Dir, "dir", "", "the directory of the server")
	cmd.Flags().StringVar(&cfg.BinDir, "bin", "", "the directory of the Postgres programs")
	return cmd
}
