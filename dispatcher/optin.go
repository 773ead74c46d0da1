package dispatcher

import (
	"context"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	hours "github.com/beckonhq/beckon/internal/quiet"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/templates"
)

// asksTogether bounds what one round asks, so that a long list of opt-ins leaves the ledger time for other work.
const asksTogether = 100

// askLoop asks the people whose opt-ins wait for it. The question is a message like others: it goes through every gate, in the hours
// in which marketing may go.
func (d *Dispatcher) askLoop(ctx context.Context) error {
	if !d.DoubleOptIn || d.Answers.Question == nil {
		return nil
	}
	asking := store.Asking{
		Sender: d.Answers.AskBy, Template: templates.DoubleOptIn, Render: d.Answers.Question, Within: d.ConfirmWithin,
		Hours: &message.Hours{Wish: string(hours.Respect)},
	}
	return d.everyTick(ctx, "the question of the double opt-in", func(ctx context.Context) error {
		for range asksTogether {
			result, err := d.Ledger.AskNext(ctx, asking)
			if err != nil || result == store.NotDue {
				return err
			}
			d.metrics.asked.WithLabelValues(result).Inc()
			d.Log.InfoContext(ctx, "an opt-in was to be confirmed by the person", "result", result)
		}
		return nil
	})
}

// yes is what a reply confirms if it answers such a question; nil unless it is a plain yes. took says that Twilio took it for a keyword,
// and answers it: YES is one of Twilio's own words for START.
func (d *Dispatcher) yes(reply *store.Reply, entry consent.Entry, took bool) *store.YesTo {
	if !d.DoubleOptIn || !consent.Yes(reply.Body) {
		return nil
	}
	entry.Action, entry.Source, entry.Purpose, entry.Note = consent.Confirm, consent.FromKeyword, message.Marketing, reply.Body
	yes := &store.YesTo{Within: d.ConfirmWithin, Entry: entry}
	if d.Answers.Render != nil && !took {
		yes.Answer = d.Answers.confirmation(templates.OptInConfirmation)
	}
	return yes
}
