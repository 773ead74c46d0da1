package consent

import (
	"time"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

// Action is what an entry of the ledger does.
type Action string

// The actions.
const (
	OptIn  Action = "opt_in"
	OptOut Action = "opt_out"
)

// Source says how we learned it.
type Source string

// The sources.
const (
	FromKeyword   Source = "keyword"        // the person's own words in a reply
	FromTwilio    Source = "twilio_opt_out" // OptOutType of an inbound message
	FromErrorCode Source = "twilio_error"   // 21610, 63014
	FromOperator  Source = "operator"       // the command line or the API
	FromReview    Source = "review"         // a reply that somebody, or a set time, decided to be an opt-out
)

// AllChannels is the channel of an entry that counts on every channel.
const AllChannels message.Channel = "all"

// AnyOrg stands for every organisation in an entry that belongs to the person and not to one organisation.
const AnyOrg notification.OrgID = "*"

// Entry is one line of the ledger.
type Entry struct {
	Org        notification.OrgID
	Address    address.Address
	Channel    message.Channel // AllChannels, or the one that it is about
	Action     Action
	Source     Source
	Evidence   string // message SID, error code or operator; what proves it
	Note       string // the words as presented, or an operator's remark
	OccurredAt time.Time
	Seq        uint64 // of the callback in its stream; breaks a tie of OccurredAt. 0 for an entry that came otherwise
	RecordedAt time.Time
}
