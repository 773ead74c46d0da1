package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

// campaign is a rule with a limit whose messages went to people: to the first one of them on.
type campaign struct {
	*ledger
	sent, said int
}

func openCampaign(t *testing.T) *campaign {
	t.Helper()
	return &campaign{ledger: open(t)}
}

func (c *campaign) who(n int) addr { return addr(fmt.Sprintf("+1415557%04d", n)) }

// reaches sends a message of the rule to so many more people.
func (c *campaign) reaches(people int) {
	c.t.Helper()
	limit := &store.OptOutBreaker{Above: 0.03, Per: 24 * time.Hour, AtLeast: 3}
	for range people {
		c.sent++
		number, who := 2_000_000+c.sent, c.who(c.sent)
		result := c.decide(makes(func(p store.Pending) []store.NewMessage {
			m := draft(p, who)
			m.OptOutBreaker = limit
			return []store.NewMessage{m}
		}), withNotes(c.ledger, number))
		c.ledger.sent(c.claim(message.SMS, result.Belt[0].ID), fmt.Sprintf("SM%032d", number))
	}
}

// optsOut lets the people with these numbers answer with STOP.
func (c *campaign) optsOut(people ...int) {
	c.t.Helper()
	for _, n := range people {
		c.said++
		sid := fmt.Sprintf("IN%032d", c.said)
		c.reply(store.Reply{SID: sid, From: c.who(n), Keyword: "stop", Consent: &consent.Entry{
			Address: c.who(n), Channel: consent.AllChannels, Action: consent.OptOut, Source: consent.FromKeyword, Evidence: sid, OccurredAt: time.Now(),
		}})
	}
}

func (c *campaign) check() []string {
	c.t.Helper()
	paused, err := c.CheckOptOuts(c.t.Context())
	require.NoError(c.t, err)
	return paused
}

func withNotes(l *ledger, number int) store.Envelope {
	e := envelope(l.seq.Add(1) + 2_000_000)
	e.Notifications = append(e.Notifications, note(number, number))
	return e
}

func TestOptOutsPauseARule(t *testing.T) {
	t.Parallel()
	c := openCampaign(t)
	c.reaches(100)
	c.optsOut(1, 1, 2)
	require.Empty(t, c.check(), "two people, and three are needed; one of them said it twice")
	c.optsOut(3)
	require.Empty(t, c.check(), "3 of 100 is not more than 3 %")
	require.Empty(t, c.check(), "nothing new")
	c.optsOut(4)
	require.Equal(t, []string{"welcome"}, c.check())
	c.optsOut(5)
	require.Empty(t, c.check(), "it is paused once")

	pauses, err := c.RulePauses(t.Context())
	require.NoError(t, err)
	require.Len(t, pauses, 1)
	require.Equal(t, store.PausedByBreaker, pauses[0].PausedBy)
	require.Equal(t, "4 of 100 people opted out, of those reached in 24h0m0s", pauses[0].Note)
	trail, err := c.Audit(t.Context(), store.AuditFilter{Subject: "welcome"})
	require.NoError(t, err)
	require.Len(t, trail, 1)
	require.Equal(t, "rules.pause", trail[0].Action)

	// A human lets it go on: what it sent before is history, also when people answer it only now.
	changed, err := c.ResumeRule(t.Context(), store.RuleSwitch{Rule: "welcome", By: "ana"})
	require.NoError(t, err)
	require.True(t, changed)
	c.optsOut(6, 7, 8, 9)
	require.Empty(t, c.check())
	c.reaches(3)
	c.optsOut(101, 102)
	require.Empty(t, c.check())
	c.optsOut(103)
	require.Equal(t, []string{"welcome"}, c.check(), "what it sends from then on counts")
	pauses, err = c.RulePauses(t.Context())
	require.NoError(t, err)
	require.Contains(t, pauses[0].Note, "3 of 3 people")
}

func TestOptOutsOfOldMessages(t *testing.T) {
	t.Parallel()
	c := openCampaign(t)
	c.reaches(4)
	c.exec(`update attempt set started_at = started_at - interval '25 hours'`)
	c.optsOut(1, 2, 3, 4)
	require.Empty(t, c.check(), "answers to messages from before the time")
	c.exec(`update rule_opt_out set said_at = now() - interval '31 days'`)
	c.check()
	require.Zero(t, get[int](c.ledger, `select count(*) from rule_opt_out`))
}

// A reply that a human, or the set time, took for an opt-out counts like a STOP.
func TestDecidedReviewsPauseARule(t *testing.T) {
	t.Parallel()
	c := openCampaign(t)
	c.reaches(3)
	c.optsOut(1, 2)
	r := of(doubtful("IN", 1), c.who(3), false)
	c.reply(r)
	require.Empty(t, c.check())
	review := c.reviews(false)[0]
	require.NoError(t, c.DecideReview(t.Context(), review.ID, store.Ruling{As: store.DecideOptOut, By: "ana"}))
	require.Equal(t, []string{"welcome"}, c.check())
}

// Rules without a limit leave no trace.
func TestOptOutsWithoutALimit(t *testing.T) {
	t.Parallel()
	l := open(t)
	l.accepted(person, message.SMS, "SM1")
	l.reply(plain("IN1", 1, consent.OptOut))
	require.Zero(t, get[int](l, `select count(*) from rule_opt_out`))
}

// Many dispatchers look at once, and the rule is paused once.
func TestOptOutsAreLookedAtByMany(t *testing.T) {
	t.Parallel()
	c := openCampaign(t)
	c.reaches(5)
	c.optsOut(1, 2, 3)
	paused := make([][]string, 4)
	errs := make([]error, 4)
	var all sync.WaitGroup
	for i := range paused {
		all.Go(func() { paused[i], errs[i] = c.CheckOptOuts(context.Background()) })
	}
	all.Wait()
	times := 0
	for i := range paused {
		require.NoError(t, errs[i])
		times += len(paused[i])
	}
	require.Equal(t, 1, times)
	require.Equal(t, 1, get[int](c.ledger, `select count(*)::integer from audit`))
}

// A human who lets the rule go on while the people are counted is not overruled by a count from before.
func TestResumeDuringTheLook(t *testing.T) {
	t.Parallel()
	c := openCampaign(t)
	c.reaches(5)
	c.optsOut(1, 2, 3)
	var paused []string
	var err error
	c.whileLocked(func() { paused, err = c.CheckOptOuts(context.Background()) }, // what ResumeRule does
		`with lock as (select pg_advisory_xact_lock($1, hashtext('welcome')))
		insert into rule_resume (rule, resumed_at) select 'welcome', clock_timestamp() from lock`, 0x72756c65)
	require.NoError(t, err)
	require.Empty(t, paused)
	require.Empty(t, c.check())
}
