package dispatcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/twilio"
)

const (
	statusLimit = 256 // callbacks worked on together
	replyLimit  = 64
)

// errUnreadable says that a callback can't be read; working on it again would not help.
var errUnreadable = errors.New("the callback can't be read")

// statusLoop applies delivery statuses, all that wait in one transaction.
func (d *Dispatcher) statusLoop(ctx context.Context) error {
	for {
		if err := d.onOurLedger(ctx); err != nil {
			return err
		}
		deliveries, err := d.Status.Fetch(ctx, statusLimit)
		if err != nil {
			return err
		}
		if err := d.applyStatuses(ctx, deliveries); err != nil {
			giveBack(deliveries)
			return err
		}
	}
}

func (d *Dispatcher) applyStatuses(ctx context.Context, deliveries []*stream.Delivery) error {
	var events []store.StatusEvent
	var readable []*stream.Delivery
	for _, delivery := range deliveries {
		event, err := guard(ctx, d, func() (store.StatusEvent, error) { return d.statusEvent(delivery) })
		if err != nil {
			if err := d.deadLetter(ctx, stream.Callbacks, delivery, err); err != nil {
				return err
			}
			continue
		}
		events, readable = append(events, event), append(readable, delivery)
	}
	if len(events) == 0 {
		return nil
	}
	var moved []message.State
	err := d.persist(ctx, deliveries, func(ctx context.Context) (err error) {
		moved, err = guard(ctx, d, func() ([]message.State, error) { return d.Ledger.ApplyStatus(ctx, events) })
		return err
	})
	switch {
	case err == nil:
		d.metrics.moved(moved)
		d.alerts(events)
		d.ack(ctx, readable)
		return nil
	case ctx.Err() != nil:
		return err
	case len(readable) == 1:
		return d.deadLetter(ctx, stream.Callbacks, readable[0], err)
	}
	for _, one := range readable {
		if err := d.applyStatuses(ctx, []*stream.Delivery{one}); err != nil {
			return err
		}
	}
	return nil
}

