package stream

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Erased is what Erase did with one stream.
type Erased struct {
	Looked  int // messages that were looked at
	Removed int
	Waiting int  // messages that fit and that a consumer has not finished: they are left, since their work would be lost
	Bounded bool // there are more messages than were to be looked at
}

// Erase removes from a stream, and overwrites on disk, the messages whose text fits: of at most limit messages, the newest, and of
// these only what every consumer has finished. An envelope goes as a whole, with the notifications about others in it.
func (c *Client) Erase(ctx context.Context, name Name, limit int, fits func(text string) bool) (Erased, error) {
	var done Erased
	stream, err := c.js.Stream(ctx, string(name))
	if err != nil {
		return done, fmt.Errorf("look up stream %s: %w", name, err)
	}
	state := stream.CachedInfo().State
	floor, err := c.finished(ctx, name, stream, state.LastSeq)
	if err != nil {
		return done, fmt.Errorf("read the consumers of stream %s: %w", name, err)
	}
	bounded, err := scan(ctx, stream, state, limit, func(raw *jetstream.RawStreamMsg) error {
		done.Looked++
		switch {
		case !fits(c.readableText(raw)):
		case raw.Sequence > floor:
			done.Waiting++
		default:
			if err := stream.SecureDeleteMsg(ctx, raw.Sequence); err != nil {
				return fmt.Errorf("remove message %d of stream %s: %w", raw.Sequence, name, err)
			}
			done.Removed++
		}
		return nil
	})
	done.Bounded = bounded
	return done, err
}

// Found is a message that Find found.
type Found struct {
	Stream  Name
	Seq     uint64
	Subject string
	Stored  time.Time
	Data    []byte // decompressed
}

// Find gives the messages of a stream whose text fits, out of at most limit messages, the newest; bounded tells that there are more.
func (c *Client) Find(
	ctx context.Context, name Name, limit int, fits func(text string) bool, got func(Found) error,
) (bounded bool, err error) {
	stream, err := c.js.Stream(ctx, string(name))
	if err != nil {
		return false, fmt.Errorf("look up stream %s: %w", name, err)
	}
	return scan(ctx, stream, stream.CachedInfo().State, limit, func(raw *jetstream.RawStreamMsg) error {
		if !fits(c.readableText(raw)) {
			return nil
		}
		body, err := c.codec.decode(raw.Data, raw.Header.Get(HeaderEncoding))
		if err != nil {
			body = raw.Data
		}
		return got(Found{Stream: name, Seq: raw.Sequence, Subject: raw.Subject, Stored: raw.Time, Data: body})
	})
}

// scan looks at the newest messages of a stream, at most limit of those that there were, oldest first.
func scan(
	ctx context.Context, stream jetstream.Stream, state jetstream.StreamState, limit int, look func(*jetstream.RawStreamMsg) error,
) (bounded bool, err error) {
	from := state.FirstSeq
	if state.LastSeq >= from+uint64(limit) {
		from, bounded = state.LastSeq-uint64(limit)+1, true
	}
	for seq := max(from, 1); seq <= state.LastSeq; seq++ {
		raw, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return bounded, fmt.Errorf("read message %d of stream %s: %w", seq, stream.CachedInfo().Config.Name, err)
		}
		if seq = raw.Sequence; seq > state.LastSeq {
			break
		}
		if err := look(raw); err != nil {
			return bounded, err
		}
	}
	return bounded, nil
}

// readableText is a message's body as people would read it, and as it is: a form has its signs encoded.
func (c *Client) readableText(raw *jetstream.RawStreamMsg) string {
	body, err := c.codec.decode(raw.Data, raw.Header.Get(HeaderEncoding))
	if err != nil {
		body = raw.Data
	}
	text := string(body)
	if decoded, err := url.QueryUnescape(text); err == nil && decoded != text {
		return text + "\n" + decoded
	}
	return text
}
