package templates

import (
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/segment"
)

// FreeText is the content of a text that somebody wrote, for every channel. Its language is not known.
func FreeText(text string) message.Content {
	size := segment.Count(text)
	return message.Content{
		SMS:      &message.SMSContent{Text: text, Encoding: size.Encoding, Segments: size.Segments},
		WhatsApp: &message.WhatsAppContent{Text: text},
	}
}
