package app

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/beckonhq/beckon/internal/stream"
)

// checkSync says, in log, metric and readiness, when what JetStream confirms may be lost by a power cut. It looks once, after
// the streams are open: replicas and the operator's word change at a start.
func (a *App) checkSync(ctx context.Context) error {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "beckon_nats_sync_unknown",
		Help: "1 when it is not known that NATS syncs to disk before it confirms, and fewer than three replicas keep a stream.",
	})
	if err := a.registry.Register(gauge); err != nil {
		return err
	}
	if a.cfg.NATS.SyncKnown() {
		return nil
	}
	return a.insist(ctx, "JetStream", func(ctx context.Context) error {
		fewest, err := a.stream.FewestReplicas(ctx)
		if err != nil {
			return err
		}
		if doubt := stream.SyncDoubt(fewest); doubt != "" {
			gauge.Set(1)
			warning := doubt + "; " + stream.SyncAdvice
			a.syncDoubt.Store(&warning)
			a.log.WarnContext(ctx, doubt, "advice", stream.SyncAdvice)
		}
		return nil
	})
}
