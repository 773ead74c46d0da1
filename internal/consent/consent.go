package consent

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

// Action is what an entry of the ledger does.
type Action string

// The actions.
const (
	OptIn   Action = "opt_in"    // express consent; with double opt-in it is a request, which waits for Confirm
	Confirm Action = "confirm"   // the person's YES to that request
	OptOut  Action = "opt_out"   // no more messages
	ReOptIn Action = "re_opt_in" // START: it lifts an opt-out, and brings back the consent that there was before, if any
	Erase   Action = "erase"     // the person's data was erased; counts as an opt-out until the person's next word
)

// SaidOn is when a word counts of which only the day is known: an opt-out from the day's end, as far as the day has come by now, and
// any other word from its beginning. So of two words of one day the stricter one counts.
func SaidOn(day time.Time, action Action, now time.Time) time.Time {
	if action != OptOut {
		return day
	}
	end := day.AddDate(0, 0, 1).Add(-time.Microsecond)
	if end.After(now) {
		return now
	}
	return end
}

// Source says how we learned it.
type Source string

// The sources.
const (
	FromKeyword    Source = "keyword"        // the person's own words in a reply
	FromTwilio     Source = "twilio_opt_out" // OptOutType of an inbound message
	FromErrorCode  Source = "twilio_error"   // 21610, 63014
	FromOperator   Source = "operator"       // the command line
	FromAPI        Source = "api"            // the API
	FromReview     Source = "review"         // a reply that somebody, or a set time, decided to be an opt-out
	FromSalesforce Source = "salesforce"     // a field of a record, by a rule file
	FromImport     Source = "import"         // a file
	FromWebhook    Source = "webhook"        // what Twilio says of a person's addresses
)

// AllChannels is the channel of an entry that counts on every channel.
const AllChannels message.Channel = "all"

// AnyOrg stands for every organisation in an entry that belongs to the person and not to one organisation.
const AnyOrg notification.OrgID = "*"

// Scope says what an entry is about. The zero Scope is about everything.
type Scope struct {
	Kind ScopeKind
	Name string // of the program or the brand; empty for ScopeAll
}

// ScopeKind is how far an entry reaches.
type ScopeKind string

// The kinds of scope.
const (
	ScopeAll     ScopeKind = "all"
	ScopeBrand   ScopeKind = "brand"   // every program of a brand
	ScopeProgram ScopeKind = "program" // one program
)

// ProgramScope is the scope of one program; everything when it is not named.
func ProgramScope(program string) Scope {
	if program == "" {
		return Scope{}
	}
	return Scope{ScopeProgram, program}
}

// KindOrAll is the kind as it is stored.
func (s Scope) KindOrAll() ScopeKind {
	if s.Kind == "" {
		return ScopeAll
	}
	return s.Kind
}

// Clean gives the zero Scope for one about everything, so that scopes can be compared.
func (s Scope) Clean() Scope {
	if s.KindOrAll() == ScopeAll {
		return Scope{}
	}
	return s
}

func (s Scope) covers(program string) bool {
	switch s.Kind {
	case ScopeProgram:
		return s.Name == program
	case ScopeBrand:
		return s.Name == BrandOf(program)
	case ScopeAll, "":
	}
	return true
}

// BrandOf is the brand of a program: what stands before the slash in its name, as in acme/newsletter, or the default one.
func BrandOf(program string) string {
	if brand, _, ok := strings.Cut(program, "/"); ok {
		return brand
	}
	return message.DefaultProgram
}

// IsProgram tells whether a name can be a program's: kebab-case, with a brand and a slash before it or without.
func IsProgram(name string) bool {
	brand, rest, hasBrand := strings.Cut(name, "/")
	return IsBrand(brand) && (!hasBrand || IsBrand(rest))
}

// longestName is of a program or a brand, in bytes: each is a part of what tells one entry from another, and Postgres bounds a key.
const longestName = 200

// IsBrand tells whether a name can be a brand's: kebab-case.
func IsBrand(name string) bool {
	small := func(c byte) bool { return c >= 'a' && c <= 'z' }
	for i := range len(name) {
		switch c, dash := name[i], i > 0 && name[i-1] == '-'; {
		case small(c), i > 0 && c >= '0' && c <= '9':
		case c != '-' || i == 0 || dash || i == len(name)-1:
			return false
		}
	}
	return name != "" && len(name) <= longestName
}

// Entry is one line of the ledger.
type Entry struct {
	Org        notification.OrgID
	Address    address.Address
	Channel    message.Channel // AllChannels, or the one that it is about
	Action     Action
	Scope      Scope
	Purpose    message.Purpose // what was agreed to; empty when nobody said
	Source     Source
	Evidence   string // message SID, notification id, error code or operator; what proves it
	Note       string // the words as presented, or an operator's remark
	Proof      Proof
	OccurredAt time.Time
	Seq        uint64 // of the callback in its stream; breaks a tie of OccurredAt. 0 for an entry that came otherwise
	RecordedAt time.Time
	// Ask is of an opt-in: with double opt-in the person is asked to confirm it. It is no part of what was said, and not kept with it.
	Ask   bool
	AskIn string // the language to ask in; empty: that of the newest message to the person
}

// Proof is what shows how a person agreed. Any part may be empty.
type Proof struct {
	Disclosure string `json:"disclosure,omitempty"` // the words that the person agreed to
	SourceURL  string `json:"source_url,omitempty"` // where
	IP         string `json:"ip,omitempty"`         // from where
	Operator   string `json:"operator,omitempty"`   // who entered it
}

// Hash is the SHA-256 of the disclosure in hex, empty without one.
func (p Proof) Hash() string {
	if p.Disclosure == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(p.Disclosure))
	return hex.EncodeToString(sum[:])
}
