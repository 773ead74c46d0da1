package stream

import (
	"context"
	"crypto/rand"
	"strconv"
	"sync/atomic"
	"testing"
)

const (
	smallBody = 1 << 10  // an envelope of one notification
	largeBody = 60 << 10 // an envelope of 100
)

func randomBody(b *testing.B, size int) []byte {
	b.Helper()
	body := make([]byte, size)
	_, _ = rand.Read(body)
	return body
}

// publishers runs n publishers side by side, each with messages of its own.
func publishers(b *testing.B, n, size int, publish func(id string, body []byte) error) {
	b.Helper()
	body := randomBody(b, size)
	var last atomic.Int64
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.SetParallelism(max(n/2, 1)) // times GOMAXPROCS, which is 2 where this was measured
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := publish(strconv.FormatInt(last.Add(1), 36), body); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// raw publishes with the client library alone, one request a message.
func raw(c *Client) func(id string, body []byte) error {
	return func(id string, body []byte) error {
		msg := rawMsg(id, body)
		_, err := c.js.PublishMsg(context.Background(), msg)
		return err
	}
}

func ours(c *Client) func(id string, body []byte) error {
	return func(id string, body []byte) error {
		return c.PublishNotification(context.Background(), envelope(id), body)
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, size := range []struct {
		name       string
		bytes      int
		publishers []int
	}{{"small", smallBody, []int{2, 32, 256}}, {"large", largeBody, []int{2, 8, 64}}} {
		for _, n := range size.publishers {
			name := size.name + "/" + strconv.Itoa(n) + "_publishers"
			b.Run(name+"/raw", func(b *testing.B) {
				publishers(b, n, size.bytes, raw(start(b)))
			})
			b.Run(name+"/beckon", func(b *testing.B) {
				publishers(b, n, size.bytes, ours(start(b)))
			})
		}
	}
}

func BenchmarkFetchAndAck(b *testing.B) {
	c := start(b)
	refs := make([]MessageRef, 500)
	for i := range refs {
		refs[i] = MessageRef{Org: testOrg, ID: "01234567-89ab-cdef-0123-456789abcdef"}
	}
	k := c.Consumer(Dispatcher)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		if _, err := c.PublishMessages(b.Context(), refs); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		for seen := 0; seen < len(refs); {
			got, err := k.Fetch(b.Context(), len(refs))
			if err != nil {
				b.Fatal(err)
			}
			for _, d := range got {
				if err := d.Ack(); err != nil {
					b.Fatal(err)
				}
			}
			seen += len(got)
		}
	}
	b.ReportMetric(float64(b.N*len(refs))/b.Elapsed().Seconds(), "messages/s")
}
