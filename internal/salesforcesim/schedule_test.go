package salesforcesim_test

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/salesforcesim"
)

func TestRetriesDoubleAndTheNotificationKeepsItsID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &listener{answer: failing(4)}
		o := virtual(t, l, salesforcesim.Config{})
		start := time.Now()
		saved := save(t, o, "Opportunity", salesforcesim.Record{"StageName": "Closed Won"})
		drain(t, o)

		h, ok := o.History(saved.Notifications[0])
		require.True(t, ok)
		require.Equal(t, salesforcesim.Delivered, h.State)
		var at []time.Duration
		for _, a := range h.Attempts {
			at = append(at, a.At.Sub(start))
		}
		s := time.Second
		require.Equal(t, []time.Duration{0, 2 * s, 6 * s, 14 * s, 30 * s}, at)
		require.Equal(t, "HTTP 503", h.Attempts[0].Reason)
		for _, e := range l.all() {
			require.Equal(t, string(saved.Notifications[0]), e.Notifications[0].ID)
		}
		stats := o.Stats()
		require.Equal(t, 4, stats.Refused)
		require.Equal(t, 1, stats.Acked)
		require.Equal(t, 5, stats.Attempts)
	})
}

func TestGapsEndAtTwoHoursAndADayIsTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &listener{answer: failing(1 << 30)}
		o := virtual(t, l, salesforcesim.Config{})
		start := time.Now()
		saved := save(t, o, "Opportunity", salesforcesim.Record{"Name": "A"})
		drain(t, o)

		h, _ := o.History(saved.Notifications[0])
		require.Equal(t, salesforcesim.Dropped, h.State)
		require.Equal(t, 24*time.Hour, time.Since(start))
		last := len(h.Attempts) - 1
		require.Equal(t, 2*time.Hour, h.Attempts[last].At.Sub(h.Attempts[last-1].At))
		require.Equal(t, 1, o.Stats().Dropped)
		require.Zero(t, o.Stats().Acked)
		require.Zero(t, o.Stats().Outstanding)
	})
}

func TestSpeedShortensTheDay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := virtual(t, &listener{answer: failing(1 << 30)}, salesforcesim.Config{Speed: 3600})
		start := time.Now()
		save(t, o, "Opportunity", nil)
		drain(t, o)
		require.Equal(t, 24*time.Second, time.Since(start))
	})
}

func TestTimeoutAfterSixtySeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &listener{}
		l.answer = func(n int, w http.ResponseWriter) {
			if n == 1 {
				<-time.After(61 * time.Second)
			}
			alwaysAck(n, w)
		}
		o := virtual(t, l, salesforcesim.Config{})
		start := time.Now()
		saved := save(t, o, "Opportunity", nil)
		drain(t, o)
		h, _ := o.History(saved.Notifications[0])
		require.Equal(t, salesforcesim.TimedOut, h.Attempts[0].Outcome)
		require.Equal(t, 60*time.Second, h.Attempts[0].Took)
		require.Equal(t, 62*time.Second, h.Attempts[1].At.Sub(start))
		require.Equal(t, 1, o.Stats().Timeouts)
	})
}

func TestRepeatAfterAcknowledgement(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &listener{answer: alwaysAck}
		o := virtual(t, l, salesforcesim.Config{RepeatAfterAck: 1})
		saved := save(t, o, "Opportunity", nil)
		drain(t, o)
		got := l.all()
		require.Len(t, got, 2)
		require.Equal(t, string(saved.Notifications[0]), got[0].Notifications[0].ID)
		require.Equal(t, got[0].Notifications[0].ID, got[1].Notifications[0].ID)
		stats := o.Stats()
		require.Equal(t, 1, stats.Acked)
		require.Equal(t, 2, stats.AckedTries)
		require.Equal(t, 1, stats.Repeated)
	})
}

func TestARetryCarriesTheLatestData(t *testing.T) {
	t.Parallel()
	for name, withID := range map[string]bool{"deleted: nothing": false, "deleted: id only": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := &listener{}
				o := virtual(t, l, salesforcesim.Config{DeletedWithID: withID})
				first := save(t, o, "Opportunity", salesforcesim.Record{"Name": "old", "StageName": "Open"})
				l.answer = func(n int, w http.ResponseWriter) {
					switch n {
					case 1:
						_, err := o.Save("Opportunity", salesforcesim.Record{"Id": first.Record, "Name": "new"})
						if err != nil {
							t.Error(err)
						}
					case 2: // the second change's own notification
					case 3:
						if err := o.Delete("Opportunity", string(first.Record)); err != nil {
							t.Error(err)
						}
					default:
						alwaysAck(n, w)
						return
					}
					write(w, http.StatusServiceUnavailable, "")
				}
				drain(t, o)
				got := l.all()
				id := [2]string{"Id", string(first.Record)}
				require.Equal(t, [][2]string{id, {"Name", "old"}, {"StageName", "Open"}}, got[0].fields(0))
				require.NotEqual(t, got[0].Notifications[0].ID, got[1].Notifications[0].ID, "two changes, two notifications")
				require.Equal(t, [][2]string{id, {"Name", "new"}, {"StageName", "Open"}}, got[2].fields(0))
				last := got[len(got)-1]
				if withID {
					require.Equal(t, [][2]string{id}, last.fields(0))
				} else {
					require.Empty(t, last.fields(0))
				}
				require.Equal(t, 2, o.Stats().Acked)
			})
		})
	}
}

