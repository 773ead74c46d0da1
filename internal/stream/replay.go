package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/beckonhq/beckon/internal/notification"
)

// ErrGone says that a message is not in its stream any more.
var ErrGone = errors.New("the message is not in its stream any more")

// ErrNoStreams is the error of Present when Beckon has never worked on the server.
var ErrNoStreams = errors.New("the NATS server has no streams of Beckon: start beckon serve first")

// Present is nil when every stream of Beckon is there, ErrNoStreams when one is not.
func (c *Client) Present(ctx context.Context) error {
	for _, name := range Names() {
		_, err := c.js.Stream(ctx, string(name))
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return ErrNoStreams
		}
		if err != nil {
			return fmt.Errorf("look up stream %s: %w", name, err)
		}
	}
	return nil
}

// firstStored is when a message was stored before it became a dead letter, else now.
func firstStored(header nats.Header, now time.Time) time.Time {
	if first, err := time.Parse(time.RFC3339Nano, header.Get(HeaderFirstStored)); err == nil {
		return first
	}
	return now
}

// Replay is the operator's order on the envelope, nil when it came by itself. Its error is ErrBadMessage.
func (d *Delivery) Replay() (*notification.Replay, error) {
	mode := notification.ReplayMode(d.Get(HeaderReplay))
	switch mode {
	case "":
		return nil, nil //nolint:nilnil // most are none
	case notification.ReplayMissing, notification.ReplayRedecide, notification.ReplayForce:
	default:
		return nil, fmt.Errorf("%w: sequence %d: header %s: no such mode", ErrBadMessage, d.Seq, HeaderReplay)
	}
	replay := &notification.Replay{ID: d.Get(HeaderReplayID), Mode: mode}
	if replay.ID == "" {
		return nil, fmt.Errorf("%w: sequence %d: header %s is missing", ErrBadMessage, d.Seq, HeaderReplayID)
	}
	for id := range strings.SplitSeq(d.Get(HeaderReplayOnly), ",") {
		if id != "" {
			replay.Only = append(replay.Only, notification.ID(id))
		}
	}
	return replay, nil
}

// Kept is an envelope that NOTIFICATIONS still has.
type Kept struct {
	Envelope

	Seq    uint64
	Stored time.Time
	header nats.Header
	data   []byte
	codec  *codec
}

// Body is the envelope's text, decompressed. Its error is ErrBadMessage.
func (k *Kept) Body() ([]byte, error) { return k.codec.decode(k.data, k.header.Get(HeaderEncoding)) }

// KeptEnvelopes calls each for the envelopes that were stored at or after since and, unless until is zero, before it, up to the
// newest at the time of the call, in their order. What was itself put back by a replay is left out: its original is there, or
// its replay has been worked on. An error of each ends the reading and is returned.
func (c *Client) KeptEnvelopes(ctx context.Context, since, until time.Time, each func(*Kept) error) error {
	stream, err := c.js.Stream(ctx, string(Notifications))
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", Notifications, err)
	}
	state := stream.CachedInfo().State
	if state.Msgs == 0 || state.LastTime.Before(since) {
		return nil
	}
	from, err := firstSince(ctx, stream, state.FirstSeq, state.LastSeq, since)
	if err != nil {
		return fmt.Errorf("search stream %s: %w", Notifications, err)
	}
	for seq := from; seq <= state.LastSeq; {
		raw, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subjectNotifications+"*"))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return nil
		case err != nil:
			return fmt.Errorf("read envelope %d: %w", seq, err)
		case raw.Sequence > state.LastSeq, !until.IsZero() && !raw.Time.Before(until):
			return nil
		}
		seq = max(seq, raw.Sequence) + 1
		if raw.Header.Get(HeaderReplay) != "" {
			continue
		}
		if err := each(c.kept(raw)); err != nil {
			return err
		}
	}
	return nil
}

// kept reads the headers of an envelope; those that are no envelope of ours have an empty one.
func (c *Client) kept(raw *jetstream.RawStreamMsg) *Kept {
	k := &Kept{Seq: raw.Sequence, Stored: raw.Time, header: raw.Header, data: raw.Data, codec: c.codec}
	k.Org, k.Object = notification.OrgID(raw.Header.Get(HeaderOrg)), raw.Header.Get(HeaderObject)
	k.Count, _ = strconv.Atoi(raw.Header.Get(HeaderCount))
	k.Received, _ = time.Parse(time.RFC3339Nano, raw.Header.Get(HeaderReceived))
	return k
}

