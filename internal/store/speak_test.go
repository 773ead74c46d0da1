package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
)

// spoken is a message that comes of no notification.
func spoken(origin message.Origin, key string) message.Message {
	return message.Message{
		Org: org, RecordID: recordID(1), Object: "Opportunity", ContactID: "003", Channels: []message.Channel{message.SMS}, To: person,
		Content: message.Content{SMS: &message.SMSContent{Text: "Hi", Language: "en", Encoding: "GSM-7", Segments: 1}},
		Origin:  origin, OriginKey: key, ExpiresAfter: time.Minute,
	}
}

func TestAddMessageOnceForItsKey(t *testing.T) {
	t.Parallel()
	l := open(t)
	for _, key := range []string{"a", "b"} { // a is the older one
		made, err := l.AddMessage(t.Context(), spoken(message.OriginHuman, key))
		require.NoError(t, err)
		require.True(t, made)
		made, err = l.AddMessage(t.Context(), spoken(message.OriginHuman, key))
		require.NoError(t, err)
		require.False(t, made)
	}
	require.Equal(t, 2, get[int](l, `select count(*) from message join belt on id = message_id where notification_id = '' and rule = ''`))
	for _, wrong := range []message.Message{spoken("", "a"), spoken(message.OriginRule, "a"), spoken(message.OriginHuman, "")} {
		_, err := l.AddMessage(t.Context(), wrong)
		require.Error(t, err)
	}
	for _, sql := range []string{
		`update message set origin = 'rule'`, `update message set origin_key = ''`, `update message set notification_id = 'x'`,
		`update message set origin = 'whim'`,
	} {
		_, err := l.db.Exec(t.Context(), sql)
		require.ErrorContains(t, err, "check constraint", sql)
	}
	id := get[string](l, `select id::text from message where origin_key = 'a'`)
	for _, what := range []string{id, string(recordID(1))} {
		trace, err := l.Trace(t.Context(), what)
		require.NoError(t, err, what)
		require.Empty(t, trace.Notifications)
		require.Equal(t, id, trace.Messages[0].ID)
		require.Equal(t, message.OriginHuman, trace.Messages[0].Origin)
	}
}
