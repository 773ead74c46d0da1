package view

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/store"
)

func TestWhyThereIsNoMessage(t *testing.T) {
	t.Parallel()
	for want, n := range map[string]Notification{
		"no rule matched":                          {Outcome: "no_rule_matched", Decision: json.RawMessage(`{"results":[{"rule":"a","verdict":"not_matched"}]}`)},
		"no rule is about Case":                    {Outcome: "no_rule_matched", Object: "Case", Decision: json.RawMessage(`{}`)},
		"the record was deleted":                   {Outcome: "no_rule_matched", Decision: json.RawMessage(`{"deleted":true}`)},
		"rule a failed, so there is no message: b": {Outcome: "rule_error", Decision: json.RawMessage(`{"results":[{"rule":"a","verdict":"error","error":"b"}]}`)},
		"gave no recipient":                        {Outcome: "matched", Decision: json.RawMessage(`{}`)},
		"had reached this record or person before": {Outcome: "matched", OnceSkipped: []string{"a"}},
		"it could not be decided":                  {Outcome: "dead_letter"},
		"rule a failed, so there is no message: c": {Outcome: "dead_letter", Replays: []Replay{
			{Result: "decided_again", Outcome: "rule_error", Decision: json.RawMessage(`{"results":[{"rule":"a","error":"c"}]}`)}, {Result: "duplicate"},
		}},
	} {
		require.Contains(t, why(&Trace{Notifications: []Notification{n}}, at()), want)
	}
	require.Contains(t, why(&Trace{Notifications: []Notification{{Outcome: "dead_letter"}}, DeadLetters: []Letter{{ID: 9}}}, at()), "deadletters show 9")
}

func TestWhyAMessageIsWhereItIs(t *testing.T) {
	t.Parallel()
	seq, lies := int64(12), int64(0)
	for want, m := range map[string]TracedMessage{
		"the person has opted out":                          {Message: Message{State: "suppressed", Reason: "opted_out"}},
		"it failed: Twilio refused it (error 21211): words": {Message: Message{State: "failed", Reason: "rejected", ErrorCode: 21211, Detail: "words"}},
		"it was sent and is read":                           {Message: Message{State: "read"}},
		"by 2 attempts: the person has it more than once": {
			Message: Message{State: "delivered"}, AttemptList: []Attempt{{State: "delivered"}, {State: "read"}},
		},
		"is not known":                    {Message: Message{State: "unknown"}},
		"being sent":                      {Message: Message{State: "sending"}},
		"too old":                         {Message: Message{State: "expired"}},
		"it is not due for another 10m0s": {Message: Message{State: "queued", NotBefore: at().Add(10 * time.Minute)}},
		"sequence 12 of MESSAGES":         {Message: Message{State: "queued", NotBefore: at()}, Belt: &Belt{Seq: &seq}},
		"behind another message to this person that is sending":       {Message: Message{State: "queued", NotBefore: at()}, Belt: &Belt{Seq: &lies, Open: "sending"}},
		"whose outcome is not known yet":                              {Message: Message{State: "queued", Reason: "behind_unknown"}},
		"Twilio did not take it (error 20429); the next try is in 2m": {Message: Message{State: "queued", Reason: "retry", ErrorCode: 20429, NotBefore: at().Add(2 * time.Minute)}},
		"no time to write to the person, and it waits until 2026-05-01T": {
			Message: Message{State: "queued", Reason: "quiet_hours", NotBefore: at().Add(time.Hour)},
			Gates:   []Gates{{Answers: []store.GateAnswer{{Gate: "hours", Words: "until then, closed by US"}}}},
		},
		"waits for a dispatcher": {Message: Message{State: "queued", NotBefore: at()}},
	} {
		require.Contains(t, why(&Trace{Notifications: []Notification{{}}, Messages: []TracedMessage{m}}, at()), want)
	}
}
