package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/consent"
)

// YesTo is what a plain yes may confirm: a request of the double opt-in that is not older than Within.
type YesTo struct {
	Entry  consent.Entry // the confirmation; Org and Scope are filled in here
	Within time.Duration
}

// queueWord adds what a reply says about consent, for a caller that holds the person's locks.
func queueWord(ctx context.Context, tx pgx.Tx, p *pipeline, r Reply, linked *Linked) error {
	queueAlias(p, r.From, r.Alias, consent.FromWebhook, r.SID)
	if r.Consent != nil {
		entry := *r.Consent
		entry.Org = linked.Org
		if r.Program && entry.Action == consent.OptOut && linked.MessageID != "" {
			err := tx.QueryRow(ctx, `select program from message where id = $1::uuid`, linked.MessageID).Scan(&entry.Scope.Name)
			if err != nil {
				return fmt.Errorf("find the program of a message: %w", err)
			}
			entry.Scope.Kind = consent.ScopeProgram
		}
		queueEntry(p, entry)
		if entry.Action == consent.OptOut {
			queueRuleOptOut(p, r.SID)
		}
	}
	if r.Yes == nil {
		return nil
	}
	asked, open, err := openRequest(ctx, tx, r)
	if err != nil || !open {
		return err
	}
	entry := r.Yes.Entry
	entry.Org, entry.Scope = linked.Org, asked
	queueEntry(p, entry)
	return nil
}

// openRequest finds the request of the double opt-in that a yes answers.
func openRequest(ctx context.Context, tx pgx.Tx, r Reply) (consent.Scope, bool, error) {
	var state consent.State
	var p pipeline
	queueConsent(&p, []string{string(r.From)}, func(_ string, mark consent.Mark) { state = append(state, mark) })
	if err := p.run(ctx, tx); err != nil {
		return consent.Scope{}, false, fmt.Errorf("read what a yes may confirm: %w", err)
	}
	said := r.Yes.Entry.OccurredAt
	scope, open := state.Asked(r.Channel, said.Add(-r.Yes.Within), said)
	return scope, open, nil
}
