package ingest

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforce"
	"github.com/beckonhq/beckon/internal/stream"
)

// template is an envelope of n notifications of about 600 bytes; fresh makes one with ids of its own out of it.
type template struct {
	body []byte
	mark []byte
}

func newTemplate(b *testing.B, n int) template {
	b.Helper()
	env := &notification.Envelope{Org: testOrg, Action: "04k000000000001AAA", Object: "Opportunity"}
	for i := range n {
		fields := []notification.Field{{Name: "Id", Value: "006000000000001AAA"}}
		for f := range 9 {
			fields = append(fields, notification.Field{Name: fmt.Sprintf("Custom_%d__c", f), Value: "some text of a field"})
		}
		env.Notifications = append(env.Notifications, notification.Notification{
			ID: notification.ID(fmt.Sprintf("04lMARKMARK%04dAAA", i)), RecordID: "006000000000001AAA", Fields: fields,
		})
	}
	var out bytes.Buffer
	if err := salesforce.Encode(&out, salesforce.EnvelopeSpec{Envelope: env}); err != nil {
		b.Fatal(err)
	}
	return template{body: out.Bytes(), mark: []byte("MARKMARK")}
}

func (t template) fresh(n int64) []byte {
	return bytes.ReplaceAll(t.body, t.mark, []byte(fmt.Sprintf("%08s", strconv.FormatInt(n, 36))))
}

// workers runs n goroutines until b.N jobs are done.
func workers(b *testing.B, n int, job func(i int64) error) {
	b.Helper()
	var next atomic.Int64
	var wait sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range n {
		wait.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := job(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "envelopes/s")
}

func (h *house) bench(body []byte) error {
	res, err := h.client.Post(h.url+PathSalesforce, "text/xml; charset=UTF-8", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || !bytes.Contains(text, []byte(ackElement)) {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}

// single publishes one message a request, without a group: what the door would reach without the committer.
type single struct{ js jetstream.JetStream }

func (s single) PublishNotification(ctx context.Context, e stream.Envelope, body []byte) error {
	_, err := s.js.PublishMsg(ctx, &nats.Msg{
		Subject: "notifications." + string(e.Org), Header: nats.Header{jetstream.MsgIDHeader: {e.MsgID}}, Data: body,
	})
	return err
}

func (s single) PublishCallback(
	context.Context, stream.CallbackKind, string, map[string]string, []byte,
) error {
	return nil
}

func BenchmarkAcknowledge(b *testing.B) {
	for _, load := range []struct{ notifications, connections int }{{100, 8}, {100, 64}, {1, 32}, {1, 256}} {
		shape := newTemplate(b, load.notifications)
		name := fmt.Sprintf("%d_notifications/%d_connections", load.notifications, load.connections)
		setUp := func(b *testing.B) (*stream.Client, single) {
			b.Helper()
			srv := newServer(b)
			c := openStream(b, srv)
			js, err := jetstream.New(srv.Connect(b))
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(shape.body)))
			return c, single{js}
		}
		b.Run(name+"/raw_jetstream", func(b *testing.B) {
			_, js := setUp(b)
			workers(b, load.connections, func(i int64) error {
				return js.PublishNotification(context.Background(), stream.Envelope{
					Org: testOrg, MsgID: hex.EncodeToString([]byte(strconv.FormatInt(i, 36))),
				}, shape.fresh(i))
			})
		})
		b.Run(name+"/http_one_at_a_time", func(b *testing.B) {
			_, js := setUp(b)
			h := newHouse(b, js, func(c *Config) { c.Log = nil })
			workers(b, load.connections, func(i int64) error { return h.bench(shape.fresh(i)) })
		})
		b.Run(name+"/http", func(b *testing.B) {
			c, _ := setUp(b)
			h := newHouse(b, c, func(c *Config) { c.Log = nil })
			workers(b, load.connections, func(i int64) error { return h.bench(shape.fresh(i)) })
		})
	}
}
