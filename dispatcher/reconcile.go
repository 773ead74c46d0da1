package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/twilio"
)

const (
	// clockSkew is how far Twilio's clock may be from ours, and how much its listing may round.
	clockSkew = time.Minute
	// clockDoubt is how far a clock may be off before a message that is ours in all but its time is taken for somebody else's.
	// Until then it is a doubt: no clock alone may prove that a message is absent.
	clockDoubt = 24 * time.Hour
	// doubtWait is how long an attempt that can't be told stays unknown before the next look-up.
	doubtWait = 2 * time.Minute
	// absencesNeeded is how many listings, apart in time, must not show a message before it counts as absent.
	absencesNeeded = 2
	listLimit      = 100
	lookupTimeout  = 10 * time.Second
)

// reconcile looks an unknown attempt up: found, it is adopted; absent from two listings apart in time, its message is
// queued again; in doubt it stays unknown.
func (d *Dispatcher) reconcile(ctx context.Context, l store.Lookup) error {
	found, doubt, err := d.find(ctx, l)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		d.Log.WarnContext(ctx, "an unknown outcome can't be looked up now", "attempt", l.AttemptID, "error", err)
		return d.Ledger.NoteInDoubt(ctx, l.AttemptID, "Twilio could not be asked", d.ReconcileAfter)
	case found != nil:
		return d.adopt(ctx, l, found)
	case doubt:
		d.metrics.lookups.WithLabelValues("doubt").Inc()
		d.Log.WarnContext(ctx, "an unknown outcome stays unknown: Twilio has a message to this address that may be it",
			"attempt", l.AttemptID, "to", l.Address)
		return d.Ledger.NoteInDoubt(ctx, l.AttemptID, "Twilio has a message that may be this one", doubtWait)
	case l.Absences+1 < absencesNeeded:
		d.metrics.lookups.WithLabelValues("not_seen").Inc()
		return d.Ledger.NoteAbsence(ctx, l.AttemptID, d.ReconcileAfter)
	}
	d.metrics.lookups.WithLabelValues("absent").Inc()
	o := store.Outcome{
		MessageID: l.MessageID, AttemptID: l.AttemptID, State: message.Absent, Detail: "not in two listings of Twilio's messages",
		MessageState: message.Queued, Reason: message.ReasonProvenAbsent, NextChannel: l.NextChannel,
	}
	if l.Left <= 0 && l.Gap == 0 { // after a gap its other channels come first
		o.MessageState, o.Reason = message.Expired, message.ReasonValidity
	}
	d.Log.InfoContext(ctx, "an unknown attempt is proven absent", "attempt", l.AttemptID, "its_message_becomes", o.MessageState)
	return d.record(ctx, o)
}

// adopt gives the attempt the SID of the message that was found. What Twilio says of it beyond that it took it counts like a
// callback, which brings the SID along.
func (d *Dispatcher) adopt(ctx context.Context, l store.Lookup, found *twilio.Resource) error {
	d.metrics.lookups.WithLabelValues("found").Inc()
	state, ok := twilio.StatusToState(found.Status)
	if !ok {
		state = message.Accepted
	}
	d.Log.InfoContext(ctx, "an unknown attempt was found at Twilio", "attempt", l.AttemptID, "sid", found.SID, "state", state)
	if state == message.Accepted {
		return d.record(ctx, store.Outcome{
			MessageID: l.MessageID, AttemptID: l.AttemptID, State: state, SID: found.SID, Detail: "found by look-up", MessageState: state,
		})
	}
	_, err := d.applyFound(ctx, found, l.MessageID, l.AttemptID, state)
	return err
}

// applyFound applies what Twilio says of a message when it is asked, like a callback. It returns the states that messages moved to.
func (d *Dispatcher) applyFound(
	ctx context.Context, found *twilio.Resource, messageID, attemptID string, state message.State,
) ([]message.State, error) {
	event := store.StatusEvent{
		SID: found.SID, Status: found.Status, State: state, ErrorCode: found.ErrorCode, MessageID: messageID, AttemptID: attemptID,
		Received: time.Now(), To: found.To, Channel: found.Channel,
	}
	d.react(&event)
	moved, err := d.Ledger.ApplyStatus(ctx, []store.StatusEvent{event})
	d.metrics.moved(moved)
	if len(moved) > 0 {
		d.alerts([]store.StatusEvent{event})
	}
	return moved, err
}

// record stores an outcome. A SID that another attempt took meanwhile leaves this one unknown.
func (d *Dispatcher) record(ctx context.Context, o store.Outcome) error {
	err := d.Ledger.Record(ctx, []store.Outcome{o})
	if errors.Is(err, store.ErrSIDTaken) {
		return d.Ledger.NoteInDoubt(ctx, o.AttemptID, "the message found at Twilio belongs to another attempt", doubtWait)
	}
	if err == nil {
		d.metrics.recorded([]store.Outcome{o})
	}
	return err
}

