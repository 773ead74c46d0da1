package dispatcher

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/twilio"
)

const (
	missedRound   = 10 * time.Second // how often it is looked whether a listing is due
	missedOverlap = 15 * time.Minute // how late Twilio's listings, and how wrong our clock, may be
	missedWait    = 30 * time.Second // after a listing that failed
	missedTimeout = 10 * time.Minute // a busy account has many pages
)

// missedLoop finds the replies whose webhooks did not get through: at the start and every InboundCheck it lists what people sent us
// since the last listing, and puts what the ledger does not have into CALLBACKS, where it goes the way of every reply.
func (l *lane) missedLoop(ctx context.Context) error {
	atOnce := true
	return l.every(ctx, min(missedRound, l.InboundCheck), "the search for missed replies", func(ctx context.Context) error {
		mark := "inbound." + l.Sender.Name
		since, taken, err := l.Ledger.TakeMark(ctx, mark, l.InboundCheck, atOnce)
		if err != nil || !taken {
			return err
		}
		began := time.Now()
		if err := l.findMissed(ctx, since.Add(-missedOverlap)); err != nil {
			_ = l.Ledger.PutOffMark(ctx, mark, min(missedWait, l.InboundCheck)) // else it is due a little later
			return err
		}
		atOnce = false
		return l.Ledger.MoveMark(ctx, mark, began)
	})
}

// findMissed lists, and publishes what is not known, oldest first. Replies that wait in CALLBACKS are worked on before: else they
// would look missed.
func (l *lane) findMissed(ctx context.Context, since time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, missedTimeout)
	defer cancel()
	received, err := l.listReceived(ctx, since)
	if err != nil || len(received) == 0 {
		return err
	}
	worked := barrier{belt: l.Belt, inbound: l.Inbound, worked: newNotifier()}
	if _, err := worked.wait(ctx); err != nil {
		return err
	}
	sids := make([]string, len(received))
	for i := range received {
		sids[i] = received[i].SID
	}
	known, err := l.Ledger.KnownReplies(ctx, sids)
	if err != nil {
		return err
	}
	for _, r := range slices.Backward(received) {
		if known[r.SID] || time.Since(r.DateCreated) < l.MissedAfter {
			continue // its webhook may be on the way, and says more; the overlap brings it again
		}
		err := l.Belt.PublishCallback(ctx, stream.KindInbound, r.SID, map[string]string{
			stream.HeaderSender:      l.Sender.Name,
			stream.HeaderContentType: "application/x-www-form-urlencoded",
			stream.HeaderReceived:    r.DateCreated.UTC().Format(time.RFC3339Nano),
			stream.HeaderFound:       time.Now().UTC().Format(time.RFC3339Nano),
		}, []byte(r.InboundForm().Encode()))
		if err != nil {
			return fmt.Errorf("put a missed reply into CALLBACKS: %w", err)
		}
		l.metrics.found.Inc()
		l.Log.WarnContext(ctx, "a reply was found whose webhook had not come", "sid", r.SID, "from", r.From, "sent_at", r.DateCreated)
	}
	return nil
}

// listReceived lists what people sent to our sender's addresses, newest first. A messaging service has numbers of its own that we
// do not know: then the whole account is listed.
func (l *lane) listReceived(ctx context.Context, since time.Time) ([]twilio.Resource, error) {
	s := l.Sender
	to := map[message.Channel]address.Address{message.SMS: s.SMSFrom, message.WhatsApp: s.WhatsAppFrom}
	if s.MessagingServiceSID != "" {
		to = map[message.Channel]address.Address{"": ""}
	}
	found := received{sender: &s, pool: map[address.Address]bool{}}
	for channel, to := range to {
		if to == "" && channel != "" {
			continue
		}
		query := twilio.ListQuery{To: string(to), Channel: channel, Since: since, PageSize: twilio.MaxPageSize}
		if err := l.Twilio.Walk(ctx, query, found.see); err != nil {
			return nil, err
		}
	}
	return found.ours(), nil
}

// received collects of a listing the messages that people sent to the sender: to its addresses, to its messaging service, or to a
// number that our own messages in the listing show to be of the service.
type received struct {
	sender  *Sender
	inbound []twilio.Resource
	pool    map[address.Address]bool
}

func (f *received) see(r *twilio.Resource) {
	service := f.sender.MessagingServiceSID
	switch {
	case r.Inbound():
		f.inbound = append(f.inbound, *r)
	case service != "" && r.MessagingServiceSID == service && r.From != "":
		f.pool[r.From] = true
	}
}

// ours are the messages to the sender, newest first.
func (f *received) ours() []twilio.Resource {
	s := f.sender
	ours := slices.DeleteFunc(f.inbound, func(r twilio.Resource) bool {
		switch {
		case r.Channel == message.WhatsApp && r.To == s.WhatsAppFrom && r.To != "",
			r.Channel == message.SMS && r.To == s.SMSFrom && r.To != "",
			r.Channel == message.SMS && s.MessagingServiceSID != "" && r.MessagingServiceSID == s.MessagingServiceSID,
			r.Channel == message.SMS && r.MessagingServiceSID == "" && f.pool[r.To]:
			return false
		}
		return true
	})
	slices.SortStableFunc(ours, func(x, y twilio.Resource) int { return y.DateCreated.Compare(x.DateCreated) })
	return ours
}
