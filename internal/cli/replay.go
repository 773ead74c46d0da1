package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforce"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/router"
)

// followEvery is how often the router is asked how far it is.
const followEvery = 200 * time.Millisecond

// replayFlags say what is replayed, and how.
type replayFlags struct {
	orderFlags

	since, until, object, record, rate string
	redecide, force, dryRun, asJSON    bool
	wait                               time.Duration

	from, to  time.Time
	recordID  notification.ID
	perSecond float64
}

func (r *root) replay() *cobra.Command {
	var flags replayFlags
	cmd := &cobra.Command{
		Use:   "replay --since T",
		Short: "Put envelopes that are still kept on the belt again",
		Long: "Put the envelopes that the stream NOTIFICATIONS still has (7 days) on the belt again. The running router works on them:\n" +
			"what was never decided, or ended as a dead letter, is decided; every other decision stands.\n\n" +
			"--redecide decides again what was decided, by the rules of today and what was known of the record then. Whom a rule has\n" +
			"reached for a notification is not reached again. --force does so and makes those messages a second time.",
		Example: "  beckon replay --since 2h --dry-run\n  beckon replay --since 2026-05-04T08:00:00Z --until 2026-05-04T09:30:00Z --object Opportunity --redecide\n" +
			"  beckon replay --since 1h --record 006000000000001AAA --force --by ada",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flags.check(); err != nil {
				return err
			}
			return r.withBoth(cmd.Context(), func(d *deed, _ *config.Config) error {
				d.by = flags.operator()
				return r.runReplay(cmd.Context(), d, &flags)
			})
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&flags.since, "since", "", "from when on: how long ago (90m, 2h, 7d) or a time")
	cmd.Flags().StringVar(&flags.until, "until", "", "until when (default: now)")
	cmd.Flags().StringVar(&flags.object, "object", "", "only this object, for example Opportunity")
	cmd.Flags().StringVar(&flags.record, "record", "", "only notifications about this record")
	cmd.Flags().BoolVar(&flags.redecide, "redecide", false, "decide again what was decided")
	cmd.Flags().BoolVar(&flags.force, "force", false, "decide again, and send again what was sent")
	cmd.Flags().BoolVar(&flags.dryRun, "dry-run", false, "say what would happen by the rules and templates here, change nothing")
	cmd.Flags().StringVar(&flags.rate, "rate", "50/s", "most envelopes a second")
	cmd.Flags().DurationVar(&flags.wait, "wait", 5*time.Minute, "how long to wait for the router")
	jsonFlag(cmd, &flags.asJSON, "the counts as one JSON object")
	return cmd
}

func (f *replayFlags) check() error {
	var err error
	if f.since == "" {
		return usagef("--since is needed: from when on?")
	}
	if f.from, err = parseWhen("since", f.since, time.Now()); err != nil {
		return err
	}
	if f.until != "" {
		if f.to, err = parseWhen("until", f.until, time.Now()); err != nil {
			return err
		}
		if !f.to.After(f.from) {
			return usagef("--until is not after --since")
		}
	}
	if f.record != "" {
		if f.recordID, err = notification.ParseID(f.record); err != nil {
			return usagef("--record: %w", err)
		}
	}
	f.perSecond, err = strconv.ParseFloat(strings.TrimSuffix(f.rate, "/s"), 64)
	if err != nil || !(f.perSecond > 0) {
		return usagef("--rate is %q: want envelopes a second, for example 50/s", f.rate)
	}
	return nil
}

func (f *replayFlags) mode() notification.ReplayMode {
	switch {
	case f.force:
		return notification.ReplayForce
	case f.redecide:
		return notification.ReplayRedecide
	}
	return notification.ReplayMissing
}

// selected is an envelope to replay, with its notifications that fit.
type selected struct {
	kept     *stream.Kept
	envelope *notification.Envelope
	only     []notification.ID // empty: all
}

// replayReport is what a replay would do, or did.
type replayReport struct {
	ID            string                       `json:"replay_id,omitempty"`
	Mode          notification.ReplayMode      `json:"mode"`
	DryRun        bool                         `json:"dry_run"`
	Envelopes     int                          `json:"envelopes"`
	Notifications int                          `json:"notifications"`
	Unreadable    int                          `json:"unreadable_envelopes"` // left out: see the dead letters
	Results       map[store.ReplayResult]int   `json:"results"`
	Outcomes      map[notification.Outcome]int `json:"outcomes"`
	Made          int                          `json:"messages_made"`
	Held          int                          `json:"messages_held"`
	Rules         map[string]int               `json:"messages_by_rule,omitempty"`
	Finished      bool                         `json:"finished"`
}

func decodeKept(k *stream.Kept) (envelope *notification.Envelope, readable bool) {
	body, err := k.Body()
	if err == nil {
		envelope, err = salesforce.Decode(body, salesforce.DefaultLimits())
	}
	return envelope, err == nil && !k.Received.IsZero()
}

