package lifemark

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

// lookAtStreams compares the streams with how they were seen last, and makes anew what is gone.
func (k *Keeper) lookAtStreams(ctx context.Context) error {
	marks, err := k.Ledger.StreamMarks(ctx) // before the streams: what was noted is then not newer than what is there
	if err != nil {
		return err
	}
	lives, err := k.Belt.Lives(ctx)
	if err != nil {
		return err
	}
	if len(lives) < len(stream.Names()) {
		k.Log.ErrorContext(ctx, "a stream is gone and is made anew", "found", len(lives), "of", len(stream.Names()))
	}
	if err := k.Belt.Restore(ctx); err != nil { // streams and consumers that are gone
		return err
	}
	if len(lives) < len(stream.Names()) {
		if lives, err = k.Belt.Lives(ctx); err != nil {
			return err
		}
	}
	lost := false
	for name, life := range lives {
		was, known := marks[string(name)]
		now := store.StreamMark{Created: life.Created, LastSeq: life.LastSeq, LastAt: life.LastAt}
		kind, err := k.lossOf(ctx, name, life, was)
		if err != nil {
			return err
		}
		if !known || kind == "" {
			if err := k.Ledger.NoteStream(ctx, string(name), now); err != nil {
				return err
			}
			continue
		}
		first, err := k.Ledger.NoteLoss(ctx, string(name), kind, was, now)
		if err != nil {
			return err
		}
		if first {
			k.Log.ErrorContext(ctx, LossText(store.StreamLoss{Stream: string(name), Kind: kind, Seen: was.Seen, Noticed: now.Seen}), "stream", name)
		}
		lost = true
	}
	if !lost {
		return nil
	}
	losses, err := k.Ledger.OpenLosses(ctx)
	if err != nil {
		return err
	}
	k.update(func(s *state) { s.losses = losses })
	return nil
}

// lossOf tells whether a stream is not what it was: its life, its length, and, since one that was put back may have grown again, the
// message that was its last one.
func (k *Keeper) lossOf(ctx context.Context, name stream.Name, now stream.Life, was store.StreamMark) (store.LossKind, error) {
	switch {
	case apart(now.Created, was.Created):
		return store.LossMadeAnew, nil
	case now.LastSeq < was.LastSeq:
		return store.LossOlder, nil
	case was.Created.IsZero(), was.LastSeq == 0, was.LastAt.IsZero():
		return "", nil
	}
	at, there, err := k.Belt.StoredAt(ctx, name, now, was.LastSeq)
	if err == nil && there && apart(at, was.LastAt) {
		return store.LossOlder, nil
	}
	return "", err
}

// apart tells whether two times differ by more than their keeping: Postgres keeps microseconds.
func apart(a, b time.Time) bool { return a.Sub(b).Abs() >= time.Millisecond }

// lookAtReplays notes the replays that are done.
func (k *Keeper) lookAtReplays(ctx context.Context, gaps []store.Gap) error {
	open := 0
	for _, gap := range gaps {
		done, err := k.replayed(ctx, gap)
		if err != nil {
			return err
		}
		if !done {
			open++
			continue
		}
		if err := k.Ledger.Replayed(ctx, gap.ID); err != nil {
			return err
		}
		k.Log.InfoContext(ctx, "the streams are worked on again after a recovery, sending goes on", "gap", gap.ID)
	}
	if open != len(gaps) {
		k.update(func(s *state) { s.replays = open })
	}
	return nil
}

func (k *Keeper) replayed(ctx context.Context, gap store.Gap) (bool, error) {
	for name, last := range gap.Replay {
		done, err := k.Belt.Done(ctx, stream.ConsumerName(name), last)
		if err != nil || !done {
			return false, err
		}
	}
	return true, nil
}

type metrics struct {
	held, losses, replays prometheus.Gauge
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &metrics{
		held:    gauge("beckon_ledger_held", "1 while nothing is decided or sent because the ledger is older than what was sent."),
		losses:  gauge("beckon_stream_losses", "Streams found made anew or put back, that no operator has settled."),
		replays: gauge("beckon_replays_open", "Recoveries whose streams are still worked on again; nothing is sent meanwhile."),
	}
	for _, collector := range []prometheus.Collector{m.held, m.losses, m.replays} {
		if err := registry.Register(collector); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) show(s *state) {
	held := 0.0
	if s.finding.Holds() {
		held = 1
	}
	m.held.Set(held)
	m.losses.Set(float64(len(s.losses)))
	m.replays.Set(float64(s.replays))
}
