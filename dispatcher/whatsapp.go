package dispatcher

import (
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twilio"
)

// unitedStates is where WhatsApp delivers no marketing templates.
//
// Source: Twilio, error 63049 ("since April 1, 2025, Meta does not deliver marketing templates to US numbers").
const unitedStates = "US"

// countryGate refuses a marketing template of WhatsApp to somebody in the United States, where it would never be delivered. A number
// whose country is not known counts as one of them. Free text inside the window is no template.
func countryGate(c *store.Candidate, channel message.Channel) ruling {
	if channel != message.WhatsApp || c.Message.Purpose != message.Marketing || freeText(c, channel) {
		return ruling{}
	}
	if country := c.Message.To.Country(); country == "" || country == unitedStates {
		return ruling{refuse: message.ReasonUSMarketing}
	}
	return ruling{}
}

// windowClosed queues a message again whose free text was refused since the window is closed: the gates now choose its approved
// template, when it has one.
func windowClosed(o *store.Outcome, c store.Claimed) {
	o.WindowClosed = true
	if c.FreeText && c.Message.Content.WhatsApp.ContentSID != "" {
		o.MessageState, o.Reason, o.NextChannel = message.Queued, message.ReasonWindowClosed, c.Index
	}
}

// badVariables fails a message whose template can't be sent with its variables, or queues it for the next channel.
func badVariables(o *store.Outcome, c store.Claimed, failure *twilio.Error) {
	o.MessageState, o.Reason, o.Detail = message.Failed, message.ReasonTemplateError, failure.Cause.Error()
	if next := nextChannel(c); next > 0 {
		o.MessageState, o.Reason, o.NextChannel = message.Queued, message.ReasonFallback, next
	}
}
