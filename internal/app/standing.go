package app

import (
	"context"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/lifemark"
)

// startKeeper watches over the life of both stores from when the schema is there until the roles have ended: only then may it
// say that nothing is sent any more.
func (a *App) startKeeper(running context.Context) error {
	keeper, err := lifemark.New(lifemark.Config{
		Ledger: a.store, Belt: a.stream, Sends: a.has(config.RoleDispatcher), SendTimeout: a.cfg.Dispatch.SendTimeout,
		Every: a.opts.Look,
		Log:   a.log.With("part", "life marks"), Metrics: a.registry,
	})
	if err != nil {
		return err
	}
	a.keeper.Store(keeper)
	watching, stop := context.WithCancel(context.WithoutCancel(running))
	ended := make(chan struct{})
	a.work.Go(func() error {
		defer close(ended)
		select {
		case <-a.migrated:
		case <-watching.Done():
			return nil
		}
		keeper.Run(watching)
		return nil
	})
	a.closers.add("life marks", func(ctx context.Context) error {
		stop()
		<-ended
		if ctx.Err() == nil && reached(a.migrated) { // else a call may still be under way
			keeper.End(ctx)
		}
		return nil
	})
	return nil
}

// onGoodStanding runs a stage while the ledger is the one that it has to be: it ends in an orderly way when that is over, giving
// back what it holds, and begins again when that is mended.
func (a *App) onGoodStanding(stage runner) runner { return standingRunner{a.keeper.Load(), stage} }

type standingRunner struct {
	keeper *lifemark.Keeper
	stage  runner
}

// Run implements runner.
func (r standingRunner) Run(ctx context.Context) error {
	for {
		working, stop, err := r.keeper.Standing(ctx)
		if err != nil {
			return nil //nolint:nilerr // the end was asked for
		}
		err = r.stage.Run(working)
		stop()
		if err != nil || ctx.Err() != nil {
			return err
		}
	}
}

func (a *App) lookLedger(ctx context.Context) error {
	keeper := a.keeper.Load()
	if keeper == nil {
		return errStarting
	}
	return keeper.Ready(ctx)
}