// find lists the messages to the address and looks for the attempt's among those that went out in its time and are no other
// attempt's. A text like ours makes it the one, whatever sender it shows: the configuration may have changed since. So does
// being the only one when the text can't be compared (a WhatsApp template) and the sender is ours. Anything else that may be it
// is a doubt, also one that only its time tells apart from ours: the database's clock, which gave the attempt its time, may be
// wrong.
func (d *Dispatcher) find(ctx context.Context, l store.Lookup) (found *twilio.Resource, doubt bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	sender := d.laneOf(l.Sender)
	if sender == nil { // nobody else knows: another account would not show the message
		return nil, false, fmt.Errorf("the sender %s is not configured", l.Sender)
	}
	resources, cut, err := d.listed(ctx, sender, l)
	if err != nil {
		return nil, false, err
	}
	candidates, stray, err := d.candidates(ctx, sender.Sender, l, resources)
	if err != nil {
		return nil, false, err
	}
	if l.Gap != 0 {
		found, doubt, err = d.findInGap(ctx, sender.Sender, l, candidates)
		return found, doubt || found == nil && cut, err
	}
	if len(candidates) == 0 {
		return nil, stray || cut, nil
	}
	text := body(l)
	for _, c := range candidates {
		if text != "" && alike(c.Body, text) {
			return c, false, nil
		}
	}
	if len(candidates) == 1 && text == "" && ours(sender.Sender, l, candidates[0]) {
		return candidates[0], false, nil
	}
	return nil, true, nil
}

// listed lists the messages to the address. After a gap the rules of today may send by another account, or not on a channel at
// all, on which the message went then: so every account is asked, and for the channels that the message does not have, too.
// cut tells whether a listing may have ended before the attempt's time.
func (d *Dispatcher) listed(ctx context.Context, sender *lane, l store.Lookup) (all []twilio.Resource, cut bool, err error) {
	channels, asked := []message.Channel{l.Channel}, []*lane{sender}
	if l.Gap != 0 {
		for _, channel := range []message.Channel{message.SMS, message.WhatsApp} {
			if channel != l.Channel && !l.Content.Has(channel) {
				channels = append(channels, channel)
			}
		}
		for _, other := range d.lanes {
			if !slices.ContainsFunc(asked, func(l *lane) bool { return l.Account == other.Account }) {
				asked = append(asked, other)
			}
		}
	}
	for _, one := range asked {
		for _, channel := range channels {
			resources, err := one.Twilio.List(ctx, twilio.ListQuery{To: string(l.Address), Channel: channel, Limit: listLimit})
			if err != nil {
				return nil, false, err
			}
			all, cut = append(all, resources...), cut || cutOff(l, resources)
		}
	}
	return all, cut, nil
}

// alike tells whether Twilio's text is ours: Twilio may trim it, replace typographic characters, and put words before it.
func alike(theirs, ours string) bool {
	return strings.HasSuffix(plain(theirs), plain(ours))
}

func plain(text string) string {
	replaced := strings.NewReplacer("\u2018", "'", "\u2019", "'", "\u201c", `"`, "\u201d", `"`, "\u2013", "-", "\u2014", "-",
		"\u2026", "...", "\u00a0", " ").Replace(text)
	return strings.Join(strings.Fields(replaced), " ")
}

// cutOff tells whether the listing, newest first, may have ended before the attempt's time: then it proves no absence.
func cutOff(l store.Lookup, resources []twilio.Resource) bool {
	if len(resources) < listLimit {
		return false
	}
	oldest := resources[len(resources)-1].DateCreated
	return oldest.IsZero() || !oldest.Before(l.StartedAt.Add(-clockSkew))
}

// candidates are the messages of the attempt's time that belong to no attempt. stray tells that another one may be ours if it
// were not for its time.
func (d *Dispatcher) candidates(
	ctx context.Context, sender Sender, l store.Lookup, resources []twilio.Resource,
) (fitting []*twilio.Resource, stray bool, err error) {
	var near []*twilio.Resource
	var sids []string
	for i := range resources {
		if within(l, &resources[i], clockDoubt) {
			near, sids = append(near, &resources[i]), append(sids, resources[i].SID)
		}
	}
	if len(near) == 0 {
		return nil, false, nil
	}
	known, err := d.Ledger.KnownSIDs(ctx, sids)
	if err != nil {
		return nil, false, err
	}
	for _, resource := range near {
		switch {
		case known[resource.SID]:
		case within(l, resource, clockSkew):
			fitting = append(fitting, resource)
		default:
			stray = stray || similar(sender, l, resource)
		}
	}
	return fitting, stray, nil
}

// within tells whether a message went out in the attempt's time, give or take how far the clocks may be apart.
func within(l store.Lookup, r *twilio.Resource, apart time.Duration) bool {
	if strings.HasPrefix(r.Direction, "inbound") {
		return false
	}
	return r.DateCreated.IsZero() ||
		!r.DateCreated.Before(l.StartedAt.Add(-apart)) && !r.DateCreated.After(l.LeaseUntil.Add(apart))
}

// similar tells whether a message may be the attempt's by its text, or, where that can't be compared, by its sender.
func similar(sender Sender, l store.Lookup, r *twilio.Resource) bool {
	if text := body(l); text != "" {
		return alike(r.Body, text)
	}
	return ours(sender, l, r)
}

// ours tells whether a message shows our sender, or none yet.
func ours(sender Sender, l store.Lookup, r *twilio.Resource) bool {
	switch l.Channel {
	case message.WhatsApp:
		return r.From == "" || r.From == sender.WhatsAppFrom
	case message.SMS:
		if sender.MessagingServiceSID != "" {
			return r.MessagingServiceSID == "" || r.MessagingServiceSID == sender.MessagingServiceSID
		}
		return r.From == "" || r.From == sender.SMSFrom
	}
	return false
}

// body is the text that was sent, empty when a template was.
func body(l store.Lookup) string {
	switch {
	case l.Channel == message.SMS && l.Content.SMS != nil:
		return l.Content.SMS.Text
	case l.Channel == message.WhatsApp && l.Content.WhatsApp != nil && l.Content.WhatsApp.ContentSID == "":
		return l.Content.WhatsApp.Text
	}
	return ""
}
