package stream

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
)

func TestErase(t *testing.T) {
	t.Parallel()
	c := start(t)
	const person = address.Address("+14155550123")
	fits := regexp.MustCompile(person.Pattern()).MatchString
	for i, phone := range []string{"+14155550123", "(415) 555-0123", "+14155550124", "415.555.0123"} {
		require.NoError(t, c.PublishNotification(t.Context(), envelope(strconv.Itoa(i)), []byte("<Phone>"+phone+"</Phone><Id>006</Id>")))
	}
	c.finish(t, 3, 3)
	require.NoError(t, c.PublishCallback(t.Context(), KindInbound, "IN1", nil, []byte("From=%2B14155550123&Body=hi")))
	require.NoError(t, c.DeadLetter(t.Context(), DeadLetter{Stream: Notifications, Seq: 1, Data: []byte("415 555 0123")}))

	done, err := c.Erase(t.Context(), Notifications, 2, fits)
	require.NoError(t, err)
	require.Equal(t, Erased{Looked: 2, Waiting: 1, Bounded: true}, done, "the newest two: somebody else's, and one that waits")
	done, err = c.Erase(t.Context(), Notifications, 100, fits)
	require.NoError(t, err)
	require.Equal(t, Erased{Looked: 4, Removed: 2, Waiting: 1}, done)
	done, err = c.Erase(t.Context(), Callbacks, 100, fits)
	require.NoError(t, err)
	require.Equal(t, Erased{Looked: 1, Waiting: 1}, done)
	done, err = c.Erase(t.Context(), DeadLetters, 100, fits)
	require.NoError(t, err)
	require.Equal(t, Erased{Looked: 1, Removed: 1}, done)
	c.finish(t, 1, 4)
	done, err = c.Erase(t.Context(), Notifications, 100, fits)
	require.NoError(t, err)
	require.Equal(t, Erased{Looked: 2, Removed: 1}, done, "worked on by now")
}
