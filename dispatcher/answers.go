package dispatcher

import (
	"time"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/templates"
)

// confirmWithin is how long after a STOP, HELP or START it may be answered.
//
// Source: 47 CFR 64.1200(a)(12): one confirmation of a revocation, presumed to be within the prior consent when sent within five
// minutes.
const confirmWithin = 5 * time.Minute

// Answers says how a STOP, HELP or START is answered where Twilio does not do so itself, and how people are asked to confirm an opt-in. The
// zero value says nothing.
type Answers struct {
	Render   func(template, language string) (message.Content, error)
	Twilio   func(sender string, channel message.Channel) bool // answers its own words itself
	PerHour  int                                               // most automatic answers to one person by one sender
	Question func(language, program string) (message.Content, error)
	AskBy    string // the sender that asks; empty: the default one
}

// to is the answer to a reply; nil when there is none to give. With Advanced Opt-Out Twilio says that it took the reply for a
// keyword: then it has answered. Without it says nothing, and answers the words that it knows: not a BAJA, nor a "please stop". Whom it
// keeps from us no other word for START brings back, and so such a word is not answered where it does that.
func (a Answers) to(verdict consent.Verdict, reply *store.Reply, took bool) *store.Confirmation {
	template := map[consent.Keyword]string{
		consent.Stop: templates.OptOutConfirmation, consent.Help: templates.Help, consent.Start: templates.OptInAgain,
	}[verdict.Keyword]
	if a.Render == nil || template == "" || took {
		return nil
	}
	if a.Twilio(reply.Sender, reply.Channel) && (verdict.Keyword == consent.Start || consent.TwilioTakes(reply.Body)) {
		return nil
	}
	confirmation := a.confirmation(template)
	if verdict.Language != english { // STOP is said in every language
		confirmation.Language = verdict.Language
	}
	return confirmation
}

const english = "en"

func (a Answers) confirmation(template string) *store.Confirmation {
	return &store.Confirmation{
		Template: template, Within: confirmWithin, PerHour: a.PerHour,
		Render: func(language string) (message.Content, error) { return a.Render(template, language) },
	}
}