// PutBack puts an envelope on the belt again, with an operator's order, and returns its new sequence when that is confirmed. A
// repetition within ten minutes is the same one. Errors as for PublishNotification.
func (c *Client) PutBack(ctx context.Context, k *Kept, replay notification.Replay) (uint64, error) {
	msg := nats.NewMsg(subjectNotifications + string(k.Org))
	copyHeader(msg.Header, k.header)
	msg.Header.Set(HeaderFirstStored, firstStored(k.header, k.Stored).UTC().Format(time.RFC3339Nano))
	msg.Data = k.data
	return c.putBack(ctx, msg, replay, replay.ID+"/"+strconv.FormatUint(k.Seq, 10))
}

// PutLetterBack puts what became a dead letter on its stream again, as it was, and returns its new sequence when that is
// confirmed. A letter that was stored without what it carried is read from its stream: ErrGone when it is not there any more.
func (c *Client) PutLetterBack(ctx context.Context, letter StoredDeadLetter, replayID string) (uint64, error) {
	msg := nats.NewMsg(letter.Subject)
	for name, value := range letter.Header {
		if !strings.HasPrefix(name, serverHeaders) {
			msg.Header.Set(name, value)
		}
	}
	fill := c.fillFromLetter
	if len(letter.Data) == 0 && len(letter.Header) == 0 {
		fill = c.fillFromStream
	}
	if err := fill(ctx, msg, letter); err != nil {
		return 0, err
	}
	msg.Header.Set(HeaderFirstStored, letter.First.UTC().Format(time.RFC3339Nano))
	replay := notification.Replay{ID: replayID, Mode: notification.ReplayMissing}
	if letter.Only != "" {
		replay.Only = []notification.ID{letter.Only}
	}
	return c.putBack(ctx, msg, replay, fmt.Sprintf("letter/%d/%d", letter.Number, letter.Stored.UnixNano()))
}

func (c *Client) fillFromLetter(_ context.Context, msg *nats.Msg, letter StoredDeadLetter) error {
	data, encoding, err := c.codec.encode(letter.Data)
	if err != nil {
		return err
	}
	msg.Header.Del(HeaderEncoding)
	if encoding != "" {
		msg.Header.Set(HeaderEncoding, encoding)
	}
	msg.Data = data
	return nil
}

func (c *Client) fillFromStream(ctx context.Context, msg *nats.Msg, letter StoredDeadLetter) error {
	stream, err := c.js.Stream(ctx, string(letter.Stream))
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", letter.Stream, err)
	}
	raw, err := stream.GetMsg(ctx, letter.Seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("%w: sequence %d of %s", ErrGone, letter.Seq, letter.Stream)
	}
	if err != nil {
		return fmt.Errorf("read sequence %d of %s: %w", letter.Seq, letter.Stream, err)
	}
	copyHeader(msg.Header, raw.Header)
	msg.Data = raw.Data
	return nil
}

// serverHeaders begin the names of headers that are between a client and the server: the duplicate key of the first time, and
// what a direct get adds, which would make a message look like another one when it is stored again.
const serverHeaders = "Nats-"

func copyHeader(to, from nats.Header) {
	for name, values := range from {
		if !strings.HasPrefix(name, serverHeaders) {
			to[name] = values
		}
	}
}

func (c *Client) putBack(ctx context.Context, msg *nats.Msg, replay notification.Replay, msgID string) (uint64, error) {
	only := make([]string, len(replay.Only))
	for i, id := range replay.Only {
		only[i] = string(id)
	}
	msg.Header.Set(HeaderReplay, string(replay.Mode))
	msg.Header.Set(HeaderReplayID, replay.ID)
	msg.Header.Del(HeaderReplayOnly)
	if len(only) > 0 {
		msg.Header.Set(HeaderReplayOnly, strings.Join(only, ","))
	}
	msg.Header.Set(jetstream.MsgIDHeader, msgID)
	if err := checkHeader(msg.Header); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.ConfirmTimeout)
	defer cancel()
	seq, err := c.port.single(ctx, msg)
	if err != nil {
		return 0, fmt.Errorf("publish to %s: %w", msg.Subject, err)
	}
	return seq, nil
}

// Finished is the sequence up to which a consumer has finished everything that it is to get.
func (c *Client) Finished(ctx context.Context, name ConsumerName) (uint64, error) {
	info, err := c.consumerInfo(ctx, name)
	if err != nil {
		return 0, err
	}
	if info.NumPending == 0 && info.NumAckPending == 0 {
		return max(info.AckFloor.Stream, info.Delivered.Stream), nil
	}
	return info.AckFloor.Stream, nil
}
