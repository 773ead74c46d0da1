package e2e_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/salesforcesim"
)

// load is Salesforce sending won deals, one person after the other, with its retries.
type load struct {
	org    *salesforcesim.Org
	last   atomic.Int64 // the newest person
	cancel context.CancelFunc
	saving context.CancelFunc
	saved  chan struct{} // closed when no more people come
	work   sync.WaitGroup
}

// salesforce saves the won deals of the people first to last, a few at a time, and lets Salesforce deliver them, with its
// retries. The function that it returns waits until all are acknowledged.
func (h *house) salesforce(t *testing.T, first, last int) func() {
	t.Helper()
	l := h.startLoad(t, first, last)
	return func() {
		<-l.saved
		l.finish(t)
	}
}

// startLoad goes on until finish, or until the last person.
func (h *house) startLoad(t *testing.T, first, last int) *load {
	t.Helper()
	sf, err := salesforcesim.New(salesforcesim.Config{
		OrgID: org, Endpoint: "http://" + h.public + door, Definitions: []salesforcesim.Definition{{Object: object}}, BatchSize: 5,
		Gap: func(int) time.Duration { return 200 * time.Millisecond }, RepeatAfterAck: 0.1, Regroup: true,
	})
	require.NoError(t, err)
	l := &load{org: sf, saved: make(chan struct{})}
	l.last.Store(int64(first - 1))
	ctx, cancel := context.WithCancel(t.Context())
	saving, stop := context.WithCancel(ctx)
	l.cancel, l.saving = cancel, stop
	l.work.Go(func() { _ = sf.Run(ctx) })
	l.work.Go(func() {
		defer close(l.saved)
		pace := time.NewTicker(20 * time.Millisecond)
		defer pace.Stop()
		for i := first; i <= last && saving.Err() == nil; i++ {
			_, err := sf.Save(object, salesforcesim.Record{
				"StageName": "Closed Won", "Contact_Mobile__c": person(i), "Contact_First_Name__c": "Ada", "ContactId": string(id("003", i)),
			})
			if err != nil {
				t.Error(err)
			}
			l.last.Store(int64(i))
			select {
			case <-pace.C:
			case <-saving.Done():
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		l.work.Wait()
	})
	return l
}

// acked is how many notifications were acknowledged.
func (l *load) acked() int { return l.org.Stats().Acked }

// awaitMore waits until so many more are acknowledged.
func (l *load) awaitMore(t *testing.T, n int) {
	t.Helper()
	before := l.acked()
	require.Eventually(t, func() bool { return l.acked() >= before+n }, patience, tick, "the door must accept by itself")
}

// finish lets no more people come, waits until the deals of all are acknowledged, and returns the last one.
func (l *load) finish(t *testing.T) (last int) {
	t.Helper()
	l.saving()
	<-l.saved
	last = int(l.last.Load())
	require.Eventually(t, func() bool {
		stats := l.org.Stats()
		return stats.Acked >= stats.Queued
	}, patience, tick, "all deals must be acknowledged")
	l.cancel()
	l.work.Wait()
	return last
}
