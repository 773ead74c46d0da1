package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// Options are the settings of a client. The zero value is good for one server.
type Options struct {
	// Replicas of each stream and consumer; 0 creates with one and leaves an existing stream as it is.
	Replicas int
	// MaxBytes limits a stream; none or 0 creates it without a limit and leaves an existing stream as it is.
	MaxBytes map[Name]int64
	// Senders are the senders besides the default one: each has a consumer of its own.
	Senders []string
	// AckWait is the time after which an unacknowledged message is delivered again. Default 20 s.
	AckWait time.Duration
	// MaxAckPending bounds the delivered and unacknowledged messages of each consumer. Default 20,000.
	MaxAckPending int
	// ConfirmTimeout bounds the wait for one confirmation when the caller's context does not end earlier. Default 10 s.
	ConfirmTimeout time.Duration
	// Log gets outages and warnings. Default: discarded.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.AckWait <= 0 {
		o.AckWait = defaultAckWait
	}
	if o.MaxAckPending <= 0 {
		o.MaxAckPending = defaultMaxAckPending
	}
	if o.ConfirmTimeout <= 0 {
		o.ConfirmTimeout = defaultConfirmTimeout
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Client publishes to and fetches from Beckon's streams over one NATS connection, which it does not own. Its methods may
// be called side by side.
type Client struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	opts   Options
	log    *slog.Logger
	codec  *codec
	groups map[Name]*committer
	port   port
	large  chan struct{} // slots for large messages under way
	places places
	owned  bool // the connection is ours to close
}

// Open checks the server's largest payload, creates or updates the streams and consumers, and starts the committers. A
// largest payload under 8 MiB is a warning: what does not fit is refused with ErrTooLarge. An existing stream that cannot
// be brought to our settings is ErrIncompatible.
func Open(ctx context.Context, nc *nats.Conn, opts Options) (*Client, error) {
	opts = opts.withDefaults()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	if limit := nc.MaxPayload(); limit < minimumAdvisedMaxBytes {
		opts.Log.WarnContext(ctx, "the NATS server's max_payload is small: larger envelopes are refused with 413",
			slog.Int64("max_payload", limit), slog.Int64("advised", minimumAdvisedMaxBytes))
	}
	c := &Client{nc: nc, js: js, opts: opts, log: opts.Log, codec: newCodec(), large: make(chan struct{}, maxLargeInFlight)}
	if err := c.ensure(ctx); err != nil {
		return nil, err
	}
	c.port = port{nc: nc, js: js, link: startLink(nc)}
	c.groups = make(map[Name]*committer)
	for _, name := range []Name{Notifications, Messages, Callbacks} {
		//nolint:contextcheck // a group serves many callers and has a deadline of its own
		c.groups[name] = startCommitter(c.port, opts.ConfirmTimeout)
	}
	return c, nil
}

func (c *Client) ensure(ctx context.Context) error {
	for _, name := range append(Names(), Marks) {
		if err := ensureStream(ctx, c.js, name, c.opts); err != nil {
			return err
		}
	}
	for _, name := range c.opts.consumers() {
		if err := ensureConsumer(ctx, c.js, name, c.opts); err != nil {
			return err
		}
	}
	return nil
}

// Close stops the committers and waits for them: what they have begun is finished, what still waits gets ErrClosed. The
// connection stays open.
func (c *Client) Close() {
	for _, g := range c.groups {
		g.close()
	}
	c.port.link.close()
	if c.owned {
		c.nc.Close()
	}
}

// MaxPayload is the largest message in bytes that the connected server takes.
func (c *Client) MaxPayload() int64 { return c.nc.MaxPayload() }

// Ready is nil when every stream answers and has a leader. It is cheap enough for a readiness probe; bound it by the context.
func (c *Client) Ready(ctx context.Context) error {
	if !c.nc.IsConnected() {
		return fmt.Errorf("%w: not connected to NATS", ErrUnavailable)
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, name := range Names() {
		group.Go(func() error {
			stream, err := c.js.Stream(ctx, string(name))
			if err != nil {
				return fmt.Errorf("%w: stream %s: %w", ErrUnavailable, name, err)
			}
			// A node that was left alone answers for a stream of the cluster, too, but stores nothing.
			if cluster := stream.CachedInfo().Cluster; cluster != nil && cluster.Leader == "" {
				return fmt.Errorf("%w: stream %s has no leader: most of the nodes that keep it are away", ErrUnavailable, name)
			}
			return nil
		})
	}
	return group.Wait()
}

// Epoch is the time at which stream MESSAGES was created. It changes when the stream is created anew, which makes
// sequences stored earlier meaningless.
func (c *Client) Epoch(ctx context.Context) (time.Time, error) {
	stream, err := c.js.Stream(ctx, string(Messages))
	if err != nil {
		return time.Time{}, fmt.Errorf("look up stream %s: %w", Messages, err)
	}
	return stream.CachedInfo().Created.UTC(), nil
}

// LastInbound is the sequence of the newest inbound callback in CALLBACKS as its leader knows it; 0 when there is none.
func (c *Client) LastInbound(ctx context.Context) (uint64, error) {
	// A stream handle with fresh info: only a stream without direct gets is asked through its leader.
	stream, err := c.js.Stream(ctx, string(Callbacks))
	if err != nil {
		return 0, fmt.Errorf("look up stream %s: %w", Callbacks, err)
	}
	msg, err := stream.GetLastMsgForSubject(ctx, subjectInboundAny)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the newest inbound callback: %w", err)
	}
	return msg.Sequence, nil
}

// Backlog is the work before one consumer, in messages.
type Backlog struct {
	Waiting    uint64 // stored, not yet delivered
	Unfinished int    // delivered, not yet acknowledged
	Redelivers int    // of the unfinished, delivered more than once
}

// Pending returns the backlog of every consumer, for metrics.
func (c *Client) Pending(ctx context.Context) (map[ConsumerName]Backlog, error) {
	backlogs := make(map[ConsumerName]Backlog)
	for _, name := range c.opts.consumers() {
		info, err := c.consumerInfo(ctx, name)
		if err != nil {
			return nil, err
		}
		backlogs[name] = Backlog{
			Waiting: info.NumPending, Unfinished: info.NumAckPending, Redelivers: info.NumRedelivered,
		}
	}
	return backlogs, nil
}

func (c *Client) consumerInfo(ctx context.Context, name ConsumerName) (*jetstream.ConsumerInfo, error) {
	stream, _ := consumerConfig(name, c.opts)
	consumer, err := c.js.Consumer(ctx, string(stream), string(name))
	if err != nil {
		return nil, fmt.Errorf("look up consumer %s: %w", name, err)
	}
	return consumer.CachedInfo(), nil
}
