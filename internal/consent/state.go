package consent

import (
	"time"

	"github.com/beckonhq/beckon/internal/message"
)

// Mark is the newest entry about one channel. Position breaks a tie of At: the entry with the higher one is newer.
type Mark struct {
	Action   Action
	At       time.Time
	Position int64
}

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

func (m Mark) newer(other Mark) bool {
	if m.Action == "" {
		return false
	}
	return m.At.After(other.At) || m.At.Equal(other.At) && m.Position > other.Position
}
