package lifemark

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)
	ours := store.Mark{Ledger: "a", Position: 5, Incarnation: "1/1", Known: "1/1", At: at}
	change := func(do func(*store.Mark)) store.Mark { m := ours; do(&m); return m }
	theirs := stream.LedgerMark{Ledger: "a", Position: 5, At: at, Until: at.Add(30 * time.Second)}
	other := func(do func(*stream.LedgerMark)) stream.LedgerMark { m := theirs; do(&m); return m }
	closed := other(func(m *stream.LedgerMark) { m.Until = m.At })
	ahead := other(func(m *stream.LedgerMark) { m.Position, m.Until = 6, at.Add(time.Hour) })
	moved := change(func(m *store.Mark) { m.Incarnation = "2/1" })
	cases := map[string]struct {
		ours   store.Mark
		theirs stream.LedgerMark
		found  bool
		want   Finding
		closes bool
	}{
		"equal":                          {ours, theirs, true, Finding{Kind: InOrder}, false},
		"the belt is empty":              {ours, stream.LedgerMark{}, false, Finding{Kind: InOrder}, false},
		"both are new":                   {store.Mark{Ledger: "a", At: at}, stream.LedgerMark{}, false, Finding{Kind: InOrder}, false},
		"a mark that was not stored":     {change(func(m *store.Mark) { m.Position = 9 }), theirs, true, Finding{Kind: InOrder}, false},
		"an older ledger":                {ours, ahead, true, Finding{Older, at, at.Add(time.Hour)}, false},
		"an older ledger, copied":        {moved, ahead, true, Finding{Older, at, at.Add(time.Hour)}, false},
		"another ledger":                 {change(func(m *store.Mark) { m.Ledger, m.Position = "b", 99 }), theirs, true, Finding{Other, at, theirs.Until}, false},
		"a new ledger":                   {store.Mark{Ledger: "b", At: at}, theirs, true, Finding{Other, neverSent(), theirs.Until}, false},
		"copied while it sent":           {moved, theirs, true, Finding{Copied, at, theirs.Until}, true},
		"copied long after its mark":     {moved, other(func(m *stream.LedgerMark) { m.Until = at.Add(time.Hour) }), true, Finding{Copied, at, at.Add(time.Hour)}, false},
		"copied when nothing was sent":   {moved, closed, true, Finding{Copied, at, at}, true},
		"copied, and the belt was lost":  {moved, stream.LedgerMark{}, false, Finding{Copied, at, at.Add(2 * time.Hour)}, false},
		"the ledger ends after all sent": {ours, other(func(m *stream.LedgerMark) { m.Position, m.Until = 6, at.Add(-time.Hour) }), true, Finding{Older, at, at}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Judge(c.ours, c.theirs, c.found, at.Add(2*time.Hour))
			require.Equal(t, c.want.Kind, got.Kind)
			require.Equal(t, c.want.Kind != InOrder, got.Holds())
			require.Equal(t, c.closes, got.closesItself())
			require.NotEmpty(t, got.Text())
			if got.Holds() {
				require.Equal(t, c.want, got)
			}
		})
	}
}
