package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	pullExpiry    = 4 * time.Second // how long one pull request waits at the server
	pullHeartbeat = time.Second     // two missed ones mean that the request is lost
	gatherTimeout = time.Second     // how long a begun group may take to arrive
	firstPause    = 5 * time.Millisecond
	longestPause  = 2 * time.Second
)

// Consumer fetches from one durable consumer. Several goroutines may fetch side by side: each message goes to one.
type Consumer struct {
	client *Client
	name   ConsumerName
	stream Name
	next   string // subject of pull requests
}

// Consumer returns the named consumer.
func (c *Client) Consumer(name ConsumerName) *Consumer {
	stream, _ := consumerConfig(name, c.opts)
	return &Consumer{
		client: c, name: name, stream: stream,
		next: "$JS.API.CONSUMER.MSG.NEXT." + string(stream) + "." + string(name),
	}
}

// AckFloor is the stream sequence up to which everything is acknowledged.
func (k *Consumer) AckFloor(ctx context.Context) (uint64, error) {
	info, err := k.client.consumerInfo(ctx, k.name)
	if err != nil {
		return 0, err
	}
	return info.AckFloor.Stream, nil
}

// errAgain says that one pull brought nothing and the next may.
var errAgain = errors.New("nothing yet")

// errGone says that the consumer does not answer or no longer exists.
var errGone = errors.New("consumer does not answer")

// Fetch waits for at least one message and returns what is there, up to limit. It ends without messages only when ctx
// ends, with ctx's error: a deleted consumer is created again, a lost server is waited for. Messages that arrive while
// ctx ends are given back to the server.
func (k *Consumer) Fetch(ctx context.Context, limit int) ([]*Delivery, error) {
	pause := firstPause
	failing := false
	for ctx.Err() == nil {
		began := time.Now()
		got, err := k.pull(ctx, max(limit, 1))
		if len(got) > 0 {
			if failing {
				k.client.log.InfoContext(ctx, "consumer answers again", slog.String("consumer", string(k.name)))
			}
			return got, nil
		}
		if errors.Is(err, errAgain) && time.Since(began) > pullHeartbeat {
			pause = firstPause
			continue // it waited at the server: no pause needed
		}
		if err != nil && !errors.Is(err, errAgain) && ctx.Err() == nil {
			if !failing {
				failing = true
				k.client.log.WarnContext(ctx, "consumer does not answer, trying again",
					slog.String("consumer", string(k.name)), slog.Any("error", err))
			}
			k.restore(ctx)
		}
		sleep(ctx, pause)
		pause = min(2*pause, longestPause)
	}
	return nil, fmt.Errorf("fetch from %s: %w", k.name, context.Cause(ctx))
}

// restore creates the stream and the consumer again if they are gone. Its failure shows in the next pull.
func (k *Consumer) restore(ctx context.Context) {
	if !k.client.nc.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pullExpiry)
	defer cancel()
	if err := ensureStream(ctx, k.client.js, k.stream, k.client.opts); err == nil {
		_ = k.client.restoreConsumer(ctx, k.name)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// pull makes one request. The server answers a no-wait request that has an expiry at once when it has messages, and
// else as soon as it has one (nats-server, server/consumer.go, processNextMsgReqInner).
func (k *Consumer) pull(ctx context.Context, limit int) ([]*Delivery, error) {
	nc := k.client.nc
	if !nc.IsConnected() {
		return nil, fmt.Errorf("%w: not connected to NATS", errGone)
	}
	inbox := nc.NewInbox()
	arrivals := make(chan *nats.Msg, 2*limit+8)
	sub, err := nc.ChanSubscribe(inbox, arrivals)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errGone, err)
	}
	defer k.giveBack(sub, arrivals)
	request, err := json.Marshal(map[string]any{
		"batch": limit, "expires": pullExpiry, "no_wait": true, "idle_heartbeat": pullHeartbeat,
	})
	if err != nil {
		return nil, fmt.Errorf("write pull request: %w", err)
	}
	if err := nc.PublishRequest(k.next, inbox, request); err != nil {
		return nil, fmt.Errorf("%w: %w", errGone, err)
	}
	return k.gather(ctx, arrivals, limit)
}

func (k *Consumer) gather(ctx context.Context, arrivals <-chan *nats.Msg, limit int) ([]*Delivery, error) {
	var got []*Delivery
	silence := time.NewTimer(2*pullHeartbeat + gatherTimeout)
	defer silence.Stop()
	for len(got) < limit {
		select {
		case msg := <-arrivals:
			end, err := k.status(msg)
			if end {
				return got, err
			}
			if d := k.delivery(msg); d != nil {
				got = append(got, d)
				silence.Reset(gatherTimeout)
			} else {
				silence.Reset(2*pullHeartbeat + gatherTimeout)
			}
		case <-silence.C:
			if len(got) > 0 {
				return got, nil
			}
			return nil, fmt.Errorf("%w: no heartbeat", errGone)
		case <-ctx.Done():
			for _, d := range got {
				_ = d.Nak(0) // else it comes again after AckWait
			}
			return nil, context.Cause(ctx)
		}
	}
	return got, nil
}

// status reads a control message: end says that the server will send nothing more for this request.
func (k *Consumer) status(msg *nats.Msg) (end bool, err error) {
	if len(msg.Data) > 0 || len(msg.Header) == 0 {
		return false, nil
	}
	switch code := msg.Header.Get("Status"); code {
	case "", "100":
		return false, nil
	case "404", "408":
		return true, errAgain
	default:
		return true, fmt.Errorf("%w: status %s %s", errGone, code, msg.Header.Get("Description"))
	}
}

// delivery is nil for a heartbeat.
func (k *Consumer) delivery(msg *nats.Msg) *Delivery {
	meta, err := msg.Metadata()
	if err != nil {
		return nil
	}
	return &Delivery{
		Subject: msg.Subject, Data: msg.Data, Seq: meta.Sequence.Stream, Deliveries: meta.NumDelivered,
		Stored: firstStored(msg.Header, meta.Timestamp), header: msg.Header, reply: msg.Reply, nc: k.client.nc, codec: k.client.codec,
	}
}

// giveBack ends the subscription and returns what arrived too late, so that it need not wait for AckWait.
func (k *Consumer) giveBack(sub *nats.Subscription, arrivals <-chan *nats.Msg) {
	_ = sub.Unsubscribe()
	for {
		select {
		case msg := <-arrivals:
			if d := k.delivery(msg); d != nil {
				_ = d.Nak(0)
			}
		default:
			return
		}
	}
}
