package cli

import (
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/app"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/telemetry"
)

func (r *root) serve() *cobra.Command {
	var roles []string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run Beckon, all of its roles or some",
		Long: "Run Beckon until it is told to stop (Ctrl-C or SIGTERM). SIGHUP reads rules, templates and certificates again.\n\n" +
			"Without BECKON_NATS_URL and BECKON_DATABASE_URL, an embedded NATS and a private Postgres keep their data\n" +
			"in the data directory.",
		Example: "  beckon serve\n  beckon serve --roles ingest",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := r.load()
			if err != nil {
				return err
			}
			if len(roles) == 0 {
				return usagef("--roles names no role: the roles are %s", strings.Join(config.Roles(), ", "))
			}
			tuneCollector(r.streams.Environ)
			hup := make(chan os.Signal, 1)
			signal.Notify(hup, syscall.SIGHUP)
			defer signal.Stop(hup)
			log := telemetry.NewLogger(r.streams.Err, cfg.Log.Level, cfg.Log.Format)
			for _, warning := range cfg.Warnings {
				log.WarnContext(cmd.Context(), "the configuration has a remark", "remark", warning)
			}
			return app.Run(cmd.Context(), app.Options{Config: cfg, Roles: roles, Log: log, Version: version, Reload: hup}, func(a *app.App) {
				log.Info("beckon runs", "version", version, "roles", strings.Join(roles, ","), "public", a.URL(), "private", a.AdminURL())
			})
		},
	}
	cmd.Flags().StringSliceVar(&roles, "roles", config.Roles(), "the roles of this process, comma-separated")
	return cmd
}

// garbage is how much the heap may grow, in percent, before it is collected. The live heap is small (some 20 MB), and most of
// the rest is short-lived: collecting less often gives a tenth more messages a second for some 60 MB under load.
const garbage = 300

// tuneCollector sets the collector, unless the environment does.
func tuneCollector(environ []string) {
	set := func(entry string) bool {
		return strings.HasPrefix(entry, "GOGC=") || strings.HasPrefix(entry, "GOMEMLIMIT=")
	}
	if !slices.ContainsFunc(environ, set) {
		debug.SetGCPercent(garbage)
	}
}
