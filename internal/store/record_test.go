package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

func TestRecord(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name            string
		attempt, after  message.State
		reason          message.Reason
		sid             string
		code            int
		retry           time.Duration
		live, onTheBelt int
	}{
		{name: "accepted", attempt: message.Accepted, after: message.Accepted, sid: "SM1"},
		{name: "found delivered", attempt: message.Delivered, after: message.Delivered, sid: "SM1"},
		{name: "retry", attempt: message.Refused, after: message.Queued, reason: message.ReasonRetry, code: 20429, retry: time.Hour, onTheBelt: 1},
		{name: "fallback", attempt: message.Refused, after: message.Queued, reason: message.ReasonFallback, code: 63016, onTheBelt: 1},
		{name: "rejected", attempt: message.Refused, after: message.Failed, reason: message.ReasonRejected, code: 21211},
		{name: "opted out", attempt: message.Refused, after: message.Suppressed, reason: message.ReasonOptedOut, code: 21610},
		{name: "unclear", attempt: message.Unknown, after: message.Unknown, reason: message.ReasonUnclear, live: 1},
		{name: "absent", attempt: message.Absent, after: message.Queued, reason: message.ReasonProvenAbsent, onTheBelt: 1},
		{name: "canceled", attempt: message.Canceled, after: message.Queued, reason: message.ReasonRetry, retry: time.Second, onTheBelt: 1},
		{name: "canceled for good", attempt: message.Canceled, after: message.Suppressed, reason: message.ReasonOptedOut},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := open(t)
			c := l.sending(person, message.WhatsApp)
			o := store.Outcome{
				MessageID: c.Message.ID, AttemptID: c.AttemptID, State: test.attempt, SID: test.sid, ErrorCode: test.code, Detail: "words\x00",
				MessageState: test.after, Reason: test.reason, RetryAfter: test.retry, NextChannel: 1, LookupAfter: time.Minute,
			}
			for range 2 { // repeated after a crash
				l.record(o)
				l.requireStates(c, test.after, test.attempt)
				m := l.message(c.Message.ID)
				require.Equal(t, test.reason, m.Reason)
				require.Equal(t, test.sid, m.SID)
				require.Equal(t, test.code, m.ErrorCode)
				require.Equal(t, "words", m.Detail)
				require.Equal(t, message.WhatsApp, m.Channel)
				require.Equal(t, test.live, get[int](l, `select count(*) from live_attempt`))
				require.Equal(t, test.onTheBelt, get[int](l, `select count(*) from belt`))
			}
			if test.onTheBelt > 0 {
				require.InDelta(t, test.retry.Seconds(), get[float64](l, `select extract(epoch from due_at - now())::float8 from belt`), 30)
				l.exec(`update message set not_before = now()`)
				l.claimWith(func(c store.Candidate) store.Verdict {
					require.Equal(t, 1, c.NextChannel)
					return store.Verdict{Wait: time.Hour}
				}, c.Message.ID)
			}
		})
	}
}

func TestRecordConsent(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.sending(person, message.SMS)
	o := outcome(c, message.Refused, "")
	o.MessageState, o.Reason = message.Suppressed, message.ReasonOptedOut
	o.Consent = &consent.Entry{
		Org: org, Address: person, Channel: message.SMS, Action: consent.OptOut, Source: consent.FromErrorCode, Evidence: "attempt " + c.AttemptID,
	}
	l.record(o)
	l.record(o)
	entries, err := l.ConsentHistory(t.Context(), person)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.WithinDuration(t, time.Now(), entries[0].OccurredAt, time.Minute)
	require.NoError(t, l.Record(t.Context(), nil))
}

func TestEarlyCallback(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.sending(person, message.SMS)
	require.Equal(t, []message.State{message.Sent}, l.apply(event(c, "SM1", message.Sent)), "the URL names the attempt")
	l.requireStates(c, message.Sent, message.Sent)
	require.Equal(t, "SM1", l.message(c.Message.ID).SID)
	l.record(outcome(c, message.Accepted, "SM1"))
	l.requireStates(c, message.Sent, message.Sent)

	c = l.sending("+14155550101", message.SMS)
	early := store.StatusEvent{SID: "SM2", Status: "delivered", State: message.Delivered, Received: time.Now()}
	require.Empty(t, l.apply(early), "nothing is known of the SID")
	l.requireStates(c, message.Sending, message.Sending)
	l.record(outcome(c, message.Accepted, "SM2"))
	l.requireStates(c, message.Delivered, message.Delivered)
}

func TestEarlyFailureKeepsItsConsequences(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.sending(person, message.WhatsApp)
	require.Empty(t, l.apply(store.StatusEvent{
		SID: "SM1", Status: "failed", State: message.Failed, ErrorCode: 63014, Received: time.Now(), Fallback: true, OptOut: consent.FromErrorCode,
	}))
	l.record(outcome(c, message.Accepted, "SM1"))
	l.requireStates(c, message.Queued, message.Failed)
	states, err := l.Consent(t.Context(), []addr{person})
	require.NoError(t, err)
	require.Equal(t, consent.OptOut, states[person].On(message.WhatsApp))
	require.Empty(t, states[person].On(message.SMS))
}

func TestRecordAfterTheLease(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.sending(person, message.SMS)
	l.expire()
	l.requireStates(c, message.Unknown, message.Unknown)
	l.record(outcome(c, message.Accepted, "SM1"))
	l.requireStates(c, message.Accepted, message.Accepted)
}

func TestRecordAfterAbsence(t *testing.T) {
	t.Parallel()
	l := open(t)
	c := l.absent(person)
	refused := outcome(c, message.Refused, "")
	refused.MessageState = message.Failed
	l.record(refused)
	l.requireStates(c, message.Queued, message.Absent)
	l.record(outcome(c, message.Accepted, "SM1"))
	l.requireStates(c, message.Accepted, message.Accepted)

	c = l.absent("+14155550101")
	again := l.claimWith(sendOn(message.SMS), c.Message.ID).Claimed[0]
	l.record(outcome(c, message.Accepted, "SM2"))
	l.requireStates(c, message.Sending, message.Accepted)
	l.record(outcome(again, message.Accepted, "SM3"))
	l.requireStates(again, message.Accepted, message.Accepted)
}

func TestRecordTakenSID(t *testing.T) {
	t.Parallel()
	l := open(t)
	owner := l.accepted("+14155550101", message.SMS, "SM1")
	thief, third, fourth := l.sending("+14155550102", message.SMS), l.sending("+14155550103", message.SMS), l.sending("+14155550104", message.SMS)
	err := l.Record(t.Context(), []store.Outcome{
		outcome(thief, message.Accepted, "SM1"), outcome(third, message.Accepted, "SM3"), outcome(fourth, message.Accepted, "SM3"),
	})
	require.ErrorIs(t, err, store.ErrSIDTaken)
	require.False(t, store.Temporary(err))
	l.requireStates(owner, message.Accepted, message.Accepted)
	l.requireStates(thief, message.Sending, message.Sending)
	l.requireStates(third, message.Accepted, message.Accepted)
	l.requireStates(fourth, message.Sending, message.Sending)
}
