package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/twilio"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

// The whole story on a bare machine: nothing is configured but the organisation, the account and the ports.
func TestStoryOnTheEmbeddedDefault(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve(t, "", "ready")
	h.refusals(t)

	// A deal is won, the customer is welcomed, Twilio reports the delivery.
	h.accept(t, won(deal{1, 1, 1}))
	m := h.awaitState(t, person(1), "delivered")
	for _, field := range []string{
		"id", "state", "reason", "rule", "template", "language", "channel", "purpose", "to", "record_id", "notification_id", "sid",
		"error_code", "segments", "attempts", "not_before", "created_at", "updated_at",
	} {
		require.Contains(t, m, field, "a field of the contract")
	}
	sent := h.sim.Messages()
	require.Len(t, sent, 1)
	require.Equal(t, sender, sent[0].From)
	require.Contains(t, sent[0].Body, "Zoë")
	require.Contains(t, sent[0].Body, "https://example.com/start/"+string(id("006", 1)))
	require.Equal(t, message{
		"rule": "closed-won-welcome", "template": "closed-won-welcome", "language": "es", "channel": "sms", "purpose": "transactional",
		"record_id": string(id("006", 1)), "notification_id": string(id("04l", 1)), "sid": sent[0].SID, "error_code": 0.0,
		"reason": "", "attempts": 1.0,
	}, only(m, "rule", "template", "language", "channel", "purpose", "record_id", "notification_id", "sid", "error_code", "reason", "attempts"))
	require.GreaterOrEqual(t, m["segments"], 1.0)

	// Salesforce repeats itself: acknowledged each time, in whatever envelope, and nobody hears of it again.
	h.accept(t, won(deal{1, 1, 1}))
	h.accept(t, won(deal{1, 1, 2})) // the same notification with later data
	h.accept(t, won(deal{4, 4, 4}, deal{1, 1, 1}))
	h.awaitState(t, person(4), "delivered")
	h.reply(t, 1, "Thanks, see you on Monday")
	h.reply(t, 1, "STOP")
	require.Eventually(t, func() bool { return h.traced(t, string(id("04l", 1))).replies() == 2 }, patience, tick)
	trace := h.traced(t, m.text("id"))
	require.Equal(t, 2, h.traced(t, string(id("006", 1))).replies(), "by the record, too")
	require.Len(t, trace.Notifications, 1)
	require.Equal(t, 1, trace.Notifications[0].Duplicates, "the door knows an envelope again, the ledger a notification")

	// A person who said STOP gets nothing, and the message says why.
	h.accept(t, won(deal{2, 2, 1}))
	require.Equal(t, "opted_out", h.awaitState(t, person(1), "suppressed").text("reason"))
	require.Len(t, h.sim.Messages(), 4, "two messages and two replies")
	text, code := h.command(t, "trace", string(id("04l", 2)))
	require.Zero(t, code)
	require.Contains(t, text, "opted_out")

	// It ends in order, says so to who asks beside it, and goes on where it was.
	s.terminate(t)
	_, code = h.command(t, "messages", "list")
	require.Equal(t, 1, code, "nothing runs on this data directory")
	s = h.serve(t, "", "ready")
	require.Len(t, h.messages(t)[person(1)], 2)
	h.accept(t, won(deal{1, 1, 1}))
	h.accept(t, won(deal{3, 3, 3}))
	h.awaitState(t, person(3), "delivered")
	require.Equal(t, 1, h.sim.Count(person(1)))
	require.Equal(t, 1, h.sim.Count(person(3)))
	require.Zero(t, h.sim.Count(person(2)))
	s.terminate(t)
}

// What is acknowledged survives a kill -9 of the door before anything else has seen it; a kill -9 in the middle of the work
// sends nothing twice and loses nothing.
func TestKillOnTheEmbeddedDefault(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve(t, "ingest", "ready")
	h.accept(t, won(deal{1, 1, 1}))
	s.kill(t)

	s = h.serve(t, "", "ready")
	h.awaitState(t, person(1), "delivered")

	const people = 40
	for i := 2; i <= people; i++ {
		h.accept(t, won(deal{i, i, i}))
	}
	s.kill(t)
	s = h.serve(t, "", "ready")
	h.awaitAllTaken(t, people)
	s.terminate(t)
}

