package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Marks is the stream that remembers how far the ledger is, apart from the streams of the flow: the last message counts.
const Marks Name = "MARKS"

const (
	subjectLedgerMark = "marks.ledger"
	marksKept         = 1000 // history for a person who looks; the newest counts
	marksMaxBytes     = 1 << 20
)

// LedgerMark is what the belt remembers of the ledger: which one it is, how far it was, and until when something may be sent
// on the strength of that. It is stored before anything is sent.
type LedgerMark struct {
	Ledger   string    `json:"ledger"`
	Position int64     `json:"position"`
	At       time.Time `json:"at"`
	Until    time.Time `json:"until"` // nothing is sent after it without a newer mark
	Writer   string    `json:"writer"`

	seq uint64
}

// Open tells whether something may have been sent after the mark.
func (m LedgerMark) Open() bool { return m.Until.After(m.At) }

// ErrOvertaken says that another process stored a mark meanwhile: read again.
var ErrOvertaken = errors.New("another process stored a newer mark")

// LedgerMark reads the newest mark from the leader of its stream; found is false when there is none. A stream that is gone is
// made anew.
func (c *Client) LedgerMark(ctx context.Context) (mark LedgerMark, found bool, err error) {
	stream, err := c.js.Stream(ctx, string(Marks))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return LedgerMark{}, false, ensureStream(ctx, c.js, Marks, c.opts)
	}
	if err != nil {
		return LedgerMark{}, false, fmt.Errorf("look up stream %s: %w", Marks, err)
	}
	msg, err := stream.GetLastMsgForSubject(ctx, subjectLedgerMark)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return LedgerMark{}, false, nil
	}
	if err != nil {
		return LedgerMark{}, false, fmt.Errorf("read the newest mark: %w", err)
	}
	if err := json.Unmarshal(msg.Data, &mark); err != nil {
		return LedgerMark{}, false, fmt.Errorf("%w: the newest mark can't be read: %w", ErrBadMessage, err)
	}
	mark.seq = msg.Sequence
	return mark, true, nil
}

// StoreLedgerMark stores a mark that follows the one that was read before (the zero value when there was none) and returns
// when that is confirmed. It is ErrOvertaken when there is a newer one.
func (c *Client) StoreLedgerMark(ctx context.Context, after, mark LedgerMark) error {
	data, err := json.Marshal(mark)
	if err != nil {
		return fmt.Errorf("encode a mark: %w", err)
	}
	if err := c.port.connected(); err != nil {
		return err
	}
	msg := nats.NewMsg(subjectLedgerMark)
	msg.Data = data
	_, err = c.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequencePerSubject(after.seq))
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return ErrOvertaken
	}
	if err != nil {
		return fmt.Errorf("store a mark: %w", classify(err))
	}
	return nil
}

// Life is what tells whether a stream is the one that it was.
type Life struct {
	Created time.Time
	LastSeq uint64
	LastAt  time.Time // when the message of LastSeq was stored; zero without one
	First   time.Time // when its oldest message was stored
}

// Lives returns the life of each stream of the flow. One that is not there is left out.
func (c *Client) Lives(ctx context.Context) (map[Name]Life, error) {
	lives := map[Name]Life{}
	for _, name := range Names() {
		stream, err := c.js.Stream(ctx, string(name))
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look up stream %s: %w", name, err)
		}
		info := stream.CachedInfo()
		lives[name] = Life{Created: info.Created.UTC(), LastSeq: info.State.LastSeq, LastAt: info.State.LastTime.UTC(), First: info.State.FirstTime.UTC()}
	}
	return lives, nil
}

// StoredAt is when a message of the stream of that life was stored; false when it, or that life, is not there any more.
func (c *Client) StoredAt(ctx context.Context, name Name, of Life, seq uint64) (time.Time, bool, error) {
	stream, err := c.js.Stream(ctx, string(name))
	if err != nil {
		return time.Time{}, false, fmt.Errorf("look up stream %s: %w", name, err)
	}
	if !stream.CachedInfo().Created.Equal(of.Created) {
		return time.Time{}, false, nil
	}
	msg, err := stream.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, fmt.Errorf("read sequence %d of stream %s: %w", seq, name, err)
	}
	return msg.Time.UTC(), true, nil
}

