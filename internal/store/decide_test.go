package store_test

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/store"
)

func (l *ledger) decide(judge func(store.Pending) store.Decided, envelopes ...store.Envelope) *store.DecideResult {
	l.t.Helper()
	result, err := l.Decide(l.t.Context(), envelopes, judge)
	require.NoError(l.t, err)
	return result
}

func TestDecideOnce(t *testing.T) {
	t.Parallel()
	l := open(t)
	hundred := make([]notification.Notification, 100)
	for i := range hundred {
		hundred[i] = note(i, i)
	}
	result := l.decide(ignore, envelope(1, hundred...))
	require.Equal(t, map[notification.Outcome]int{notification.NoMatch: 100}, result.Outcomes)
	require.Zero(t, result.Duplicates)

	must := func(store.Pending) store.Decided { t.Error("decided again"); return store.Decided{} }
	result = l.decide(must, envelope(1, hundred...))
	require.Zero(t, result.Duplicates, "a redelivery of the same envelope is no duplicate")
	result = l.decide(must, envelope(2, hundred[50:]...), envelope(3, hundred[:50]...))
	require.Equal(t, 100, result.Duplicates, "sent again in other groups")
	result = l.decide(must, envelope(2, hundred[50:]...))
	require.Zero(t, result.Duplicates, "redelivery of a duplicate")
	result = l.decide(ignore, envelope(4, hundred[7], note(100, 7), hundred[7]))
	require.Equal(t, 1, result.Outcomes[notification.NoMatch])
	require.Equal(t, 1, result.Duplicates, "one envelope counts once")
	require.Equal(t, 101, get[int](l, `select count(*) from duplicate`))
}

func TestDecideRepeatedInsideABatch(t *testing.T) {
	t.Parallel()
	l := open(t)
	for range 2 { // the second time is a redelivery
		var seen []string
		result := l.decide(func(p store.Pending) store.Decided {
			seen = append(seen, p.Notification.Fields[0].Value)
			return ignore(p)
		}, envelope(1, note(1, 1, "F", "first"), note(1, 1, "F", "again")), envelope(2, note(1, 1, "F", "later"), note(2, 1, "F", "other")))
		if result.Outcomes[notification.NoMatch] > 0 {
			require.Equal(t, []string{"first", "other"}, seen)
			require.Equal(t, 2, result.Duplicates)
			continue
		}
		require.Empty(t, seen)
		require.Zero(t, result.Duplicates)
	}
	require.Equal(t, 2, get[int](l, `select count(*) from duplicate`))
}

func TestDecideOtherOrganisation(t *testing.T) {
	t.Parallel()
	l := open(t)
	other := envelope(2, note(1, 1, "F", "theirs"))
	other.Org = "00D000000000002"
	l.decide(ignore, envelope(1, note(1, 1, "F", "ours")))
	result := l.decide(func(p store.Pending) store.Decided {
		require.False(t, p.Previous.Seen)
		return ignore(p)
	}, other)
	require.Equal(t, 1, result.Outcomes[notification.NoMatch])
}

func TestSnapshotsFold(t *testing.T) {
	t.Parallel()
	l := open(t)
	var previous []string
	look := func(p store.Pending) store.Decided {
		previous = append(previous, strconv.FormatBool(p.Previous.Seen)+" "+p.Previous.Fields["S"])
		return ignore(p)
	}
	l.decide(look, envelope(1, note(1, 1, "S", "a"), note(2, 1, "S", "b")), envelope(2, note(3, 1, "S", "c")))
	l.decide(look, envelope(3, note(4, 1, "S", "d")))
	require.Equal(t, []string{"false ", "true a", "true b", "true c"}, previous)

	l.decide(func(p store.Pending) store.Decided {
		require.Equal(t, "d", p.Previous.Fields["S"])
		return store.Decided{Outcome: notification.NoMatch, RuleSet: "v1", Detail: []byte(`{}`)}
	}, envelope(4, note(5, 1, "S", "old")))
	l.decide(func(p store.Pending) store.Decided {
		require.Equal(t, "d", p.Previous.Fields["S"], "an older state does not move the copy")
		d := ignore(p)
		d.Next = nil
		return d
	}, envelope(5, note(6, 1)))
	l.decide(func(p store.Pending) store.Decided {
		require.True(t, p.Previous.Seen, "seen, with every field null")
		require.Empty(t, p.Previous.Fields)
		return ignore(p)
	}, envelope(6, note(7, 1)))
}

