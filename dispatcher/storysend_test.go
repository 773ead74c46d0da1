package dispatcher

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/store"
)

func (s *story) pause(*rapid.T) {
	by := store.RuleSwitch{Rule: "a-rule", By: "ana"}
	change := s.PauseRule
	if s.paused {
		change = s.ResumeRule
	}
	_, err := change(context.Background(), by)
	require.NoError(s.t, err)
	s.paused = !s.paused
}

func (s *story) nightfall(*rapid.T) {
	s.closed = !s.closed
	law := s.open
	if s.closed {
		law = s.night
	}
	s.l.gates = gates(s.l.Sender, law, s.double)
}

// draft is a message to anyone, with what they can get.
func (s *story) draft(t *rapid.T) message.Message {
	m := both(s.anyone(t), "text")
	m.Channels = rapid.SampledFrom([][]message.Channel{
		{message.SMS}, {message.WhatsApp}, {message.WhatsApp, message.SMS}, {message.SMS, message.WhatsApp},
	}).Draw(t, "channels")
	if !strings.HasPrefix(string(m.To), "+") {
		m.Channels = []message.Channel{message.WhatsApp}
	}
	m.Purpose = rapid.SampledFrom([]message.Purpose{message.Transactional, message.Marketing}).Draw(t, "purpose")
	m.Program, m.ID = message.DefaultProgram, uuid.Must(uuid.NewV7()).String()
	m.ExpiresAfter = 1000 * time.Hour // the oracle knows no validity: a night after a review may outlast the usual one
	return m
}

// rule lets a rule make a message for a notification.
func (s *story) rule(t *rapid.T) {
	m := s.draft(t)
	m.Program = rapid.SampledFrom([]string{message.DefaultProgram, "acme/news", "acme/offers"}).Draw(t, "program")
	n := s.next.Add(1)
	id := notification.ID(fmt.Sprintf("04l%015d", n))
	e := store.Envelope{Seq: uint64(n), Envelope: &notification.Envelope{
		Org: testOrg, Action: "04k000000000001AAA", Object: "Contact", Received: time.Now(),
		Notifications: []notification.Notification{{ID: id, RecordID: notification.ID(fmt.Sprintf("003%015d", n))}},
	}}
	require.True(s.t, s.decideBy(e, m))
	s.decided = append(s.decided, e)
	s.made[string(id)] = m
}

// decideBy stores the decision that the message is to be made, and tells whether it was.
func (s *story) decideBy(e store.Envelope, m message.Message) bool {
	m.Org, m.Rule, m.Template, m.Origin, m.State = testOrg, "a-rule", "a-template", message.OriginRule, message.Queued
	m.NotificationID, m.RecordID = e.Notifications[0].ID, e.Notifications[0].RecordID
	m.CreatedAt = time.Now()
	m.NotBefore = m.CreatedAt
	_, err := s.Decide(context.Background(), []store.Envelope{e}, func(store.Pending) store.Decided {
		return store.Decided{Outcome: notification.Matched, RuleSet: "test", Messages: []store.NewMessage{{Message: m}}}
	})
	require.NoError(s.t, err)
	if s.message(m.ID).ID == "" {
		return false
	}
	s.wait4(m)
	return true
}

// replay decides a notification again, by force.
func (s *story) replay(t *rapid.T) {
	if len(s.decided) == 0 {
		return
	}
	e := rapid.SampledFrom(s.decided).Draw(t, "notification")
	m := s.made[string(e.Notifications[0].ID)]
	waits := slices.ContainsFunc(s.pending, func(p message.Message) bool { return p.NotificationID == e.Notifications[0].ID })
	m.ID = uuid.Must(uuid.NewV7()).String()
	e.Seq, e.Replay = uint64(s.next.Add(1)), &notification.Replay{ID: m.ID, Mode: notification.ReplayForce}
	require.Equal(s.t, !waits, s.decideBy(e, m), "again, unless the first one waits still")
}

// speak makes a message of any origin but a rule and the one that has an exemption.
func (s *story) speak(t *rapid.T) {
	m := s.draft(t)
	m.Origin = rapid.SampledFrom(slices.DeleteFunc(message.Origins(), func(o message.Origin) bool {
		return o == message.OriginRule || o == message.OriginCompliance
	})).Draw(t, "origin")
	m.OriginKey = m.ID
	if len(s.replies) > 0 && rapid.Bool().Draw(t, "keyed to a reply") {
		m.OriginKey = rapid.SampledFrom(s.replies).Draw(t, "reply").sid
	}
	made, err := s.AddMessage(context.Background(), m)
	require.NoError(s.t, err)
	if made {
		s.wait4(m)
	}
}

// dispatchAll lets every message go that waits, the oldest first, and compares what becomes of each with what the oracle says.
func (s *story) dispatchAll(*rapid.T) {
	for _, m := range slices.Clone(s.pending) {
		s.exec(`update message set not_before = now() where id = $1 and state = 'queued' and not_before > now()`, m.ID)
		s.exec(`update belt set due_at = now() where message_id = $1`, m.ID)
		before := s.sim.Stats().Creates
		s.dispatch(m.ID)
		got, want := s.message(m.ID), s.judge(&m)
		what := fmt.Sprintf("%s %s of %s, %s, on %v: %s (%s)", m.Purpose, m.Origin, m.Program, m.ID, m.Channels, got.State, got.Reason)
		switch {
		case want.send != "":
			require.Equal(s.t, message.Accepted, got.State, what)
			require.Equal(s.t, want.send, got.Channel, what)
			require.Equal(s.t, before+1, s.sim.Stats().Creates, what)
		case want.suppress != "":
			require.Equal(s.t, message.Suppressed, got.State, what)
			require.Equal(s.t, want.suppress, got.Reason, what)
		default:
			require.Equal(s.t, message.Queued, got.State, what)
			require.NotEmpty(s.t, got.Reason, "whoever looks at it sees why it waits: "+what)
		}
		if want.send == "" {
			require.Equal(s.t, before, s.sim.Stats().Creates, what)
		}
		if got.State != message.Queued {
			s.pending = slices.DeleteFunc(s.pending, func(p message.Message) bool { return p.ID == m.ID })
		}
	}
}

// dispatch is what the send loop does with a delivery that names the message.
func (s *story) dispatch(id string) {
	ctx := context.Background()
	free, err := s.l.takeSlots(ctx, 1)
	require.NoError(s.t, err)
	begun, err := s.l.start(ctx, nil, []string{id})
	s.l.giveSlots(free - begun.calls)
	require.NoError(s.t, err)
	require.Empty(s.t, begun.rest)
	require.True(s.t, s.wait(func() bool { return s.message(id).State != message.Sending }))
}