// statusEvent reads a status callback: its form and the query of the URL that we gave Twilio. With an error comes whom it is about, if
// one can read that.
func (d *Dispatcher) statusEvent(delivery *stream.Delivery) (store.StatusEvent, error) {
	form, received, err := readCallback(delivery)
	if err != nil {
		return store.StatusEvent{}, err
	}
	status, err := twilio.ParseStatus(form)
	whom := store.StatusEvent{SID: status.SID, To: status.To, Channel: status.Channel, Received: received}
	if err != nil {
		return whom, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	state, ok := twilio.StatusToState(status.Status)
	if !ok {
		return whom, fmt.Errorf("%w: its status is not known", errUnreadable)
	}
	query, err := url.ParseQuery(delivery.Get(stream.HeaderQuery))
	if err != nil {
		query = url.Values{} // the SID will do
	}
	event := store.StatusEvent{
		SID: status.SID, Status: status.Status, State: state, ErrorCode: status.ErrorCode,
		MessageID: validUUID(query.Get("message")), AttemptID: validUUID(query.Get("attempt")), Received: received,
		To: status.To, Channel: status.Channel,
	}
	d.react(&event)
	d.learnStatus(senderOf(delivery), event, status.Channel)
	return event, nil
}

// replyLoop works on replies one by one, in the order in which we received them.
func (d *Dispatcher) replyLoop(ctx context.Context) error {
	for {
		if err := d.onOurLedger(ctx); err != nil {
			return err
		}
		deliveries, err := d.Inbound.Fetch(ctx, replyLimit)
		if err != nil {
			return err
		}
		for i, delivery := range deliveries {
			if err := d.applyReply(ctx, delivery, deliveries[i:]); err != nil {
				giveBack(deliveries[i:]) // all dispatchers wait for them
				return err
			}
			d.inboundN.wake() // after each: while replies keep coming, sending needs the moments between them
		}
	}
}

func (d *Dispatcher) applyReply(ctx context.Context, delivery *stream.Delivery, held []*stream.Delivery) error {
	if delivery.OptOut() {
		return d.applyOptOut(ctx, delivery, held)
	}
	reply, err := guard(ctx, d, func() (store.Reply, error) { return d.reply(delivery) })
	if err != nil {
		return d.giveUpReply(ctx, delivery, held, reply, err)
	}
	var linked store.Linked
	err = d.persist(ctx, held, func(ctx context.Context) (err error) {
		linked, err = guard(ctx, d, func() (store.Linked, error) { return d.Ledger.ApplyReply(ctx, reply) })
		return err
	})
	switch {
	case err == nil:
		d.metrics.reply(reply, linked)
		d.Log.InfoContext(ctx, "a reply came in", "sid", reply.SID, "from", reply.From, "channel", reply.Channel,
			"keyword", reply.Keyword, "answers", linked.MessageID, "repeated", !linked.New, "confirmation", linked.Confirmation)
		d.ack(ctx, []*stream.Delivery{delivery})
		return nil
	case ctx.Err() != nil:
		return err
	}
	return d.giveUpReply(ctx, delivery, held, reply, err)
}

// giveUpReply makes a dead letter of a reply. What it says about consent counts, whatever is wrong with the rest.
func (d *Dispatcher) giveUpReply(ctx context.Context, delivery *stream.Delivery, held []*stream.Delivery, reply store.Reply, cause error) error {
	insist := func(ctx context.Context) error {
		if err := d.storeConsent(ctx, reply); err != nil {
			return temporary{fmt.Errorf("the consent of a reply can't be stored, nothing is sent meanwhile: %w", err)}
		}
		return nil
	}
	if err := d.persist(ctx, held, insist); err != nil {
		return err
	}
	return d.deadLetter(ctx, stream.Callbacks, delivery, cause)
}

// storeConsent stores what a reply says about consent without the reply, and without its text.
func (d *Dispatcher) storeConsent(ctx context.Context, reply store.Reply) error {
	switch {
	case reply.Consent != nil:
		entry := *reply.Consent
		entry.Org, entry.Note = consent.AnyOrg, ""
		return d.Ledger.AddConsent(ctx, entry)
	case reply.Review != nil:
		review := *reply.Review
		review.Org, review.Text = consent.AnyOrg, ""
		return d.Ledger.AddReview(ctx, review)
	}
	return nil
}

// reply reads an inbound message and what it says about consent. With an error comes what it says about consent, if one can read from whom it is.
func (d *Dispatcher) reply(delivery *stream.Delivery) (store.Reply, error) {
	form, received, err := readCallback(delivery)
	if err != nil {
		return store.Reply{}, err
	}
	in, err := twilio.ParseInbound(form)
	if err != nil {
		err = fmt.Errorf("%w: %w", errUnreadable, err)
		if in.From == "" {
			return store.Reply{}, err
		}
		in.MessageSID = cmp.Or(in.MessageSID, placeOf(delivery))
	}
	reply := store.Reply{
		SID: in.MessageSID, Sender: senderOf(delivery), Channel: in.Channel, From: in.From, Body: in.Said(), Button: in.Pressed(),
		RepliedSID: in.OriginalRepliedMessageSID, Received: received, Seq: delivery.Seq,
	}
	for _, media := range in.Media {
		reply.Media = append(reply.Media, store.Media(media))
	}
	verdict, source := d.verdict(&in)
	said, seq := delivery.Stored, delivery.Seq // not the door's clock: the order of the stream is the order of a person's words
	if delivery.Get(stream.HeaderFound) != "" || delivery.Get(stream.HeaderFirstStored) != "" {
		seq = 0 // it came out of order, and its place says nothing
	}
	if delivery.Get(stream.HeaderFound) != "" {
		said = received // what Twilio says of its time counts
	}
	reply.Keyword, reply.Alias, reply.Program = string(verdict.Keyword), address.Address(in.ExternalUserID), d.revokesProgram(in.From, said)
	reply.Answer = d.Answers.to(verdict, &reply, in.OptOutType != "")
	entry := consent.Entry{
		Address: in.From, Channel: consent.AllChannels, Source: source, Evidence: in.MessageSID, Note: noteOf(reply.Body, verdict),
		OccurredAt: said, Seq: seq,
	}
	d.noteConsent(&reply, verdict, entry)
	reply.Yes = d.yes(&reply, entry, in.OptOutType != "")
	return reply, err
}

// verdict is Twilio's own word for what a reply says about consent when there is one, else what its text says. A button that opts out
// does so whatever else they say.
func (d *Dispatcher) verdict(in *twilio.Inbound) (consent.Verdict, consent.Source) {
	verdict, source := consent.Verdict{Keyword: consent.FromOptOutType(in.OptOutType), Rule: "OptOutType"}, consent.FromTwilio
	if verdict.Keyword == consent.None {
		verdict, source = d.Words.Classify(in.Said()), consent.FromKeyword
	}
	if verdict.Keyword == consent.Stop {
		return verdict, source
	}
	if pressed, ok := d.Words.Pressed(in.ButtonPayload, in.ButtonText, in.ListID, in.ListTitle); ok {
		return pressed, consent.FromKeyword
	}
	return verdict, source
}

// revokesProgram tells whether an opt-out in a word that was said then is about one program alone. A person whose country is not known
// counts as one in the United States.
//
// Source: 47 CFR 64.1200(a)(10), whose "revoke all" is waived until 2027-01-31 by DA 26-12; 47 USC 153(58) for the territories.
func (d *Dispatcher) revokesProgram(who address.Address, said time.Time) bool {
	if !d.RevokeProgram || d.RevokeAllFrom.IsZero() || said.Before(d.RevokeAllFrom) {
		return d.RevokeProgram
	}
	return !slices.Contains([]string{"", unitedStates, "PR", "VI", "GU", "AS", "MP"}, who.Country())
}

// noteConsent adds to a reply what its verdict comes to: an entry of the ledger, or a review.
func (d *Dispatcher) noteConsent(reply *store.Reply, verdict consent.Verdict, entry consent.Entry) {
	switch verdict.Keyword {
	case consent.Stop:
		entry.Action, reply.Consent = consent.OptOut, &entry
	case consent.Start:
		entry.Action, reply.Consent = consent.ReOptIn, &entry
	case consent.Review:
		reply.Review = &store.NewReview{
			Address: reply.From, Channel: reply.Channel, SID: reply.SID, Text: reply.Body, Pattern: verdict.Rule, Language: verdict.Language,
			SaidAt: entry.OccurredAt, Seq: reply.Seq, After: d.ReviewAfter,
		}
	case consent.Help, consent.None:
	}
}

// noteOf is a person's words as presented, and what in them decided.
func noteOf(body string, verdict consent.Verdict) string {
	if verdict.Language == "" {
		return fmt.Sprintf("%s [%s]", body, verdict.Rule)
	}
	return fmt.Sprintf("%s [%s: %s]", body, verdict.Language, verdict.Rule)
}

// senderOf is the sender that a callback is about.
func senderOf(delivery *stream.Delivery) string {
	return cmp.Or(delivery.Get(stream.HeaderSender), message.DefaultSender)
}

// placeOf names a delivery by its place in the stream.
func placeOf(delivery *stream.Delivery) string {
	return fmt.Sprintf("%s/%d", stream.Callbacks, delivery.Seq)
}

// readCallback returns the form of a callback and when the door received it.
func readCallback(delivery *stream.Delivery) (url.Values, time.Time, error) {
	body, err := delivery.Body()
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	form, err := twilio.ParseForm(body)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	received, err := time.Parse(time.RFC3339Nano, delivery.Get(stream.HeaderReceived))
	if err != nil {
		received = delivery.Stored
	}
	return form, received, nil
}

// deadLetter keeps a delivery that can't be worked on, and takes it off the belt. A letter that can't be stored as it is
// goes without what it carries: its stream still has it.
func (d *Dispatcher) deadLetter(ctx context.Context, from stream.Name, delivery *stream.Delivery, cause error) error {
	data, err := delivery.Body()
	if err != nil {
		data = delivery.Data
	}
	letter := stream.DeadLetter{
		ID: fmt.Sprintf("%s/%d", from, delivery.Seq), Stream: from, Seq: delivery.Seq, Subject: delivery.Subject, Reason: store.Reason(cause),
		Header: delivery.Header(), Data: data, First: delivery.Stored, History: []string{
			fmt.Sprintf("%s given up at delivery %d: %s", time.Now().UTC().Format(time.RFC3339), delivery.Deliveries, store.Reason(cause)),
		},
	}
	err = d.persist(ctx, []*stream.Delivery{delivery}, func(ctx context.Context) error {
		err := d.Belt.DeadLetter(ctx, letter)
		if errors.Is(err, stream.ErrBadMessage) || errors.Is(err, stream.ErrTooLarge) {
			letter.Header, letter.Data = nil, nil
			err = d.Belt.DeadLetter(ctx, letter)
		}
		if err != nil {
			return temporary{err}
		}
		return nil
	})
	if err != nil {
		return err
	}
	d.metrics.deadLetters.Inc()
	d.Log.ErrorContext(ctx, "a delivery went to the dead letters", "stream", from, "stream_seq", delivery.Seq, "reason", letter.Reason)
	d.ack(ctx, []*stream.Delivery{delivery})
	return nil
}

func (d *Dispatcher) ack(ctx context.Context, deliveries []*stream.Delivery) {
	for _, delivery := range deliveries {
		if err := delivery.Ack(); err != nil {
			d.Log.WarnContext(ctx, "a delivery could not be acknowledged and will come again", "error", err)
		}
	}
}

// validUUID is text when it is one of our ids, else empty.
func validUUID(text string) string {
	if uuid.Validate(text) != nil {
		return ""
	}
	return text
}