func TestKnownFields(t *testing.T) {
	t.Parallel()
	l := open(t)
	var known []string
	look := func(p store.Pending) store.Decided {
		known = nil
		for name := range p.Known {
			known = append(known, name)
		}
		slices.Sort(known)
		return ignore(p)
	}
	l.decide(look, envelope(1, note(1, 1)))
	require.Empty(t, known)
	l.decide(look, envelope(2, note(2, 1, "B", "1")))
	require.Equal(t, []string{"B"}, known)
	l.decide(look, envelope(3, note(3, 1, "A", "1")))
	require.Equal(t, []string{"A", "B"}, known, "it grows; the absent B counts as null for the caller")
	other := envelope(4, note(4, 1, "C", "1"))
	other.Action = "04k000000000002AAA"
	l.decide(look, other)
	require.Equal(t, []string{"C"}, known, "another action carries other fields")
	l.decide(look, envelope(5, note(5, 1, "A", "2")))
	require.Equal(t, []string{"A", "B"}, known)
}

func TestNotificationsWithoutRecord(t *testing.T) {
	t.Parallel()
	l := open(t)
	a, b := note(1, 1, "F", "x"), note(2, 2, "F", "y")
	a.RecordID, b.RecordID = "", ""
	l.decide(func(p store.Pending) store.Decided {
		require.False(t, p.Previous.Seen, "nothing connects records without an id")
		return ignore(p)
	}, envelope(1, a, b))
	require.Zero(t, get[int](l, `select count(*) from record`))
}

func onceBy(scope string, to ...address.Address) func(store.Pending) store.Decided {
	return makes(func(p store.Pending) []store.NewMessage {
		var out []store.NewMessage
		for _, a := range to {
			m := draft(p, a)
			m.Once = store.OnceKey{Scope: scope, Value: string(p.Notification.RecordID)}
			if scope == "recipient" {
				m.Once.Value = string(a)
			}
			if a == "nonsense" {
				m.State, m.Reason = message.Failed, message.ReasonInvalidNumber
			}
			out = append(out, m)
		}
		return out
	})
}

func TestOncePerRecord(t *testing.T) {
	t.Parallel()
	l := open(t)
	result := l.decide(onceBy("record", "nonsense"), envelope(1, note(1, 1)))
	require.Equal(t, []message.State{message.Failed}, result.Made)
	require.Empty(t, result.Belt)
	result = l.decide(onceBy("record", person, "+14155550101"), envelope(2, note(2, 1), note(3, 1), note(4, 2)))
	require.Len(t, result.Made, 4, "a failed message takes no key, and both recipients of one notification are reached")
	require.Equal(t, 2, result.Skipped, "within the batch")
	result = l.decide(onceBy("record", person, "nonsense"), envelope(3, note(5, 1)))
	require.Equal(t, 1, result.Skipped, "in a later batch")
	require.Equal(t, []message.State{message.Failed}, result.Made)
	require.Equal(t, []string{"welcome"}, get[[]string](l, `select once_skipped from decision where notification_id = $1`, noteID(5)))
	require.Empty(t, get[[]string](l, `select once_skipped from decision where notification_id = $1`, noteID(2)))
}

func TestOncePerRecipient(t *testing.T) {
	t.Parallel()
	l := open(t)
	result := l.decide(onceBy("recipient", person, "+14155550101"), envelope(1, note(1, 1), note(2, 2)))
	require.Len(t, result.Made, 2)
	require.Equal(t, 2, result.Skipped)
	result = l.decide(onceBy("recipient", person, "+14155550102"), envelope(2, note(3, 3)))
	require.Len(t, result.Made, 1, "the new person only")
}

func TestDelayedMessage(t *testing.T) {
	t.Parallel()
	l := open(t)
	result := l.decide(makes(func(p store.Pending) []store.NewMessage {
		m := draft(p, person)
		m.NotBefore = m.CreatedAt.Add(time.Hour)
		return []store.NewMessage{m}
	}), envelope(1, note(1, 1)))
	require.Equal(t, []message.State{message.Queued}, result.Made)
	require.Empty(t, result.Belt)
	require.Empty(t, l.decide(ignore, envelope(1, note(1, 1))).Belt, "a redelivery does not hurry it")
	id := get[string](l, `select id::text from message`)
	require.Empty(t, l.claimWith(sendOn(message.SMS), id).Claimed)
	require.Empty(t, l.sweep(0, "e"))
	require.InDelta(t, 3600, get[float64](l, `select extract(epoch from due_at - now())::float8 from belt`), 60)
	l.exec(`update belt set due_at = now()`)
	l.exec(`update message set not_before = now()`)
	require.Equal(t, []string{id}, l.sweep(0, "e"))
}

func TestBeltAgainForDuplicates(t *testing.T) {
	t.Parallel()
	l := open(t)
	one := makes(func(p store.Pending) []store.NewMessage { return []store.NewMessage{draft(p, person)} })
	first := l.decide(one, envelope(1, note(1, 1)))
	require.Len(t, first.Belt, 1)
	again := l.decide(one, envelope(1, note(1, 1)))
	require.Equal(t, first.Belt, again.Belt, "a crash before the belt")
	require.NoError(t, l.Travelling(t.Context(), first.Belt, []uint64{7}, "e"))
	require.Empty(t, l.decide(one, envelope(1, note(1, 1))).Belt, "it travels")
}

