package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Auditor reads what the streams hold, beside the clients that work on them: it changes nothing and takes no message away
// from a consumer.
type Auditor struct {
	nc *nats.Conn
	js jetstream.JetStream
}

// Holding is what a stream holds.
type Holding struct {
	Name        Name
	Messages    uint64
	First, Last uint64
}

// ConsumerState is how far a consumer has come.
type ConsumerState struct {
	Name       ConsumerName
	Stream     Name
	Floor      uint64 // all up to this sequence is finished
	Waiting    uint64 // stored, not yet delivered
	Unfinished int    // delivered, not yet acknowledged
}

// OpenAuditor connects to the servers of a URL, with commas between them.
func OpenAuditor(url string) (*Auditor, error) {
	nc, err := nats.Connect(url, nats.Name("beckon auditor"), nats.MaxReconnects(-1), nats.ReconnectWait(250*time.Millisecond),
		nats.RetryOnFailedConnect(true), nats.IgnoreDiscoveredServers())
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	return &Auditor{nc: nc, js: js}, nil
}

// Close closes the connection.
func (a *Auditor) Close() { a.nc.Close() }

// State returns what every stream holds and how far every consumer has come.
func (a *Auditor) State(ctx context.Context) ([]Holding, []ConsumerState, error) {
	var streams []Holding
	for _, name := range Names() {
		found, err := a.js.Stream(ctx, string(name))
		if err != nil {
			return nil, nil, fmt.Errorf("look up stream %s: %w", name, err)
		}
		state := found.CachedInfo().State
		streams = append(streams, Holding{Name: name, Messages: state.Msgs, First: state.FirstSeq, Last: state.LastSeq})
	}
	var consumers []ConsumerState
	for _, name := range (Options{}).consumers() {
		of, _ := consumerConfig(name, Options{})
		found, err := a.js.Consumer(ctx, string(of), string(name))
		if err != nil {
			return nil, nil, fmt.Errorf("look up consumer %s: %w", name, err)
		}
		info := found.CachedInfo()
		consumers = append(consumers, ConsumerState{
			Name: name, Stream: of, Floor: info.AckFloor.Stream, Waiting: info.NumPending, Unfinished: info.NumAckPending,
		})
	}
	return streams, consumers, nil
}

// Envelopes calls each with the body of every envelope that NOTIFICATIONS holds, oldest first. An error of each ends it and is
// returned.
func (a *Auditor) Envelopes(ctx context.Context, each func(body []byte) error) error {
	found, err := a.js.Stream(ctx, string(Notifications))
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", Notifications, err)
	}
	last := found.CachedInfo().State.LastSeq
	if found.CachedInfo().State.Msgs == 0 {
		return nil
	}
	consumer, err := a.js.OrderedConsumer(ctx, string(Notifications), jetstream.OrderedConsumerConfig{})
	if err != nil {
		return fmt.Errorf("read stream %s: %w", Notifications, err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("read stream %s: %w", Notifications, err)
	}
	defer messages.Stop()
	stop := context.AfterFunc(ctx, messages.Stop) // wakes Next
	defer stop()
	unpack := newCodec()
	for {
		msg, err := messages.Next()
		if err != nil {
			return fmt.Errorf("read stream %s: %w", Notifications, err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return fmt.Errorf("read stream %s: %w", Notifications, err)
		}
		body, err := unpack.decode(msg.Data(), msg.Headers().Get(HeaderEncoding))
		if err == nil {
			err = each(body)
		}
		if err != nil {
			return fmt.Errorf("stream %s, sequence %d: %w", Notifications, meta.Sequence.Stream, err)
		}
		if meta.Sequence.Stream >= last {
			return nil
		}
	}
}
