package consent

import "strings"

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