func TestFailingDecideLeavesNothing(t *testing.T) {
	t.Parallel()
	l := open(t)
	_, err := l.Decide(t.Context(), []store.Envelope{envelope(1, note(1, 1, "A", "x"), note(2, 2))},
		makes(func(p store.Pending) []store.NewMessage {
			m := draft(p, person)
			m.Once = store.OnceKey{Scope: "record", Value: "1"}
			m.Purpose = "mischief"
			return []store.NewMessage{m}
		}))
	require.Error(t, err)
	require.False(t, store.Temporary(err))
	require.Panics(t, func() {
		_, _ = l.Decide(t.Context(), []store.Envelope{envelope(1, note(1, 1))}, func(store.Pending) store.Decided { panic("rule") })
	})
	for _, table := range []string{"notification", "duplicate", "decision", "record", "action", "once_key", "message", "belt"} {
		require.Zero(t, get[int](l, `select count(*) from `+table), table)
	}
	require.Equal(t, 1, l.decide(ignore, envelope(1, note(1, 1))).Outcomes[notification.NoMatch])
}

// TestDecideConcurrently lets many routers decide the same notifications of few records, shuffled and regrouped.
func TestDecideConcurrently(t *testing.T) {
	t.Parallel()
	l := open(t)
	const notes, records, routers, rounds = 60, 5, 8, 6
	count := func(p store.Pending) store.Decided {
		before, _ := strconv.Atoi(p.Previous.Fields["N"])
		d := ignore(p)
		d.Next = map[string]string{"N": strconv.Itoa(before + 1)}
		d.Detail = []byte(strconv.Itoa(before))
		m := draft(p, person)
		m.Once = store.OnceKey{Scope: "record", Value: string(p.Notification.RecordID)}
		d.Outcome, d.Messages = notification.Matched, []store.NewMessage{m}
		return d
	}
	var before []notification.Notification
	for i := range records {
		before = append(before, note(notes+i, i, "F", "x"))
	}
	l.decide(func(p store.Pending) store.Decided { // from here on only the locks of the records order the routers
		d := ignore(p)
		d.Next = nil
		return d
	}, envelope(l.seq.Add(1), before...))
	var wait sync.WaitGroup
	var mu sync.Mutex
	matched := 0
	for range routers {
		wait.Go(func() {
			for range rounds {
				for chunk := range slices.Chunk(rand.Perm(notes), 15) {
					e, other := envelope(l.seq.Add(1)), envelope(l.seq.Add(1))
					for i, n := range chunk {
						one := &e
						if i > 7 {
							one = &other
						}
						one.Notifications = append(one.Notifications, note(n, n%records, "F", "x"))
					}
					result, err := l.Decide(t.Context(), []store.Envelope{e, other}, count)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					matched += result.Outcomes[notification.Matched]
					mu.Unlock()
				}
			}
		})
	}
	wait.Wait()
	require.Equal(t, notes, matched)
	require.Equal(t, records, get[int](l, `select count(*) from message`))
	require.Equal(t, routers*rounds*notes-notes, get[int](l, `select count(*) from duplicate`))
	// Each record's notifications saw 0, 1, 2 ... before them: no update was lost, none was seen twice.
	require.Equal(t, notes, get[int](l, `select count(distinct (n.record_id, d.detail)) from decision d
		join notification n on n.org = d.org and n.id = d.notification_id where d.outcome = 'matched'`))
	require.Zero(t, get[int](l, `select deadlocks from pg_stat_database where datname = current_database()`))
}

// TestFirstSightsOfAnAction lets several routers see a new action at once, with and without fields.
func TestFirstSightsOfAnAction(t *testing.T) {
	t.Parallel()
	l := open(t)
	for round := range 20 {
		var wait sync.WaitGroup
		for i := range 4 {
			wait.Go(func() {
				e := envelope(l.seq.Add(1), note(round*4+i, round*4+i))
				e.Action = notification.ID("04k" + strconv.Itoa(round))
				if round%2 == 1 {
					e.Notifications[0].Fields = []notification.Field{{Name: "F" + strconv.Itoa(i), Null: true}}
				}
				if _, err := l.Decide(t.Context(), []store.Envelope{e}, ignore); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
	}
	require.Equal(t, 10*4, get[int](l, `select sum(cardinality(fields))::int from action`))
}

func TestDecideNothing(t *testing.T) {
	t.Parallel()
	l := open(t)
	require.Equal(t, &store.DecideResult{Outcomes: map[notification.Outcome]int{}}, l.decide(ignore))
	require.Empty(t, l.decide(ignore, envelope(1)).Outcomes)
	l.decide(func(store.Pending) store.Decided { return store.Decided{Outcome: notification.DeadLetter} }, envelope(1, note(1, 1)))
	require.Equal(t, "{}", get[string](l, `select detail::text from decision`), "an empty detail is an empty object")
}
