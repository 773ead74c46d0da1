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
	if r.Consent != nil {
		entry := *r.Consent
		entry.Org = linked.Org
		if r.Program && entry.Action == consent.OptOut && linked.MessageID != "" {
			scope, err := programOf(ctx, tx, linked.MessageID)
			if err != nil {
				return err
			}
			entry.Scope = scope
		}
		queueEntry(p, entry)
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

// programOf is what an opt-out in answer to a message is about: its program. A message that no rule made has none, and the person
// cannot be told to have meant less than everything: who says STOP to an answer that a newsletter led to means the newsletter.
func programOf(ctx context.Context, tx pgx.Tx, messageID string) (consent.Scope, error) {
	var program string
	err := tx.QueryRow(ctx, `select case origin when 'rule' then program else '' end from message where id = $1::uuid`, messageID).Scan(&program)
	if err != nil {
		return consent.Scope{}, fmt.Errorf("find the program of a message: %w", err)
	}
	return consent.ProgramScope(program), nil
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