// selectKept calls do for what fits the flags.
func (f *replayFlags) selectKept(ctx context.Context, belt *stream.Client, report *replayReport, do func(selected) error) error {
	report.Envelopes, report.Notifications, report.Unreadable = 0, 0, 0
	return belt.KeptEnvelopes(ctx, f.from, f.to, func(k *stream.Kept) error {
		if f.object != "" && k.Object != f.object {
			return nil
		}
		envelope, readable := decodeKept(k)
		if !readable {
			report.Unreadable++
			return nil
		}
		envelope.Received = k.Received
		s := selected{kept: k, envelope: envelope}
		if f.recordID != "" {
			s.pick(f.recordID)
		}
		if len(s.envelope.Notifications) == 0 {
			return nil
		}
		report.Envelopes, report.Notifications = report.Envelopes+1, report.Notifications+len(s.envelope.Notifications)
		return do(s)
	})
}

// pick keeps the notifications about one record.
func (s *selected) pick(record notification.ID) {
	var about []notification.Notification
	for _, n := range s.envelope.Notifications {
		if n.RecordID == record {
			about, s.only = append(about, n), append(s.only, n.ID)
		}
	}
	s.envelope.Notifications = about
}

func (r *root) runReplay(ctx context.Context, d *deed, flags *replayFlags) error {
	order := notification.Replay{ID: uuid.Must(uuid.NewV7()).String(), Mode: flags.mode()}
	report := &replayReport{Mode: order.Mode}
	if flags.dryRun || flags.force {
		if err := r.rehearse(ctx, d, flags, order, report); err != nil {
			return err
		}
	}
	if flags.dryRun {
		report.DryRun = true
		return r.writeReplay(flags, report)
	}
	question := "This will put envelopes on the belt again. Go on?"
	if flags.force {
		question = fmt.Sprintf("This will send up to %s a second time. Go on?", plural(report.Made, "message"))
	}
	if !flags.yes {
		if err := r.confirm(question); err != nil {
			return err
		}
	}
	report.ID = order.ID
	noted := map[string]any{
		"since": flags.from.UTC(), "until": flags.to, "object": flags.object, "record": flags.recordID, "would_make": report.Made,
	}
	if flags.to.IsZero() {
		delete(noted, "until")
	}
	action := "replay." + string(order.Mode)
	if err := d.note(ctx, action, order.ID, noted); err != nil {
		return err
	}
	last, err := d.putBack(ctx, flags, order, report)
	if err == nil {
		err = d.await(ctx, flags.wait, last, report)
	}
	// Also what was begun and broken off is noted.
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	return errors.Join(err, d.count(after, report), d.note(after, action+".result", order.ID, report), r.writeReplay(flags, report))
}

// rehearse says what would happen, by the rules and templates that this command is configured with.
func (r *root) rehearse(ctx context.Context, d *deed, flags *replayFlags, order notification.Replay, report *replayReport) error {
	p, err := r.loadPolicy(policyFlags{})
	if err != nil {
		return err
	}
	report.Results, report.Outcomes, report.Rules = map[store.ReplayResult]int{}, map[notification.Outcome]int{}, map[string]int{}
	judge := router.Judge(p.rules, p.templates, p.cfg.DefaultRegion)
	return flags.selectKept(ctx, d.belt, report, func(s selected) error {
		result, err := d.ledger.Rehearse(ctx, []store.Envelope{{Envelope: s.envelope, Seq: s.kept.Seq, Replay: &order}}, judge)
		if err != nil {
			return err
		}
		add(report.Results, result.Replayed)
		add(report.Outcomes, result.Outcomes)
		add(report.Rules, result.ByRule)
		report.Made, report.Held = report.Made+len(result.Made), report.Held+result.Held
		return nil
	})
}

func add[K comparable](to, from map[K]int) {
	for key, n := range from {
		to[key] += n
	}
}

// putBack publishes what is selected, and returns the sequence of the last one.
func (d *deed) putBack(ctx context.Context, flags *replayFlags, order notification.Replay, report *replayReport) (last uint64, err error) {
	limiter := rate.NewLimiter(rate.Limit(flags.perSecond), 1)
	err = flags.selectKept(ctx, d.belt, report, func(s selected) error {
		if err := limiter.Wait(ctx); err != nil {
			return err
		}
		one := order
		one.Only = s.only
		seq, err := d.belt.PutBack(ctx, s.kept, one)
		last = max(last, seq)
		return err
	})
	return last, err
}

// await waits until the router has worked on the last one.
func (d *deed) await(ctx context.Context, wait time.Duration, last uint64, report *replayReport) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		done, err := d.belt.Finished(ctx, stream.Router)
		switch {
		case err == nil && done >= last:
			report.Finished = true
			return nil
		case ctx.Err() == nil && err != nil:
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("the router has not worked on all of it yet; it goes on, and beckon audit list has the id of the replay")
		}
	}
}

func (d *deed) count(ctx context.Context, report *replayReport) error {
	counts, err := d.ledger.CountReplay(ctx, report.ID)
	report.Results, report.Outcomes, report.Made, report.Held = counts.Results, counts.Outcomes, counts.Made, counts.Held
	report.Rules = nil
	return err
}
