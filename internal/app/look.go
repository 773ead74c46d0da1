package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/store"
)

func (a *App) newProbes() *probes {
	p := &probes{needs: map[string][]string{}, warnings: a.warnings}
	names := map[string]func(context.Context) error{
		"nats": a.lookNATS, "postgres": a.lookPostgres, "twilio": a.lookTwilio, "door": a.lookDoor, "ledger": a.lookLedger,
		"erasures": a.lookErasures,
	}
	used := map[string]bool{}
	for _, r := range a.roles() {
		if a.has(r.name) {
			p.needs[r.name] = r.needs
			for _, name := range r.needs {
				used[name] = true
			}
		}
	}
	for name := range used {
		p.checks = append(p.checks, check{name, names[name]})
	}
	slices.SortFunc(p.checks, func(x, y check) int { return slices.Compare([]byte(x.name), []byte(y.name)) })
	return p
}

func (a *App) lookNATS(ctx context.Context) error {
	if !reached(a.streaming) {
		return errStarting
	}
	if a.natsd != nil {
		if err := a.natsd.Healthy(); err != nil {
			return err
		}
	}
	return a.stream.Ready(ctx)
}

// lookDoor keeps a load balancer, and whoever waits for the start, from calling a door that does not listen yet.
func (a *App) lookDoor(context.Context) error {
	if !reached(a.doorOpen) {
		return errStarting
	}
	return nil
}

func (a *App) lookTwilio(ctx context.Context) error {
	stage := a.dispatcher.Load()
	if stage == nil {
		return errStarting
	}
	return stage.Ready(ctx)
}

func (a *App) lookPostgres(ctx context.Context) error {
	if !reached(a.pooled) {
		return errStarting
	}
	if err := a.store.Ready(ctx); err != nil {
		return err
	}
	if !reached(a.migrated) {
		return errStarting
	}
	return nil
}

// lookErasures tells whether this process knows whom nothing may be sent to: else it sends to nobody. That Postgres does not answer is
// told by the look at Postgres, which names the cause.
func (a *App) lookErasures(ctx context.Context) error {
	if !reached(a.migrated) {
		return errStarting
	}
	if err := a.store.KnowsErasures(ctx); errors.Is(err, store.ErrErasureKey) {
		return err
	}
	return nil
}

func (a *App) warnings() []string {
	var warnings []string
	if a.policies != nil && a.policies.Err() != nil {
		warnings = append(warnings, "the changed rules are not used: "+a.policies.Err().Error())
	}
	if a.certificates != nil {
		warnings = append(warnings, a.certificates.Warnings()...)
	}
	if keeper := a.keeper.Load(); keeper != nil {
		warnings = append(warnings, keeper.Warnings()...)
	}
	if doubt := a.syncDoubt.Load(); doubt != nil {
		warnings = append(warnings, *doubt)
	}
	if stage := a.dispatcher.Load(); stage != nil {
		warnings = append(warnings, stage.Warnings()...)
	}
	if a.cfg.HTTP.PublicURL == "" && a.has(config.RoleIngest, config.RoleDispatcher) {
		warnings = append(warnings, "BECKON_PUBLIC_URL is not set: Twilio's callbacks are refused")
	}
	return warnings
}

// Healthy waits until /readyz would say ready, or ctx ends.
func (a *App) Healthy(ctx context.Context) error {
	return a.insistQuietly(ctx, func(ctx context.Context) error {
		if r := a.probes.look(ctx); r.Status == statusUnavailable || len(r.Dependencies) > 0 && !allReady(r.Roles) {
			return fmt.Errorf("%w: %+v", errStarting, r.Roles)
		}
		return nil
	})
}

func allReady(roles map[string]condition) bool {
	for _, c := range roles {
		if c.Status != statusReady {
			return false
		}
	}
	return true
}
