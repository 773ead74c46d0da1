package templates

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/segment"
)

// FreeText is the content of a text that somebody wrote, for every channel. Its language is not known. A text that is blank, too
// long or no UTF-8 is an error.
func FreeText(text string) (message.Content, error) {
	switch n := utf8.RuneCountInString(text); {
	case strings.TrimSpace(text) == "":
		return message.Content{}, errors.New("the text is blank")
	case !utf8.ValidString(text):
		return message.Content{}, errors.New("the text is no UTF-8")
	case n > maxText:
		return message.Content{}, fmt.Errorf("the text has %d characters, and Twilio takes %d", n, maxText)
	}
	size := segment.Count(text)
	return message.Content{
		SMS:      &message.SMSContent{Text: text, Encoding: size.Encoding, Segments: size.Segments},
		WhatsApp: &message.WhatsAppContent{Text: text},
	}, nil
}
