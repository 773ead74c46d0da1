package message

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// every state, of messages and of attempts.
func every() []State { return append(States(), Absent, Canceled, Refused) }

// The table says for each state which ones an attempt may move to, and whether a message is done.
func TestStates(t *testing.T) {
	t.Parallel()
	ended := []State{Suppressed, Expired, Absent, Canceled, Refused}
	arrived := append([]State{Delivered, Read}, ended...) // it came after all
	delivery := append([]State{Undelivered, Failed}, arrived...)
	sent := append([]State{Sent}, delivery...)
	accepted := append([]State{Accepted}, sent...)
	unknown := append([]State{Unknown}, accepted...)
	sending := append([]State{Sending}, unknown...)
	for state, c := range map[State]struct {
		next  []State
		final bool
	}{
		Queued:      {sending, false},
		Sending:     {unknown, false},
		Unknown:     {accepted, false},
		Accepted:    {sent, false},
		Sent:        {delivery, false},
		Delivered:   {append([]State{Read}, ended...), true},
		Undelivered: {arrived, true},
		Failed:      {arrived, true},
		Read:        {ended, true},
		Suppressed:  {nil, true},
		Expired:     {nil, true},
		Absent:      {nil, false}, // the message goes on
		Canceled:    {nil, false},
		Refused:     {nil, false},
	} {
		require.Equal(t, c.final, state.Final(), state)
		for _, next := range every() {
			require.Equal(t, slices.Contains(c.next, next), state.Before(next), "%s to %s", state, next)
		}
	}
}

// The arrows of the package comment.
func TestDiagram(t *testing.T) {
	t.Parallel()
	for _, way := range [][]State{
		{Queued, Sending, Accepted, Sent, Delivered, Read},
		{Sending, Unknown, Accepted},
		{Unknown, Absent},
		{Sending, Refused},
		{Sending, Canceled},
		{Accepted, Undelivered},
		{Sent, Undelivered},
		{Accepted, Failed},
		{Sent, Failed},
	} {
		for i := range way {
			for j := i + 1; j < len(way); j++ {
				require.True(t, way[i].Before(way[j]), "%s to %s: steps may be skipped", way[i], way[j])
				require.False(t, way[j].Before(way[i]), "%s to %s: never backward", way[j], way[i])
			}
		}
	}
}

// Whatever the order of the callbacks, the state ends where the same callbacks in order end.
func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	var arrange func(done, left []State)
	arrange = func(done, left []State) {
		if len(left) == 0 {
			state := Sending
			for _, next := range done {
				if state.Before(next) {
					state = next
				}
			}
			require.Equal(t, Read, state, done)
		}
		for i := range left {
			arrange(append(slices.Clone(done), left[i]), slices.Delete(slices.Clone(left), i, i+1))
		}
	}
	arrange(nil, []State{Accepted, Sent, Delivered, Read, Sent})
}

func TestUnknownWordIsNoState(t *testing.T) {
	t.Parallel()
	require.False(t, State("teleported").Final())
	for _, state := range every() {
		require.False(t, state.Before("teleported"), "nothing moves to it")
	}
	require.Len(t, States(), 11)
}

func TestContent(t *testing.T) {
	t.Parallel()
	content := Content{SMS: &SMSContent{Text: "x", Language: "en", Encoding: "GSM-7", Segments: 2}}
	require.True(t, content.Has(SMS))
	require.False(t, content.Has(WhatsApp))
	require.False(t, content.Has("pigeon"))
	require.True(t, Content{WhatsApp: &WhatsAppContent{Text: "x"}}.Has(WhatsApp))
	require.Equal(t, 2, (&Message{Content: content}).Segments())
	require.Zero(t, (&Message{}).Segments())
	text, err := content.JSON()
	require.NoError(t, err)
	require.JSONEq(t, `{"sms":{"text":"x","language":"en","encoding":"GSM-7","segments":2}}`, string(text))
}
