package router

import (
	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/router/rule"
)

// consent makes entries of the ledger of what a record says. A text that is no address of a person makes the result an error.
func (j *judgement) consent(p store.Pending, d *rule.Decision) []consent.Entry {
	var entries []consent.Entry
	for i := range d.Results {
		result := &d.Results[i]
		if result.Consent == nil {
			continue
		}
		for _, text := range result.Consent.To {
			to, err := address.ParsePerson(text, j.region)
			if err != nil {
				result.Verdict, result.Error = rule.VerdictError, "address: "+address.ErrInvalid.Error()
				continue
			}
			entries = append(entries, entriesOf(p, to, result.Consent, j.ask)...)
		}
	}
	d.Outcome = rule.OutcomeOf(d.Results)
	return entries
}

// entriesOf is one entry for each channel. The notification is the evidence: decided again, it says the same thing again.
func entriesOf(p store.Pending, to address.Address, w *rule.Word, ask bool) []consent.Entry {
	channels := w.Channels
	if len(channels) == 0 {
		channels = []message.Channel{consent.AllChannels}
	}
	entry := consent.Entry{
		Org: p.Envelope.Org, Address: to, Action: w.Action, Scope: consent.ProgramScope(w.Program), Source: consent.FromSalesforce,
		Evidence: string(p.Notification.ID) + " " + w.Mapping, Note: w.Evidence, Proof: w.Proof, OccurredAt: w.At,
	}
	if w.Action == consent.OptIn || w.Action == consent.Confirm {
		entry.Purpose = message.Marketing
	}
	entry.Ask, entry.AskIn = ask, w.Language
	entries := make([]consent.Entry, len(channels))
	for i, channel := range channels {
		entries[i] = entry
		entries[i].Channel = channel
	}
	return entries
}
