package stream

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
)

const (
	// largeAbove is the size in bytes from which a message is not grouped: a batch writes each message twice, and what
	// several large messages cost is writing, not syncing.
	largeAbove       = 32 << 10
	idsTogether      = 32 // few enough that dispatchers share a burst
	maxLargeInFlight = 32 // 8 MiB each at most, as the server buffers only so much of a stream
)

// Envelope names a stored Salesforce envelope: what its headers say.
type Envelope struct {
	Org      notification.OrgID
	Object   string // sObject API name
	Count    int    // notifications in it
	MsgID    string // duplicate key: equal for the same notifications of the same organisation
	Received time.Time
}

// MessageRef names one row of the message table.
type MessageRef struct {
	Org    notification.OrgID
	ID     string
	Sender string // empty for the default one
}

// PublishNotification stores one envelope in NOTIFICATIONS and returns when that is confirmed; one that is stored
// already under the same MsgID is confirmed too. The body may be used again after the call. Errors: ErrTooLarge, ErrFull,
// ErrUnavailable, ErrNotConfirmed, ErrBadMessage, ErrClosed.
func (c *Client) PublishNotification(ctx context.Context, e Envelope, body []byte) error {
	if !validToken(string(e.Org)) {
		return fmt.Errorf("%w: its organisation cannot be part of a subject", ErrBadMessage)
	}
	msg := nats.NewMsg(subjectNotifications + string(e.Org))
	msg.Header.Set(HeaderOrg, string(e.Org))
	msg.Header.Set(HeaderObject, e.Object)
	msg.Header.Set(HeaderCount, strconv.Itoa(e.Count))
	msg.Header.Set(HeaderReceived, e.Received.UTC().Format(time.RFC3339Nano))
	if e.MsgID != "" {
		msg.Header.Set(jetstream.MsgIDHeader, e.MsgID)
	}
	return c.store(ctx, Notifications, msg, body)
}

// PublishCallback stores one Twilio callback in CALLBACKS and returns when that is confirmed. The id is the duplicate
// key and may be empty; the header names are ours (HeaderQuery and so on), HeaderSender says which sender it is about, none the
// default one. Errors as for PublishNotification.
func (c *Client) PublishCallback(
	ctx context.Context, kind CallbackKind, id string, header map[string]string, body []byte,
) error {
	sender := cmp.Or(header[HeaderSender], message.DefaultSender)
	if !validToken(sender) {
		return fmt.Errorf("%w: its sender cannot be part of a subject", ErrBadMessage)
	}
	var subject string
	switch kind {
	case KindInbound, KindStatus:
		subject = subjectCallbacks + string(kind) + "." + sender
	case KindOptOut:
		subject = subjectCallbacks + string(KindInbound) + "." + sender + suffixOptOut
	default:
		return fmt.Errorf("%w: unknown kind of callback", ErrBadMessage)
	}
	msg := nats.NewMsg(subject)
	for name, value := range header {
		msg.Header.Set(name, value)
	}
	if id != "" {
		msg.Header.Set(jetstream.MsgIDHeader, id)
	}
	return c.store(ctx, Callbacks, msg, body)
}

// store is the way of one message with a body into a stream: through the committer, or at once when it is large.
func (c *Client) store(ctx context.Context, name Name, msg *nats.Msg, body []byte) error {
	if err := checkHeader(msg.Header); err != nil {
		return err
	}
	data, encoding, err := c.codec.encode(body)
	if err != nil {
		return err
	}
	if encoding != "" {
		msg.Header.Set(HeaderEncoding, encoding)
	}
	if int64(len(data)) > c.nc.MaxPayload() {
		return fmt.Errorf("%w: %d bytes, the server takes %d", ErrTooLarge, len(data), c.nc.MaxPayload())
	}
	if len(data) > largeAbove {
		msg.Data = data
		return c.storeLarge(ctx, msg)
	}
	// A caller that gives up may use its body again while the message still waits.
	msg.Data = bytes.Clone(data)
	_, err = c.groups[name].publish(ctx, []*nats.Msg{msg})
	return err
}

func (c *Client) storeLarge(ctx context.Context, msg *nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, c.opts.ConfirmTimeout)
	defer cancel()
	select {
	case c.large <- struct{}{}:
		defer func() { <-c.large }()
	case <-ctx.Done():
		return abandoned(ctx)
	}
	if _, err := c.port.single(ctx, msg); err != nil {
		return fmt.Errorf("publish to %s: %w", msg.Subject, err)
	}
	return nil
}

// PublishMessages puts the ids of message rows on MESSAGES, up to idsTogether of a sender and organisation in one message of
// the stream, and returns when all are confirmed: the stream sequence that each travels on, in the same order. On an error some may be
// stored: a sequence is 0 where it is not known. A repeated id is harmless. Errors as for PublishNotification.
func (c *Client) PublishMessages(ctx context.Context, refs []MessageRef) ([]uint64, error) {
	seqs := make([]uint64, len(refs))
	var msgs []*nats.Msg
	carrier := make([]int, len(refs)) // index into msgs of the one that carries the id
	type carriage struct{ at, ids int }
	open := map[string]*carriage{} // by subject
	for i, ref := range refs {
		sender := cmp.Or(ref.Sender, message.DefaultSender)
		if !validToken(string(ref.Org)) || !validToken(sender) {
			return seqs, fmt.Errorf("%w: its organisation or sender cannot be part of a subject", ErrBadMessage)
		}
		subject := subjectMessages + sender + "." + string(ref.Org)
		current := open[subject]
		if current == nil || current.ids == idsTogether {
			msg := nats.NewMsg(subject)
			msg.Header.Set(HeaderOrg, string(ref.Org))
			current = &carriage{at: len(msgs)}
			open[subject], msgs = current, append(msgs, msg)
		}
		current.ids++
		carrier[i] = current.at
		msgs[current.at].Data = append(append(msgs[current.at].Data, ref.ID...), '\n')
	}
	if len(msgs) == 0 {
		return nil, nil
	}
	stored, err := c.groups[Messages].publish(ctx, msgs)
	for i, at := range carrier {
		seqs[i] = stored[at]
	}
	return seqs, err
}

// checkHeader refuses what would break out of a header line.
func checkHeader(h nats.Header) error {
	for name, values := range h {
		for _, value := range values {
			if strings.ContainsAny(value, "\r\n\x00") {
				return fmt.Errorf("%w: its header %s contains a line break", ErrBadMessage, name)
			}
		}
	}
	return nil
}
