package dispatcher

import (
	"context"
	"slices"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twilio"
)

// findInGap is find for a message that may have been sent in a gap, a time of which the ledger lacks what was sent. Many of
// our messages may have gone to the address then, so that what explains a message at Twilio matters more than that there is
// one. In order: the status callback of one says that it is ours; its text is like ours; what is left after taking away what
// callbacks, or texts, say are other messages is none. When the text can't be compared, one that is left is ours only when no
// other message to the address waits for its look-up. Anything else is a doubt: nothing is sent.
func (d *Dispatcher) findInGap(
	ctx context.Context, sender Sender, l store.Lookup, candidates []*twilio.Resource,
) (found *twilio.Resource, doubt bool, err error) {
	if len(candidates) == 0 {
		return nil, false, nil
	}
	sids := make([]string, len(candidates))
	for i, c := range candidates {
		sids[i] = c.SID
	}
	facts, err := d.Ledger.GapFacts(ctx, l, sids)
	if err != nil {
		return nil, false, err
	}
	texts := textsOf(l.Channel, l.Content)
	var left []*twilio.Resource
	for _, c := range candidates {
		switch {
		case facts.Own[c.SID]:
			return c, false, nil
		case facts.Others[c.SID]:
		default:
			left = append(left, c)
		}
	}
	for _, c := range left {
		if anyAlike(c.Body, texts) {
			return c, false, nil
		}
	}
	compared := body(l) != ""
	left = slices.DeleteFunc(left, func(c *twilio.Resource) bool {
		return slices.ContainsFunc(facts.Texts, func(other message.Content) bool { return anyAlike(c.Body, textsOf(l.Channel, other)) })
	})
	switch {
	case len(left) == 0:
		return nil, false, nil
	case len(left) == 1 && !compared && facts.Alone && ours(sender, l, left[0]):
		return left[0], false, nil
	}
	return nil, true, nil
}

// textsOf are the texts that a message may show at Twilio.
func textsOf(channel message.Channel, content message.Content) []string {
	switch {
	case channel == message.SMS && content.SMS != nil:
		return []string{content.SMS.Text}
	case channel == message.WhatsApp && content.WhatsApp != nil && content.WhatsApp.Text != "":
		return []string{content.WhatsApp.Text} // also of a template: within the window it goes as free text
	}
	return nil
}

func anyAlike(theirs string, ours []string) bool {
	return slices.ContainsFunc(ours, func(text string) bool { return text != "" && alike(theirs, text) })
}
