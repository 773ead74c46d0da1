package consent

import (
	"cmp"
	"time"

	"github.com/beckonhq/beckon/internal/message"
)

// Mark is the newest entry about one channel. Seq breaks a tie of At, and Position a tie of both: the higher one is newer.
type Mark struct {
	Action   Action
	At       time.Time
	Seq      uint64 // of the callback that brought it; 0 when none did
	Position int64  // in the ledger
}

// ReviewChannel is the place in a State of a reply that is under review. It is no channel.
const ReviewChannel message.Channel = "review"

// State is what the ledger says of one address: the newest entry per channel, AllChannels among them.
type State map[message.Channel]Mark

// On tells the newest word that counts on a channel: an entry about the channel or one about all, whichever is newer. It is
// empty when nothing is on record.
func (s State) On(channel message.Channel) Action {
	about, all := s[channel], s[AllChannels]
	if about.Action == "" || all.newer(about) {
		return all.Action
	}
	return about.Action
}

// UnderReview tells whether a reply that may be an opt-out waits for a decision: nothing may be sent on any channel.
func (s State) UnderReview() bool {
	_, open := s[ReviewChannel]
	return open
}

func (m Mark) newer(other Mark) bool {
	if m.Action == "" {
		return false
	}
	if order := cmp.Or(m.At.Compare(other.At), cmp.Compare(m.Seq, other.Seq)); order != 0 {
		return order > 0
	}
	return m.Position > other.Position
}
