package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Trim removes from each named stream what is older than its retention, counted from when it was stored, and finished
// by every consumer of the stream. A stream that is nearly full (three quarters of its MaxBytes) also loses the older half of
// what is finished, however young: history is worth less than an open door. It returns how many messages each stream lost.
// A stream whose own consumer is missing is left alone: the consumer will be created again and start from the beginning.
func (c *Client) Trim(ctx context.Context, retention map[Name]time.Duration) (map[Name]uint64, error) {
	removed := make(map[Name]uint64)
	var failed []error
	for name, keep := range retention {
		n, err := c.trim(ctx, name, time.Now().Add(-keep))
		if err != nil {
			failed = append(failed, fmt.Errorf("trim stream %s: %w", name, err))
		}
		removed[name] = n
	}
	return removed, errors.Join(failed...)
}

func (c *Client) trim(ctx context.Context, name Name, before time.Time) (uint64, error) {
	// The state comes first: what is stored after it is above the floor.
	stream, err := c.js.Stream(ctx, string(name))
	if err != nil {
		return 0, err
	}
	state := stream.CachedInfo().State
	limit := stream.CachedInfo().Config.MaxBytes
	pressed := limit > 0 && state.Bytes > uint64(limit)/4*3
	if state.Msgs == 0 || !pressed && !state.FirstTime.Before(before) {
		return 0, nil
	}
	floor, err := c.finished(ctx, name, stream, state.LastSeq)
	if err != nil || floor < state.FirstSeq {
		return 0, err
	}
	keepFrom, err := firstSince(ctx, stream, state.FirstSeq, floor, before)
	if pressed {
		keepFrom = max(keepFrom, min(floor+1, state.FirstSeq+(state.LastSeq-state.FirstSeq)/2))
	}
	if err != nil || keepFrom <= state.FirstSeq {
		return 0, err
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSequence(keepFrom)); err != nil {
		return 0, err
	}
	after, err := stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	return state.Msgs - min(state.Msgs, after.State.Msgs), nil
}

// finished is the sequence, at most last, up to which every consumer is done.
func (c *Client) finished(ctx context.Context, name Name, stream jetstream.Stream, last uint64) (uint64, error) {
	missing := make(map[ConsumerName]bool)
	for _, consumer := range c.opts.consumers() {
		if of, _ := consumerConfig(consumer, c.opts); of == name {
			missing[consumer] = true
		}
	}
	floor := last
	lister := stream.ListConsumers(ctx)
	for info := range lister.Info() {
		delete(missing, ConsumerName(info.Name))
		if info.Config.FilterSubject != "" && info.NumPending == 0 && info.NumAckPending == 0 {
			// It has seen everything up to last that it filters for. Only then: in a cluster the number comes from the
			// consumer's leader, whose copy of the stream may lag.
			continue
		}
		floor = min(floor, info.AckFloor.Stream)
	}
	if err := lister.Err(); err != nil {
		return 0, err
	}
	if len(missing) > 0 {
		return 0, nil
	}
	return floor, nil
}

// firstSince is the first sequence, at most floor+1, whose message was stored at or after the time; all before it are
// older. Removed messages leave gaps, so the message at or after a sequence is looked at.
func firstSince(
	ctx context.Context, stream jetstream.Stream, first, floor uint64, since time.Time,
) (uint64, error) {
	low, high := first, floor+1
	for low < high {
		mid := low + (high-low)/2
		msg, err := stream.GetMsg(ctx, mid, jetstream.WithGetMsgSubject(">"))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			high = mid
		case err != nil:
			return 0, err
		case msg.Time.Before(since):
			low = msg.Sequence + 1
		default:
			high = mid
		}
	}
	return min(low, floor+1), nil
}
