package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/consent"
)

// YesTo is what a plain yes may confirm: an opt-in whose question it answers, within a time.
type YesTo struct {
	Entry  consent.Entry // the confirmation; Org, Channel and Scope are filled in here
	Within time.Duration
	Answer *Confirmation // says that it was understood; nil for none
}

// queueWord adds what a reply says about consent, for a caller that holds the person's locks.
func queueWord(ctx context.Context, tx pgx.Tx, p *pipeline, r Reply, linked *Linked) error {
	if r.Consent == nil {
		return nil
	}
	entry := *r.Consent
	entry.Org = linked.Org
	if entry.Action == consent.ReOptIn && yesAsStart(&r) {
		if out, err := revokedAll(ctx, tx, r); err != nil || !out {
			return err
		}
	}
	if entry.Action != consent.OptOut {
		queueEntry(p, entry)
		return nil
	}
	var err error
	if entry.Scope, err = revokedScope(ctx, tx, r, linked); err != nil {
		return err
	}
	queueEntry(p, entry)
	queueRuleOptOut(p, r.SID)
	return nil
}

// yesAsStart tells whether a reply is a plain yes that Twilio takes for START.
func yesAsStart(r *Reply) bool { return r.Keyword == string(consent.Start) && consent.Yes(r.Body) }

// revokedAll tells whether a person is out of everything. Only then is their plain yes the START that Twilio says it is: who is out of one
// program only gets other messages, and says yes to one of these.
func revokedAll(ctx context.Context, tx pgx.Tx, r Reply) (bool, error) {
	var state consent.State
	var p pipeline
	queueConsent(&p, []string{string(r.From)}, func(_ string, mark consent.Mark) { state = append(state, mark) })
	if err := p.run(ctx, tx); err != nil {
		return false, fmt.Errorf("read consent: %w", err)
	}
	return state.Revoked(consent.Scope{}), nil
}

// revokedScope is what an opt-out in a reply is about.
func revokedScope(ctx context.Context, tx pgx.Tx, r Reply, linked *Linked) (consent.Scope, error) {
	if !r.Program || linked.MessageID == "" {
		return consent.Scope{}, nil
	}
	return scopeAnswered(ctx, tx, linked.MessageID)
}

// scopeAnswered is what an opt-out in answer to a message is about: the program of a rule's message, or that of the question of a double
// opt-in. Another message that no rule made has none, and the person cannot be told to have meant less than everything: who says STOP to
// an answer that a newsletter led to means the newsletter.
func scopeAnswered(ctx context.Context, tx pgx.Tx, messageID string) (scope consent.Scope, err error) {
	err = tx.QueryRow(ctx, `select coalesce(c.scope, case m.origin when 'rule' then 'program' else 'all' end),
			coalesce(c.program, case m.origin when 'rule' then m.program else '' end)
		from message m left join opt_in_question q on q.message_id = m.id left join consent c on c.id = q.consent_id
		where m.id = $1::uuid`, messageID).Scan((*string)(&scope.Kind), &scope.Name)
	if err != nil {
		return scope, fmt.Errorf("find the program of a message: %w", err)
	}
	return scope.Clean(), nil
}
