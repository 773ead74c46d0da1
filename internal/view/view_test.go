package view

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

// at is written in another zone than the one that is shown.
func at() time.Time { return time.Date(2026, 5, 1, 14, 0, 0, 0, time.FixedZone("CEST", 2*60*60)) }

const shown = `"2026-05-01T12:00:00Z"`

// The names are a contract with programs: this text is added to, never changed.
const goldenMessage = `"id": "m", "org": "00D5g000004QxYz", "state": "delivered", "reason": "delivery", "detail": "words", "origin": "rule", "rule": "a-rule", "sender": "default",
	"template": "a-template", "language": "en", "channel": "sms", "channels": ["whatsapp", "sms"], "purpose": "transactional",
	"to": "+14155550100", "object": "Case", "record_id": "500000000000001AAA", "contact_id": "003000000000001AAA",
	"notification_id": "04l000000000001AAA", "sid": "SM1", "error_code": 30003, "segments": 2, "attempts": 3,
	"not_before": ` + shown + `, "created_at": ` + shown + `, "updated_at": ` + shown

const goldenTrace = `{
	"notifications": [{
		"id": "04l000000000001AAA", "org": "00D5g000004QxYz", "object": "Case", "record_id": "500000000000001AAA",
		"received_at": ` + shown + `, "decided_at": ` + shown + `, "duplicates": 4, "outcome": "matched", "rule_set": "abc",
		"once_skipped": ["a-rule"], "decision": {"rules": []}, "stream_seq": 7, "replays": [{
			"replay_id": "r", "mode": "force", "result": "decided_again", "outcome": "matched", "rule_set": "def", "decision": {"rules": []},
			"messages_made": 1, "messages_held": 2, "decided_at": ` + shown + `
		}]
	}],
	"dead_letters": [{
		"id": 3, "stored_at": ` + shown + `, "first_stored_at": ` + shown + `, "stream": "NOTIFICATIONS", "seq": 7, "org": "", "notification_id": "",
		"reason": "why", "history": [], "bytes": 4
	}],
	"audit": [{"id": 1, "at": ` + shown + `, "operator": "ada", "action": "replay.force", "subject": "r", "detail": {}}],
	"why": "it was sent and is delivered",
	"messages": [{` + goldenMessage + `,
		"attempt_list": [{
			"id": "a", "number": 1, "channel": "whatsapp", "state": "refused", "sid": "", "error_code": 63003, "detail": "why",
			"started_at": ` + shown + `, "updated_at": ` + shown + `
		}],
		"events": [{"sid": "SM1", "status": "delivered", "error_code": 0, "received_at": ` + shown + `}],
		"replies": [{
			"sid": "SM2", "from": "+14155550100", "channel": "sms", "body": "STOP", "keyword": "stop", "received_at": ` + shown + `
		}],
		"gates": [{"at": ` + shown + `, "answers": [{"channel": "whatsapp", "gate": "window", "answer": "no_route"}]}],
		"belt": {"due_at": ` + shown + `, "stream_seq": 5, "open": ""}, "forced_by": "r"
	}]
}`

func full() message.Message {
	return message.Message{
		ID: "m", Org: "00D5g000004QxYz", NotificationID: "04l000000000001AAA", RecordID: "500000000000001AAA", Object: "Case",
		ContactID: "003000000000001AAA", Origin: message.OriginRule, Rule: "a-rule", Sender: "default", Template: "a-template", Language: "en", Purpose: message.Transactional,
		Channels: []message.Channel{message.WhatsApp, message.SMS}, To: "+14155550100",
		Content: message.Content{SMS: &message.SMSContent{Text: "x", Segments: 2}}, State: message.Delivered,
		Reason: message.ReasonDelivery, Detail: "words", NotBefore: at(), CreatedAt: at(), UpdatedAt: at(), Channel: message.SMS,
		SID: "SM1", ErrorCode: 30003, Attempts: 3,
	}
}

func asJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	require.NoError(t, err)
	return string(text)
}

func TestMessageIsShown(t *testing.T) {
	t.Parallel()
	require.JSONEq(t, "{"+goldenMessage+"}", asJSON(t, NewMessage(full())))
}

