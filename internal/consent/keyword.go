package consent

import (
	"slices"
	"strings"
	"unicode"
)

// Keyword is what a reply says about consent, if anything.
type Keyword string

// The keywords.
const (
	None   Keyword = ""       // an ordinary reply
	Stop   Keyword = "stop"   // opt out: act at once
	Review Keyword = "review" // probably an opt-out: pause, and let a human or a set time decide
	Start  Keyword = "start"  // opt back in
	Help   Keyword = "help"   // asks who is writing and how to stop
)

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

// TwilioTakes tells whether Twilio takes a reply for a keyword by itself, and answers it, where Advanced Opt-Out does not say so: it knows
// a few English words, which must be the whole message, in any case. Signs around the word do not matter here: whether they do to Twilio
// is not said, and somebody whom it has opted out gets nothing from us anyway.
//
// Source: Twilio, "Twilio support for opt-out keywords (SMS STOP filtering)". YES is left out: it is no keyword of ours.
func TwilioTakes(body string) bool {
	words := []string{"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT", "START", "UNSTOP", "HELP", "INFO"}
	return slices.Contains(words, strings.ToUpper(strings.TrimFunc(body, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) })))
}
