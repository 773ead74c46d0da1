package router

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/webhook"
	"github.com/beckonhq/beckon/router/rule"
)

const (
	webhookLease   = time.Minute // more than one try takes
	webhookFirst   = 10 * time.Second
	noteTimeout    = 5 * time.Second
	webhookTries   = 12 // over some six hours
	webhooksAtOnce = 32
	webhooksToHost = 4 // at once: one that is slow takes no more than these
)

// What a try to post a webhook ends with, as the metric has it.
const (
	webhookDelivered = "delivered"
	webhookAgain     = "tried_again"
	webhookFailed    = "failed"
)

// Webhooks posts the notices of reply rules; *webhook.Client is one.
type Webhooks interface {
	Post(ctx context.Context, url, id, body string) error
}

// notice is the body of a webhook: the shape that Standard Webhooks proposes.
func notice(act *rule.ReplyAct, answer string, p *store.PendingReply) string {
	kind, sid := "reply.matched", p.SID
	if p.TimedOut {
		kind, sid = "question.timed_out", ""
	}
	body, err := json.Marshal(map[string]any{
		"type": kind, "timestamp": p.Now.UTC().Format(time.RFC3339Nano),
		"data": map[string]any{
			"rule": act.Rule, "sid": sid, "conversation_id": p.Conversation.ID, "channel": p.Conversation.Channel,
			"from": string(p.From), "text": p.Text, "button": p.Button, "question": p.Question, "answer": answer, "asked": p.Asked,
			"received_at": p.Received.UTC().Format(time.RFC3339Nano), "message_id": p.Answered.ID, "answered_rule": p.Answered.Rule,
			"object": p.Answered.Object, "record_id": string(p.Answered.RecordID), "contact_id": p.Answered.ContactID,
		},
	})
	if err != nil { // it has nothing that could fail
		return "{}"
	}
	return string(body)
}

// webhooksLoop posts what is due, many at once but only some to each host, so that one that is slow or away holds up its own notices
// only. A notice is posted again until the server takes it or its tries are over, so it may come twice: its id tells.
func (r *Router) webhooksLoop(ctx context.Context) error {
	if r.Webhooks == nil {
		return nil
	}
	flights := newFlights()
	defer flights.Wait()
	return r.every(ctx, "webhooks", flights.ended, func(ctx context.Context) error {
		for {
			full, ok := flights.room(ctx)
			if !ok {
				return ctx.Err()
			}
			w, err := r.Ledger.TakeWebhook(ctx, webhookLease, full)
			if err != nil || w == nil {
				return err
			}
			flights.start(w.Host, func() {
				if err := r.post(ctx, w); err != nil && ctx.Err() == nil {
					r.Log.WarnContext(ctx, "what became of a webhook can't be noted, it will be posted again", "webhook", w.ID, "error", err)
				}
			})
		}
	})
}

func (r *Router) post(ctx context.Context, w *store.Webhook) error {
	err := r.Webhooks.Post(ctx, w.URL, w.ID, w.Body)
	why, wait, result := "", time.Duration(0), webhookDelivered
	forGood := errors.Is(err, webhook.ErrPrivate) || errors.Is(err, webhook.ErrGone) || w.Tries+1 >= webhookTries
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err() // the lease brings it again
	case err != nil && forGood:
		why, result = err.Error(), webhookFailed
		r.Log.ErrorContext(ctx, "a webhook is given up", "webhook", w.ID, "tries", w.Tries+1, "error", err)
	case err != nil:
		why, wait, result = err.Error(), webhookFirst<<w.Tries, webhookAgain
	}
	r.metrics.webhooks.WithLabelValues(result).Inc()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout) // what was taken is not posted again for our end
	defer cancel()
	return r.Ledger.EndWebhook(ctx, w, why, wait)
}

// flights counts what is being posted.
type flights struct {
	sync.WaitGroup

	ended chan struct{} // tells that one has ended since
	slots chan struct{}
	mu    sync.Mutex
	hosts map[string]int
}

func newFlights() *flights {
	return &flights{ended: make(chan struct{}, 1), slots: make(chan struct{}, webhooksAtOnce), hosts: map[string]int{}}
}

// room waits until one more may start, and returns the hosts to which none may. ok is false when ctx has ended. Only one goroutine
// may call it.
func (f *flights) room(ctx context.Context) (full []string, ok bool) {
	select {
	case f.slots <- struct{}{}:
		<-f.slots
	case <-ctx.Done():
		return nil, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	full = []string{}
	for host, n := range f.hosts {
		if n >= webhooksToHost {
			full = append(full, host)
		}
	}
	slices.Sort(full)
	return full, true
}

// start does the work beside the others.
func (f *flights) start(host string, work func()) {
	f.slots <- struct{}{}
	f.count(host, 1)
	f.Go(func() {
		defer func() {
			f.count(host, -1)
			<-f.slots
			select {
			case f.ended <- struct{}{}:
			default:
			}
		}()
		work()
	})
}

func (f *flights) count(host string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hosts[host] += n; f.hosts[host] == 0 {
		delete(f.hosts, host)
	}
}
