package app

import (
	"context"
	"fmt"

	"github.com/beckonhq/beckon/internal/config"
)

// loadLaw reads when people may be written to.
func (a *App) loadLaw(ctx, _ context.Context) error {
	if !a.has(config.RoleRouter, config.RoleDispatcher) {
		return nil
	}
	var err error
	if a.law, err = a.cfg.Law(); err != nil {
		return fmt.Errorf("%w: %w", ErrSetup, err)
	}
	text, warning := a.law.Zones().Version()
	a.log.InfoContext(ctx, "quiet hours are loaded", "reviewed", a.law.Reviewed(), "zone_data", text)
	if warning != "" {
		a.log.WarnContext(ctx, warning)
	}
	return nil
}
