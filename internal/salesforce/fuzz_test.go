package salesforce

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/notification"
)

// agrees decodes a body that may be anything. If Decode takes it, so must encoding/xml, and both read the same.
func agrees(t *testing.T, body []byte) (accepted bool) {
	t.Helper()
	env, err := Decode(body, DefaultLimits())
	if err != nil {
		require.Nil(t, env)
		var bad *MalformedError
		require.ErrorAs(t, err, &bad)
		require.NotEmpty(t, bad.Reason)
		require.GreaterOrEqual(t, bad.Offset, 0)
		require.LessOrEqual(t, bad.Offset, len(body))
		return false
	}
	if bytes.Contains(body, []byte("1.1")) && bytes.Contains(body, []byte("<?xml")) {
		return true // encoding/xml does not know XML 1.1
	}
	reference, err := referenceDecode(body)
	require.NoError(t, err)
	require.Equal(t, reference, env)
	return true
}

func FuzzDecode(f *testing.F) {
	for _, file := range shapeFiles(f) {
		if strings.Contains(file, "hundred") {
			continue // slow to mutate, and it has nothing that the others have not
		}
		body, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(body)
	}
	for _, refusal := range refusals() {
		f.Add([]byte(refusal.body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		agrees(t, body)
	})
}

func FuzzEncodeDecode(f *testing.F) {
	f.Add("Contact", "Email", "a@example.com", "x & <y>\r\n]]>", true)
	f.Add("npsp__Gift__c", "npsp__Amount__c", "1.0E7", "\u00e4\U0001f600\ufffe", false)
	f.Fuzz(func(t *testing.T, object, name, value, other string, null bool) {
		env := &notification.Envelope{
			Org: "00D5g000004QxYz", Action: makeID("04k", 1), Object: object,
			Notifications: []notification.Notification{
				{ID: makeID("04l", 1), RecordID: makeID("003", 1), Fields: []notification.Field{
					{Name: "Id", Value: string(makeID("003", 1))}, {Name: name, Value: value},
				}},
				{ID: makeID("04l", 2), Fields: []notification.Field{{Name: name, Value: other}}},
				{ID: makeID("04l", 3)},
			},
		}
		if null {
			env.Notifications[0].Fields = append(env.Notifications[0].Fields, notification.Field{Name: "N", Null: true})
		}
		var buf bytes.Buffer
		if err := Encode(&buf, EnvelopeSpec{Envelope: env, SessionID: other}); err != nil {
			require.ErrorIs(t, err, ErrNotEncodable)
			return
		}
		require.True(t, utf8.Valid(buf.Bytes()))
		got, err := Decode(buf.Bytes(), DefaultLimits())
		if name == "Id" {
			require.Error(t, err) // twice in the first, or not an id
			return
		}
		require.NoError(t, err)
		env.Notifications[0].Fields = env.Notifications[0].Fields[:2]
		require.Equal(t, env, got)
		require.True(t, agrees(t, buf.Bytes()))
	})
}