// SetBack makes a consumer deliver again what was stored since a time. It never sets it forward: what was not finished stays.
// It returns the last sequence of its stream: a consumer that is done up to it has seen all that was there.
func (c *Client) SetBack(ctx context.Context, name ConsumerName, since time.Time) (last uint64, err error) {
	of, _ := consumerConfig(name, c.opts)
	stream, err := c.js.Stream(ctx, string(of))
	if err != nil {
		return 0, fmt.Errorf("look up stream %s: %w", of, err)
	}
	info, err := c.consumerInfo(ctx, name)
	if err != nil {
		return 0, err
	}
	state := stream.CachedInfo().State
	if state.Msgs == 0 {
		return state.LastSeq, nil
	}
	from, err := firstSince(ctx, stream, state.FirstSeq, state.LastSeq, since)
	if err != nil {
		return 0, fmt.Errorf("find the place of %s in stream %s: %w", since.Format(time.RFC3339), of, err)
	}
	if from > info.AckFloor.Stream {
		return state.LastSeq, nil
	}
	if _, err := c.js.ResetConsumerToSequence(ctx, string(of), string(name), from); err != nil {
		return 0, fmt.Errorf("set back consumer %s of stream %s: %w", name, of, err)
	}
	return state.LastSeq, nil
}

// Done tells whether a consumer is done with all of its stream up to a sequence.
func (c *Client) Done(ctx context.Context, name ConsumerName, last uint64) (bool, error) {
	info, err := c.consumerInfo(ctx, name)
	if err != nil {
		return false, err
	}
	return info.AckFloor.Stream >= last || info.NumPending == 0 && info.NumAckPending == 0, nil
}

// Restore makes streams and consumers anew that are gone. A consumer goes on where it was last seen to be, if its stream is
// the same: from the start it would bring only what is done.
func (c *Client) Restore(ctx context.Context) error {
	for _, name := range append(Names(), Marks) {
		if _, err := c.js.Stream(ctx, string(name)); err == nil {
			continue
		}
		if err := ensureStream(ctx, c.js, name, c.opts); err != nil {
			return err
		}
	}
	for _, name := range c.opts.consumers() {
		if err := c.restoreConsumer(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// restoreConsumer makes a consumer anew when it is gone, and notes where it is when not.
func (c *Client) restoreConsumer(ctx context.Context, name ConsumerName) error {
	of, _ := consumerConfig(name, c.opts)
	stream, err := c.js.Stream(ctx, string(of))
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", of, err)
	}
	info, err := c.consumerInfo(ctx, name)
	if err == nil {
		c.places.note(name, place{stream.CachedInfo().Created, info.AckFloor.Stream})
		return nil
	}
	if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return err
	}
	if err := ensureConsumer(ctx, c.js, name, c.opts); err != nil {
		return err
	}
	place, known := c.places.of(name)
	if !known || !place.created.Equal(stream.CachedInfo().Created) || place.floor > stream.CachedInfo().State.LastSeq {
		c.log.ErrorContext(ctx, "a consumer was gone and is made anew, it begins at the start of its stream: all comes again, nothing is done twice",
			"consumer", name)
		return nil
	}
	c.log.ErrorContext(ctx, "a consumer was gone and is made anew where it was", "consumer", name, "after", place.floor)
	if _, err := c.js.ResetConsumerToSequence(ctx, string(of), string(name), place.floor+1); err != nil {
		return fmt.Errorf("set consumer %s of stream %s to its place: %w", name, of, err)
	}
	return nil
}

// places are where the consumers were last seen to be.
type places struct {
	mu   sync.Mutex
	last map[ConsumerName]place
}

type place struct {
	created time.Time // of the stream
	floor   uint64
}

func (p *places) note(name ConsumerName, at place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = map[ConsumerName]place{}
	}
	p.last[name] = at
}

func (p *places) of(name ConsumerName) (place, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, known := p.last[name]
	return at, known
}