// The names that the listing promises are there also when there is nothing to say.
func TestAnEmptyMessageHasEveryName(t *testing.T) {
	t.Parallel()
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(asJSON(t, NewMessage(message.Message{}))), &got))
	for _, name := range []string{
		"id", "state", "reason", "rule", "sender", "template", "language", "channel", "purpose", "to", "record_id", "notification_id", "sid",
		"error_code", "segments", "attempts", "not_before", "created_at", "updated_at", "org", "object", "channels",
	} {
		require.Contains(t, got, name)
		require.NotNil(t, got[name], name)
	}
}

func TestChannelBeforeTheFirstAttempt(t *testing.T) {
	t.Parallel()
	m := full()
	m.Channel = ""
	require.Equal(t, "whatsapp", NewMessage(m).Channel, "the one preferred most")
}

func TestTraceIsShown(t *testing.T) {
	t.Parallel()
	trace := &store.Trace{
		Notifications: []store.NotificationTrace{{
			Org: "00D5g000004QxYz", ID: "04l000000000001AAA", Object: "Case", RecordID: "500000000000001AAA", ReceivedAt: at(),
			Duplicates: 4, Outcome: notification.Matched, RuleSet: "abc", Detail: json.RawMessage(`{"rules":[]}`),
			OnceSkipped: []string{"a-rule"}, DecidedAt: at(), StreamSeq: 7,
			Replays: []store.ReplayTrace{{
				ID: "r", Mode: notification.ReplayForce, Result: store.ReplayDecidedAgain, Outcome: notification.Matched, RuleSet: "def",
				Detail: json.RawMessage(`{"rules":[]}`), Made: 1, Held: 2, DecidedAt: at(),
			}},
		}},
		Audit: []store.AuditEntry{{ID: 1, At: at(), Operator: "ada", Action: "replay.force", Subject: "r", Detail: json.RawMessage(`{}`)}},
		Messages: []store.MessageTrace{{
			Message: full(),
			AttemptList: []store.AttemptTrace{{
				ID: "a", Number: 1, Channel: message.WhatsApp, State: message.Refused, ErrorCode: 63003, Detail: "why", StartedAt: at(), UpdatedAt: at(),
			}},
			Events: []store.EventTrace{{SID: "SM1", Status: "delivered", ReceivedAt: at()}},
			Replies: []store.ReplyTrace{{
				SID: "SM2", From: "+14155550100", Channel: message.SMS, Body: "STOP", Keyword: "stop", ReceivedAt: at(),
			}},
			Gates: []store.GateTrace{{At: at(), Answers: []store.GateAnswer{{Channel: "whatsapp", Gate: "window", Answer: "no_route"}}}},
			Belt:  &store.BeltTrace{DueAt: at(), Seq: new(int64(5))}, Salt: "r",
		}},
	}
	mine := stream.StoredDeadLetter{
		Number: 3, Stored: at(), DeadLetter: stream.DeadLetter{Stream: stream.Notifications, Seq: 7, Reason: "why", First: at(), Data: []byte("text")},
	}
	another := mine
	another.Seq = 8
	require.JSONEq(t, goldenTrace, asJSON(t, NewTrace(trace, mine, another)))
}

func TestAnEmptyTraceHasListsNotNulls(t *testing.T) {
	t.Parallel()
	require.JSONEq(t, `{"notifications": [], "messages": [], "dead_letters": [], "audit": [], "why": ""}`, asJSON(t, NewTrace(&store.Trace{})))
	one := NewTrace(&store.Trace{Messages: []store.MessageTrace{{Message: full()}}})
	require.JSONEq(t, `{"notifications": [], "messages": [{`+goldenMessage+`, "attempt_list": [], "events": [], "replies": [], "gates": []}],
		"dead_letters": [], "audit": [], "why": "it was sent and is delivered"}`, asJSON(t, one), "of a message that comes of no notification")
}

// Nobody is told that free text may be sent when WhatsApp has said that it may not.
func TestWindowOfAConversation(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := store.Conversation{Channel: message.WhatsApp, LastInboundAt: now, WindowDenied: now.Add(-time.Hour)}
	require.NotNil(t, NewConversation(c).WindowEnds)
	c.WindowDenied = now
	require.Nil(t, NewConversation(c).WindowEnds)
	require.Nil(t, NewConversation(store.Conversation{Channel: message.WhatsApp}).WindowEnds)
	require.Nil(t, NewConversation(store.Conversation{Channel: message.SMS, LastInboundAt: now}).WindowEnds)
}
