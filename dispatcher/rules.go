package dispatcher

import (
	"context"

	"github.com/beckonhq/beckon/internal/store"
)

// ruleLoop pauses the rules that too many people opt out of, and tells which rules are paused, by whomever.
func (d *Dispatcher) ruleLoop(ctx context.Context) error {
	return d.every(ctx, d.RuleRound, "the look at opt-outs", func(ctx context.Context) error {
		paused, err := d.Ledger.CheckOptOuts(ctx)
		for _, rule := range paused {
			d.Log.WarnContext(ctx, "a rule is paused, too many people opt out of it", "rule", rule)
		}
		if err != nil {
			return err
		}
		all, err := d.Ledger.RulePauses(ctx)
		if err != nil {
			return err
		}
		d.metrics.pauses(all)
		return nil
	})
}

// pauses sets the gauge of paused rules; a rule that goes on is no longer in it.
func (m *metrics) pauses(all []store.RulePause) {
	m.paused.Reset()
	for _, pause := range all {
		by := "operator"
		if pause.PausedBy == store.PausedByBreaker {
			by = "breaker"
		}
		m.paused.WithLabelValues(pause.Rule, by).Set(1)
	}
}
