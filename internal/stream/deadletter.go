package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/beckonhq/beckon/internal/notification"
)

// DeadLetter is what could not be processed, with where it came from and why. Reason and History must hold no personal
// value; Data may.
type DeadLetter struct {
	ID      string // duplicate key, may be empty
	Stream  Name
	Seq     uint64 // in Stream
	Org     notification.OrgID
	Subject string
	Reason  string
	History []string          // what was tried, oldest first
	Only    notification.ID   // the notification of the envelope that is meant; empty: all of it
	First   time.Time         // when the original was stored for the first time; zero: not known
	Header  map[string]string // of the original message
	Data    []byte            // of the original message, decompressed
}

// StoredDeadLetter is a dead letter as it lies in DEADLETTERS.
type StoredDeadLetter struct {
	DeadLetter

	Number uint64 // its own sequence
	Stored time.Time
}

// DeadLetter stores one dead letter and returns when that is confirmed; only then may the original be finished. Errors
// as for PublishNotification.
func (c *Client) DeadLetter(ctx context.Context, d DeadLetter) error {
	org := string(d.Org)
	if org == "" {
		org = "unknown"
	}
	if !validToken(org) || !validToken(string(d.Stream)) {
		return fmt.Errorf("%w: its organisation or stream cannot be part of a subject", ErrBadMessage)
	}
	history, err := json.Marshal(d.History)
	if err != nil {
		return fmt.Errorf("write history of a dead letter: %w", err)
	}
	msg := nats.NewMsg(subjectDeadLetters + string(d.Stream) + "." + org)
	for name, value := range d.Header {
		msg.Header.Set(HeaderOrigin+name, value)
	}
	msg.Header.Set(HeaderOrg, string(d.Org))
	msg.Header.Set(HeaderStream, string(d.Stream))
	msg.Header.Set(HeaderSeq, strconv.FormatUint(d.Seq, 10))
	msg.Header.Set(HeaderSubject, d.Subject)
	msg.Header.Set(HeaderReason, strings.Map(oneLine, d.Reason))
	msg.Header.Set(HeaderHistory, string(history))
	if d.Only != "" {
		msg.Header.Set(HeaderID, string(d.Only))
	}
	if !d.First.IsZero() {
		msg.Header.Set(HeaderFirstStored, d.First.UTC().Format(time.RFC3339Nano))
	}
	if d.ID != "" {
		msg.Header.Set(jetstream.MsgIDHeader, d.ID)
	}
	if err := checkHeader(msg.Header); err != nil {
		return err
	}
	data, encoding, err := c.codec.encode(d.Data)
	if err != nil {
		return err
	}
	if encoding != "" {
		msg.Header.Set(HeaderEncoding, encoding)
	}
	msg.Data = data
	return c.storeLarge(ctx, msg)
}

func oneLine(r rune) rune {
	if r < ' ' {
		return ' '
	}
	return r
}

// DeadLettersFrom returns up to limit dead letters whose Number is at least from, oldest first.
func (c *Client) DeadLettersFrom(ctx context.Context, from uint64, limit int) ([]StoredDeadLetter, error) {
	stream, err := c.js.Stream(ctx, string(DeadLetters))
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", DeadLetters, err)
	}
	var letters []StoredDeadLetter
	for seq := max(from, 1); len(letters) < limit; {
		raw, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subjectDeadLetters+">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read dead letter %d: %w", seq, err)
		}
		letter, err := c.readDeadLetter(raw)
		if err != nil {
			return nil, err
		}
		letters = append(letters, letter)
		seq = raw.Sequence + 1
	}
	return letters, nil
}

// FindDeadLetters returns the dead letters that fit, oldest first, out of all.
func (c *Client) FindDeadLetters(ctx context.Context, fits func(*StoredDeadLetter) bool) ([]StoredDeadLetter, error) {
	const page = 100
	var found []StoredDeadLetter
	for next := uint64(0); ; {
		letters, err := c.DeadLettersFrom(ctx, next, page)
		if err != nil || len(letters) == 0 {
			return found, err
		}
		for i := range letters {
			next = letters[i].Number + 1
			if fits(&letters[i]) {
				found = append(found, letters[i])
			}
		}
	}
}

// DropDeadLetter removes one dead letter; one that is gone already is no error.
func (c *Client) DropDeadLetter(ctx context.Context, number uint64) error {
	stream, err := c.js.Stream(ctx, string(DeadLetters))
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", DeadLetters, err)
	}
	if _, err := stream.GetMsg(ctx, number); errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err := stream.DeleteMsg(ctx, number); err != nil {
		return fmt.Errorf("drop dead letter %d: %w", number, err)
	}
	return nil
}

func (c *Client) readDeadLetter(raw *jetstream.RawStreamMsg) (StoredDeadLetter, error) {
	bad := func(err error) (StoredDeadLetter, error) {
		return StoredDeadLetter{}, fmt.Errorf("%w: dead letter %d: %w", ErrBadMessage, raw.Sequence, err)
	}
	data, err := c.codec.decode(raw.Data, raw.Header.Get(HeaderEncoding))
	if err != nil {
		return bad(err)
	}
	seq, err := strconv.ParseUint(raw.Header.Get(HeaderSeq), 10, 64)
	if err != nil {
		return bad(err)
	}
	var history []string
	if err := json.Unmarshal([]byte(raw.Header.Get(HeaderHistory)), &history); err != nil {
		return bad(err)
	}
	origin := make(map[string]string)
	for name := range raw.Header {
		if own, found := strings.CutPrefix(name, HeaderOrigin); found {
			origin[own] = raw.Header.Get(name)
		}
	}
	return StoredDeadLetter{Number: raw.Sequence, Stored: raw.Time, DeadLetter: DeadLetter{
		ID: raw.Header.Get(jetstream.MsgIDHeader), Stream: Name(raw.Header.Get(HeaderStream)), Seq: seq,
		Org: notification.OrgID(raw.Header.Get(HeaderOrg)), Subject: raw.Header.Get(HeaderSubject),
		Reason: raw.Header.Get(HeaderReason), History: history, Header: origin, Data: data,
		Only: notification.ID(raw.Header.Get(HeaderID)), First: firstStored(raw.Header, raw.Time),
	}}, nil
}