func TestRetriesStayTogetherOrAreRegrouped(t *testing.T) {
	t.Parallel()
	groups := func(t *testing.T, regroup bool) (ids [][]string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			l := &listener{answer: failing(2)}
			o := virtual(t, l, salesforcesim.Config{BatchSize: 10, Concurrency: 1, Regroup: regroup})
			for range 20 {
				save(t, o, "Opportunity", nil)
			}
			drain(t, o)
			for _, e := range l.all() {
				var group []string
				for _, n := range e.Notifications {
					group = append(group, n.ID)
				}
				ids = append(ids, group)
			}
			require.Equal(t, 20, o.Stats().Acked)
			require.Equal(t, 40, o.Stats().Attempts)
		})
		return ids
	}
	together := groups(t, false)
	require.Len(t, together, 4)
	require.Equal(t, together[:2], together[2:])

	mixed := groups(t, true)
	require.ElementsMatch(t, append(mixed[0], mixed[1]...), flatten(mixed[2:]))
	for _, group := range mixed[2:] {
		require.NotContains(t, mixed[:2], group)
	}
}

func TestAFailedEnvelopeIsRepeatedAloneUnlessRegrouped(t *testing.T) {
	t.Parallel()
	for _, regroup := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := &listener{answer: failing(1)}
			o := virtual(t, l, salesforcesim.Config{Linger: 2 * time.Second, Concurrency: 1, Regroup: regroup, Seed: 3})
			for range 3 {
				save(t, o, "Opportunity", nil)
			}
			go func() {
				<-time.After(3 * time.Second)
				for range 3 { // due at the same time as the retry
					_, _ = o.Save("Opportunity", nil)
				}
			}()
			drain(t, o)
			got := l.all()
			if regroup {
				require.Greater(t, len(got[1].Notifications), 3, "old and new together")
				return
			}
			require.Len(t, got, 3)
			require.Len(t, got[1].Notifications, 3)
			require.Equal(t, got[0].Notifications, got[1].Notifications)
			require.NotEqual(t, got[0].Notifications, got[2].Notifications)
		})
	}
}

func TestShuffle(t *testing.T) {
	t.Parallel()
	for _, shuffle := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := &listener{answer: alwaysAck}
			o := virtual(t, l, salesforcesim.Config{BatchSize: 5, Concurrency: 1, Shuffle: shuffle})
			for range 20 {
				save(t, o, "Opportunity", nil)
			}
			drain(t, o)
			var ids []string
			for _, e := range l.all() {
				for _, n := range e.Notifications {
					ids = append(ids, n.ID)
				}
			}
			require.Len(t, ids, 20)
			require.Equal(t, !shuffle, slices.IsSorted(ids))
		})
	}
}

func flatten(groups [][]string) (all []string) {
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}

func TestAtMostAHundredAndOneObjectAnEnvelope(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &listener{answer: alwaysAck}
		o := virtual(t, l, salesforcesim.Config{Definitions: []salesforcesim.Definition{
			{Object: "Opportunity"}, {Object: "Case", ActionID: "04k5g0000004Abc"}, {Object: "npsp__Gift__c"},
		}})
		for range 250 {
			save(t, o, "Opportunity", nil)
		}
		for range 3 {
			save(t, o, "Case", nil)
			save(t, o, "npsp__Gift__c", nil)
		}
		drain(t, o)
		sizes := map[string][]int{}
		seen := map[string]bool{}
		for _, e := range l.all() {
			object := e.Notifications[0].SObject.Type
			sizes[object] = append(sizes[object], len(e.Notifications))
			for _, n := range e.Notifications {
				require.Equal(t, object, n.SObject.Type)
				require.False(t, seen[n.ID], "an id twice")
				seen[n.ID] = true
			}
		}
		require.ElementsMatch(t, []int{100, 100, 50}, sizes["sf:Opportunity"])
		require.Equal(t, []int{3}, sizes["sf:Case"])
		require.Equal(t, []int{3}, sizes["sf:npsp__Gift__c"])
		require.Len(t, o.Deliveries(), 5)
	})
}

func TestLingerFillsTheEnvelope(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &listener{answer: alwaysAck}
		o := virtual(t, l, salesforcesim.Config{Linger: time.Second})
		go func() {
			for range 3 {
				_, _ = o.Save("Opportunity", nil)
				<-time.After(100 * time.Millisecond)
			}
		}()
		synctest.Wait()
		drain(t, o)
		require.Len(t, l.all(), 1)
		require.Equal(t, 3, o.Stats().Acked)
	})
}

func TestLoadCountsTheWaitForAConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &listener{answer: func(n int, w http.ResponseWriter) {
			<-time.After(100 * time.Millisecond)
			alwaysAck(n, w)
		}}
		o := virtual(t, l, salesforcesim.Config{})
		result, err := o.Load(t.Context(), salesforcesim.LoadConfig{Count: 5, Rate: 20, Connections: 1})
		require.NoError(t, err)
		ms := time.Millisecond
		// Due at 0, 50, 100, 150, 200; answered at 100, 200, 300, 400, 500.
		require.Equal(t, salesforcesim.Percentiles{P50: 200 * ms, P95: 300 * ms, P99: 300 * ms, Max: 300 * ms}, result.Latency)
		require.Equal(t, salesforcesim.Percentiles{P50: 100 * ms, P95: 100 * ms, P99: 100 * ms, Max: 100 * ms}, result.Service)
		require.Equal(t, 500*ms, result.Elapsed)
		require.InDelta(t, 10, result.PerSecond(), 0.001)
	})
}
