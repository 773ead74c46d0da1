package consent

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Keyword is what a reply says about consent, if anything.
type Keyword string

// The keywords.
const (
	None  Keyword = ""      // an ordinary reply
	Stop  Keyword = "stop"  // opt out
	Start Keyword = "start" // opt back in
	Help  Keyword = "help"  // asks who is writing and how to stop
)

// phrase is one way to say a keyword: words in capitals, a single space between them.
type phrase struct {
	words   string
	keyword Keyword
}

// vocabulary is the table of phrases; another language is more lines.
//
// Sources: Twilio, "Twilio support for opt-out keywords (SMS STOP filtering)", and 47 CFR 64.1200(a)(10), which names
// "opt out" as two words. YES, which Twilio takes as an opt-in, is left out on purpose: people answer questions with it.
func vocabulary() []phrase {
	return []phrase{
		// English.
		{"STOP", Stop},
		{"UNSUBSCRIBE", Stop},
		{"END", Stop},
		{"QUIT", Stop},
		{"STOPALL", Stop},
		{"STOP ALL", Stop},
		{"REVOKE", Stop},
		{"OPTOUT", Stop},
		{"OPT OUT", Stop},
		{"CANCEL", Stop},
		{"START", Start},
		{"UNSTOP", Start},
		{"HELP", Help},
		{"INFO", Help},
	}
}

// longestPhrase bounds the work on one reply: nothing longer, in letters and spaces, is in the vocabulary.
const longestPhrase = 32

// Classify tells what a reply says about consent. The whole message must be a phrase of the vocabulary, so "I stopped
// by" is None; case, full-width letters, white space, punctuation and emoji around the words do not matter. It never
// fails; any bytes will do.
func Classify(body string) Keyword {
	said := normalize(body)
	for _, p := range vocabulary() {
		if p.words == said {
			return p.keyword
		}
	}
	return None
}

// FromOptOutType reads the OptOutType parameter of an inbound message, which Twilio sets when its own opt-out handling
// took the reply for a keyword (Twilio, "Advanced Opt-Out": STOP, START or HELP). Anything else is None.
func FromOptOutType(value string) Keyword {
	switch strings.ToUpper(strings.TrimSpace(value)) {
	case "STOP":
		return Stop
	case "START":
		return Start
	case "HELP":
		return Help
	}
	return None
}

// normalize gives the letters and digits of body in capitals, with one space wherever anything else stands between
// them. It is empty for a body too long to be a phrase.
func normalize(body string) string {
	out := make([]rune, 0, longestPhrase)
	gap := false
	var decomposed norm.Iter
	decomposed.InitString(norm.NFKC, body)
	for !decomposed.Done() {
		for _, r := range string(decomposed.Next()) {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r):
				if gap && len(out) > 0 {
					out = append(out, ' ')
				}
				gap = false
				out = append(out, unicode.ToUpper(r))
			case unicode.Is(unicode.Cf, r): // zero-width characters and direction marks are not there to the reader
			default:
				gap = true
			}
			if len(out) > longestPhrase {
				return ""
			}
		}
	}
	return string(out)
}
