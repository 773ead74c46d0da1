package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
)

// port is the wire: it publishes and waits for the confirmation. Its errors are classified.
type port struct {
	nc   *nats.Conn
	js   jetstream.JetStream
	link *link
}

// refusedError says that the server stored nothing of a batch, and that its messages may be tried singly.
type refusedError struct{ cause error }

func (e *refusedError) Error() string { return "batch refused: " + e.cause.Error() }
func (e *refusedError) Unwrap() error { return e.cause }

func refused(err error) bool {
	var r *refusedError
	return errors.As(err, &r)
}

// single publishes one message and returns its stream sequence. A duplicate is a success, with the sequence of the
// first one.
func (p port) single(ctx context.Context, msg *nats.Msg) (uint64, error) {
	ctx, release := p.link.bound(ctx)
	defer release()
	if err := p.connected(); err != nil {
		return 0, err
	}
	ack, err := p.js.PublishMsg(ctx, msg)
	if err != nil {
		return 0, classify(err)
	}
	return ack.Sequence, nil
}

// connected keeps messages out of the client's reconnect buffer, where they would wait without a deadline.
func (p port) connected() error {
	if p.nc.IsConnected() {
		return nil
	}
	return fmt.Errorf("%w: not connected to NATS", ErrUnavailable)
}

// batch publishes the messages as one atomic batch and returns the stream sequence of the last; they are stored
// without a gap. On *refusedError nothing is stored. The headers of the messages are as before when it returns.
func (p port) batch(ctx context.Context, msgs []*nats.Msg) (uint64, error) {
	ctx, release := p.link.bound(ctx)
	defer release()
	if err := p.connected(); err != nil {
		return 0, err
	}
	id, last := nuid.Next(), len(msgs)-1
	defer unmark(msgs)
	for i, msg := range msgs {
		msg.Header.Set(headerBatchID, id)
		msg.Header.Set(headerBatchSequence, strconv.Itoa(i+1))
		if i == last {
			break
		}
		if err := p.nc.PublishMsg(msg); err != nil {
			return 0, &refusedError{cause: classify(err)} // without its commit the server forgets the batch
		}
	}
	msgs[last].Header.Set(headerBatchCommit, "1")
	reply, err := p.nc.RequestMsgWithContext(ctx, msgs[last])
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrMaxPayload) {
		return 0, &refusedError{cause: classify(err)} // singly, since that tries again a little later
	}
	if err != nil {
		return 0, classify(err)
	}
	return batchAck(reply.Data)
}

func unmark(msgs []*nats.Msg) {
	for _, msg := range msgs {
		msg.Header.Del(headerBatchID)
		msg.Header.Del(headerBatchSequence)
		msg.Header.Del(headerBatchCommit)
	}
}

// batchAck reads the server's answer to the commit of a batch.
func batchAck(data []byte) (uint64, error) {
	var ack struct {
		Error  *jetstream.APIError `json:"error"`
		Stream string              `json:"stream"`
		Seq    uint64              `json:"seq"`
	}
	if err := json.Unmarshal(data, &ack); err != nil {
		return 0, fmt.Errorf("%w: answer to a batch cannot be read: %w", ErrNotConfirmed, err)
	}
	if ack.Error != nil {
		return 0, &refusedError{cause: classify(ack.Error)}
	}
	if ack.Stream == "" || ack.Seq == 0 {
		return 0, fmt.Errorf("%w: answer to a batch names no sequence", ErrNotConfirmed)
	}
	return ack.Seq, nil
}
