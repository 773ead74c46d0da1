package consent

import (
	"strings"
	"unicode"
)

// The signs between which a phone puts the message that somebody reacted to.
const (
	openingQuotes = "“„«\""
	closingQuotes = "”“»\""
)

// ownWords is what the person wrote themselves, without what is repeated of our message: it may well say "reply STOP to opt out".
func (w *Words) ownWords(body string) string { return w.withoutReaction(withoutQuotedLines(body)) }

// withoutReaction leaves the reaction of a phone that sends one as a text, and takes the message away that it is about: Liked “Your table
// is ready. Reply STOP to opt out.” What is no reaction stays as it is.
func (w *Words) withoutReaction(body string) string {
	from := strings.IndexAny(body, openingQuotes)
	to := strings.LastIndexAny(body, closingQuotes)
	if from <= 0 || to <= from || strings.ContainsFunc(body[to:], isWordSign) || !w.reactions[normalize(body[:from]).String()] {
		return body
	}
	return body[:from]
}

// withoutQuotedLines takes the lines away that a mail program puts below an answer, with a sign before each, unless there are no others.
func withoutQuotedLines(body string) string {
	if !strings.Contains(body, ">") {
		return body
	}
	var own strings.Builder
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(strings.TrimSpace(line), ">") {
			own.WriteString(line)
		}
	}
	if !strings.ContainsFunc(own.String(), isWordSign) {
		return body
	}
	return own.String()
}

func isWordSign(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) }
