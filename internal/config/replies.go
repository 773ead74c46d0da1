package config

import (
	"time"

	"github.com/beckonhq/beckon/internal/message"
)

// Replies is about what people write back.
type Replies struct {
	// Pause is how long reply rules answer nothing after a human's answer.
	Pause time.Duration
	// TwilioAnswers says on which channels Twilio itself answers a STOP or HELP: sms, whatsapp, both or none.
	TwilioAnswers string
	// Business is the name that the shipped answers to STOP and HELP begin with; may be empty.
	Business string
	// HelpContact is where the answer to HELP sends people; may be empty.
	HelpContact string
	// AnswersPerHour is the most automatic answers to one person by one sender in an hour.
	AnswersPerHour int
	// WebhookSecrets sign the webhooks of reply rules, each with a signature of its own; none: they wait.
	WebhookSecrets []Secret
	// WebhookPrivate says whether webhooks may go to addresses of private networks: yes or no.
	WebhookPrivate string
}

// Who answers a STOP or HELP.
const (
	TwilioAnswersSMS      = "sms"
	TwilioAnswersWhatsApp = "whatsapp"
	TwilioAnswersBoth     = "both"
	TwilioAnswersNone     = "none"
)

func whoAnswers(p *string) value {
	return oneOf(p, TwilioAnswersSMS, TwilioAnswersWhatsApp, TwilioAnswersBoth, TwilioAnswersNone)
}

func replySettings() []setting {
	return []setting{
		def("replies.pause", "BECKON_REPLY_PAUSE", "4h",
			"How long reply rules answer nothing after a human has answered in a conversation.",
			func(c *Config) value { return duration(&c.Replies.Pause) }),
		def("replies.twilio_answers", "BECKON_TWILIO_ANSWERS", "sms",
			"On which channels Twilio itself answers STOP and HELP: sms, whatsapp, both or none. Beckon answers on the others, and what Twilio does not understand.",
			func(c *Config) value { return whoAnswers(&c.Replies.TwilioAnswers) }),
		def("replies.business", "BECKON_BUSINESS_NAME", "",
			"The name that the shipped answers to STOP and HELP begin with.",
			func(c *Config) value { return text(&c.Replies.Business) }),
		def("replies.help_contact", "BECKON_HELP_CONTACT", "",
			"Where the shipped answer to HELP sends people: a number, an address, a page.",
			func(c *Config) value { return text(&c.Replies.HelpContact) }),
		def("replies.answers_per_hour", "BECKON_ANSWERS_PER_HOUR", "6",
			"Most automatic answers to one person in an hour, so that two machines do not talk for ever.",
			func(c *Config) value { return number(&c.Replies.AnswersPerHour, 1, 1000) }),
		def("replies.webhook_secrets", "BECKON_WEBHOOK_SECRET", "",
			"Sign the webhooks of reply rules, whsec_ and base64; several during rotation: each makes a signature; none: they wait.",
			func(c *Config) value { return secrets(&c.Replies.WebhookSecrets) }),
		def("replies.webhook_private", "BECKON_WEBHOOK_PRIVATE", "no",
			"Whether webhooks may go to addresses of private networks: yes or no.",
			func(c *Config) value { return oneOf(&c.Replies.WebhookPrivate, "yes", "no") }),
	}
}

// TwilioAnswers tells whether Twilio itself answers a STOP or HELP to a sender on a channel.
func (c *Config) TwilioAnswers(sender string, channel message.Channel) bool {
	who := c.Replies.TwilioAnswers
	for _, s := range c.Senders {
		if s.Name == sender && s.TwilioAnswers != "" {
			who = s.TwilioAnswers
		}
	}
	return who == TwilioAnswersBoth || who == string(channel)
}