// awaitAllTaken waits until each of the people 1 to n has one message that Twilio took, and checks that Twilio has one for
// each. Whether all are reported as delivered is another matter: Twilio gives up calling a door that is closed.
func (h *house) awaitAllTaken(t *testing.T, n int) {
	t.Helper()
	var list map[string][]message
	var states map[string]int
	taken := func() int {
		list, states = h.messages(t), map[string]int{}
		for _, messages := range list {
			for _, m := range messages {
				states[m.text("state")]++
			}
		}
		return states["accepted"] + states["sent"] + states["delivered"]
	}
	require.Eventually(t, func() bool { return taken() >= n }, ackWait+patience, 10*tick,
		"%d messages must be taken by Twilio: %v", n, &states)
	require.Len(t, list, n)
	for i := 1; i <= n; i++ {
		require.Len(t, list[person(i)], 1)
		require.Equal(t, 1, h.sim.Count(person(i)), "messages at Twilio to person %d: %v", i, list[person(i)])
	}
}

// refusals are what the door does not take. Nothing is kept of it.
func (h *house) refusals(t *testing.T) {
	t.Helper()
	good := won(deal{900, 900, 900})
	for name, body := range map[string][]byte{
		"an unknown organisation": wonBy("00D5g00000STRNG", deal{900, 900, 900}),
		"a document cut off":      good[:len(good)-30],
		"no XML":                  []byte("Closed Won"),
		"a document type": []byte(strings.Replace(string(good), "<soapenv:Envelope",
			`<!DOCTYPE x [<!ENTITY a "b">]><soapenv:Envelope`, 1)),
	} {
		status, text := h.post(t, door, body)
		require.GreaterOrEqual(t, status, 400, name)
		require.Less(t, status, 500, name)
		require.Contains(t, text, "Fault", name)
		require.NotContains(t, text, "<Ack>true", name)
	}
	status, _ := h.post(t, door+"/a-secret-that-is-not-set", good)
	require.Equal(t, http.StatusNotFound, status)

	form := url.Values{
		"MessageSid": {"SM00000000000000000000000000000009"}, "From": {person(900)}, "To": {sender}, "Body": {"STOP"},
	}
	for name, signature := range map[string]string{
		"none": "", "another token's": twilio.Sign("another token", "http://"+h.public+"/twilio/messages", form),
		"another URL's": twilio.Sign(h.sim.AuthToken, "http://"+h.public+"/twilio/status", form), "no base64": "%%%",
	} {
		status, _ := h.post(t, "/twilio/messages", []byte(form.Encode()),
			"Content-Type", "application/x-www-form-urlencoded", "X-Twilio-Signature", signature)
		require.Equal(t, http.StatusForbidden, status, name)
	}
	require.Empty(t, h.messages(t))
	_, code := h.command(t, "trace", string(id("04l", 900)))
	require.Equal(t, 1, code, "nothing is known of it")
}

// reply lets a person answer; Twilio's webhook must be taken.
func (h *house) reply(t *testing.T, who int, text string) {
	t.Helper()
	result, err := h.sim.Inbound(t.Context(), twiliosim.InboundMessage{From: person(who), To: sender, Body: text})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, result.HTTPStatus)
}

// trace is what `beckon trace --json` shows.
type trace struct {
	Notifications []struct {
		Outcome    string `json:"outcome"`
		Duplicates int    `json:"duplicates"`
	} `json:"notifications"`
	Messages []struct {
		Replies []struct {
			Body string `json:"body"`
		} `json:"replies"`
	} `json:"messages"`
}

func (tr trace) replies() int {
	n := 0
	for _, m := range tr.Messages {
		n += len(m.Replies)
	}
	return n
}

func (h *house) traced(t *testing.T, what string) trace {
	t.Helper()
	out, code := h.command(t, "trace", "--json", what)
	require.Zero(t, code)
	var found trace
	require.NoError(t, json.Unmarshal([]byte(out), &found))
	return found
}

// only keeps some fields.
func only(m message, fields ...string) message {
	kept := message{}
	for _, field := range fields {
		kept[field] = m[field]
	}
	return kept
}
