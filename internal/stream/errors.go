package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrTooLarge says that a message exceeds what the NATS server or the stream takes (max_payload, max_msg_size),
	// also compressed. It was not stored and never will be.
	ErrTooLarge = errors.New("message is larger than the NATS server takes; raise max_payload (8 MiB is advised)")
	// ErrFull says that the stream or the server's storage is full (discard new). Nothing was stored.
	ErrFull = errors.New("stream is full; raise its limit, trim it, or let its consumer catch up")
	// ErrUnavailable says that JetStream cannot take messages now: no connection, no leader, no stream, or a refusal.
	// Nothing was stored.
	ErrUnavailable = errors.New("JetStream is not available")
	// ErrNotConfirmed says that no confirmation came in time: the message may or may not be stored. Publishing it again
	// under the same id is safe.
	ErrNotConfirmed = errors.New("JetStream did not confirm storage in time")
	// ErrClosed says that the client was closed.
	ErrClosed = errors.New("stream client is closed")
	// ErrIncompatible says that a stream or consumer of our name exists with a setting that cannot be changed in place.
	ErrIncompatible = errors.New("existing stream or consumer is incompatible")
	// ErrBadMessage says that a caller gave a value that cannot be a subject or header, or a stored message that
	// cannot be read back.
	ErrBadMessage = errors.New("bad message")
)

// Error codes of nats-server that the nats.go client has no names for (nats-server, server/errors.json).
const (
	codeAccountResourcesExceeded jetstream.ErrorCode = 10002
	codeNoPeers                  jetstream.ErrorCode = 10005
	codeInsufficientResources    jetstream.ErrorCode = 10023
	codeStreamStoreFailed        jetstream.ErrorCode = 10077
)

// classify turns an error of one publish into one of ours; the cause stays wrapped.
func classify(err error) error {
	var api *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	case errors.As(err, &api):
		if isFull(api) {
			return fmt.Errorf("%w: %w", ErrFull, err)
		}
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrClosed), errors.Is(err, ErrBadMessage):
		return err
	default:
		// Time-outs, a connection that broke while the answer was under way, an answer that cannot be read: all unclear.
		return fmt.Errorf("%w: %w", ErrNotConfirmed, err)
	}
}

func isFull(api *jetstream.APIError) bool {
	switch api.ErrorCode { //nolint:exhaustive // only the codes that mean "full"; all others mean "not available"
	case codeAccountResourcesExceeded, codeInsufficientResources:
		return true
	case codeStreamStoreFailed:
		return strings.HasPrefix(api.Description, "maximum ")
	}
	return false
}

// abandoned is the outcome of a caller whose context ended before its message was confirmed.
func abandoned(ctx context.Context) error {
	return fmt.Errorf("%w: %w", ErrNotConfirmed, context.Cause(ctx))
}
