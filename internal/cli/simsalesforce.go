package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/ingest"
	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforcesim"
)

// idleGap is the time between two changes after the story.
const idleGap = 20 * time.Second

// salesforceFlags are the flags of simulate salesforce.
type salesforceFlags struct {
	endpoint, org, story, object string
	clientCert, clientKey, ca    string
	to, records                  []string
	count, perEnvelope           int
	rate, repeat                 float64
	seed                         uint64
	once, asJSON                 bool
	timeout                      time.Duration
}

func (r *root) simulateSalesforce() *cobra.Command {
	var flags salesforceFlags
	cmd := &cobra.Command{
		Use:   "salesforce",
		Short: "Play Salesforce: change records and send outbound messages",
		Long: "Play a Salesforce organisation that tells a running Beckon about changes of its records, with Salesforce's own\n" +
			"repetitions until each is acknowledged. It plays a short story for a few records, then changes something from time to\n" +
			"time until Ctrl-C. With --once it ends after the story; with --record it sends your records instead.\n\n" +
			"Stories:\n" + storyHelp() + "\n" +
			"The endpoint comes from BECKON_PUBLIC_URL (else BECKON_HTTP_ADDR on this machine) and BECKON_SALESFORCE_PATH_SECRET,\n" +
			"the organisation from BECKON_SALESFORCE_ORG_IDS.",
		Example: "  beckon simulate salesforce --once\n" +
			"  beckon simulate salesforce --story case-escalated --to +14155550123 --count 10 --rate 5\n" +
			"  beckon simulate salesforce --once --client-cert client.pem --client-key client.key --ca ca.pem\n" +
			`  beckon simulate salesforce --object Invoice__c --record '{"Status__c": "Overdue"}'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := r.load()
			if err != nil {
				return err
			}
			return r.playSalesforce(cmd.Context(), cfg, flags)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.endpoint, "endpoint", "", "the URL that receives the envelopes (default: the configured one)")
	f.StringVar(&flags.clientCert, "client-cert", "", "show this certificate (a PEM file), as an organisation shows its API Client Certificate")
	f.StringVar(&flags.clientKey, "client-key", "", "the private key of --client-cert (a PEM file)")
	f.StringVar(&flags.ca, "ca", "", "trust the certificates in this PEM file instead of the machine's")
	f.StringVar(&flags.org, "org", "", "the organisation to play (default: the first configured one)")
	f.StringVar(&flags.story, "story", storyClosedWon, "the story to play")
	f.StringSliceVar(&flags.to, "to", nil, "the mobile numbers of the people in the story (default: made-up ones)")
	f.IntVar(&flags.count, "count", 3, "how many records the story is played for")
	f.Float64Var(&flags.rate, "rate", 2, "changes a second")
	f.IntVar(&flags.perEnvelope, "per-envelope", notification.MaxPerEnvelope, "most notifications in an envelope")
	f.Float64Var(&flags.repeat, "repeat", 0, "how likely an acknowledged notification is sent again, from 0 to 1")
	f.Uint64Var(&flags.seed, "seed", 0, "the same seed makes the same ids (0: other ones each time)")
	f.StringVar(&flags.object, "object", defaultObject, "the object of --record")
	f.StringArrayVar(&flags.records, "record", nil, "send this record (a JSON object) instead of a story, then end; repeat it for more")
	f.BoolVar(&flags.once, "once", false, "end after the story, when all is acknowledged")
	f.DurationVar(&flags.timeout, "timeout", time.Minute, "with --once or --record: how long to wait for the acknowledgements")
	jsonFlag(cmd, &flags.asJSON, "one JSON object a line for each envelope, and one with the counts at the end")
	return cmd
}

// check refuses flags that make no sense.
func (f *salesforceFlags) check(region string) error {
	switch _, known := stories()[f.story]; {
	case !known:
		return usagef("there is no story %q: the stories are %s", f.story, strings.Join(slices.Sorted(maps.Keys(stories())), ", "))
	case f.count < 1:
		return usagef("--count must be 1 or more")
	case f.rate <= 0:
		return usagef("--rate must be above 0")
	case f.repeat < 0 || f.repeat > 1:
		return usagef("--repeat must be from 0 to 1")
	case f.timeout <= 0:
		return usagef("--timeout must be above 0")
	}
	for _, to := range f.to {
		if _, err := address.Parse(to, region); err != nil {
			return usagef("--to has a number that is %w", err)
		}
	}
	return nil
}

// change is one change of a record.
type change struct {
	object string
	record salesforcesim.Record
	words  string
}

func (r *root) playSalesforce(ctx context.Context, cfg *config.Config, flags salesforceFlags) error {
	if err := flags.check(cfg.DefaultRegion); err != nil {
		return err
	}
	if flags.seed == 0 {
		flags.seed = 1 + rand.Uint64N(math.MaxUint64) //nolint:gosec // ids of a simulation
	}
	changes, err := flags.changes()
	if err != nil {
		return err
	}
	client, err := flags.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	play := &salesforcePlay{out: &lines{w: r.streams.Out}, flags: flags, r: r}
	org, err := salesforcesim.New(salesforcesim.Config{
		OrgID: salesforceOrg(cfg, flags.org), Endpoint: salesforceEndpoint(cfg, flags.endpoint),
		Definitions: []salesforcesim.Definition{{Object: changes[0].object}}, Seed: flags.seed, BatchSize: flags.perEnvelope,
		HTTPClient:     client,
		RepeatAfterAck: flags.repeat, OnDelivery: play.delivered,
	})
	if errors.Is(err, salesforcesim.ErrConfig) || errors.Is(err, notification.ErrBadID) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	play.org = org
	if !flags.asJSON {
		play.out.printf("Salesforce organisation %s is played, %s for %s", org.ID(), plural(len(changes), "change"), changes[0].object)
	}
	delivering, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- org.Run(delivering) }()
	err = play.play(ctx, changes)
	stop()
	return errors.Join(err, <-ended, play.report())
}

// salesforceOrg is the organisation to play.
func salesforceOrg(cfg *config.Config, given string) string {
	switch {
	case given != "":
		return given
	case len(cfg.Salesforce.OrgIDs) > 0:
		return string(cfg.Salesforce.OrgIDs[0])
	}
	return madeUpOrg
}

// salesforceEndpoint is where Beckon takes outbound messages.
func salesforceEndpoint(cfg *config.Config, given string) string {
	if given != "" {
		return given
	}
	base := cfg.HTTP.PublicURL
	if base == "" {
		base = localURL(cfg.HTTP.Addr)
		if cfg.HTTP.TLSCert != "" {
			base = "https" + strings.TrimPrefix(base, "http")
		}
	}
	if secret := cfg.Salesforce.PathSecret.Reveal(); secret != "" {
		return base + ingest.PathSalesforce + "/" + secret
	}
	return base + ingest.PathSalesforce
}

// salesforcePlay is one run of simulate salesforce.
type salesforcePlay struct {
	r     *root
	org   *salesforcesim.Org
	out   *lines
	flags salesforceFlags
}

// play makes the changes, and waits for their acknowledgements or goes on from time to time.
func (p *salesforcePlay) play(ctx context.Context, changes []change) error {
	gap := time.Duration(float64(time.Second) / p.flags.rate)
	for i, c := range changes {
		if i > 0 && !pause(ctx, gap) {
			return nil
		}
		if err := p.save(c); err != nil {
			return err
		}
	}
	if p.flags.once || len(p.flags.records) > 0 {
		limited, cancel := context.WithTimeout(ctx, p.flags.timeout)
		defer cancel()
		if err := p.org.Drain(limited); err != nil && ctx.Err() == nil {
			return fmt.Errorf("%s not acknowledged within %s: is beckon serve running there?",
				plural(p.org.Stats().Outstanding, "notification"), p.flags.timeout)
		}
		return nil
	}
	if !p.flags.asJSON {
		p.out.printf("the story is over; something changes every %s until Ctrl-C", idleGap)
	}
	for i := p.flags.count; pause(ctx, idleGap); i++ {
		for _, c := range stories()[p.flags.story].tell(i, p.flags.person(i)) {
			if err := p.save(c); err != nil {
				return err
			}
			if !pause(ctx, gap) {
				return nil
			}
		}
	}
	return nil
}

func (p *salesforcePlay) save(c change) error {
	saved, err := p.org.Save(c.object, c.record)
	if errors.Is(err, salesforcesim.ErrBadValue) || errors.Is(err, notification.ErrBadID) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	if !p.flags.asJSON {
		p.out.stamped("%s %s: %s", c.object, saved.Record, c.words)
	}
	return nil
}

// delivered tells of an envelope.
func (p *salesforcePlay) delivered(d salesforcesim.Delivery) {
	if !p.flags.asJSON {
		result := "acknowledged"
		if d.Outcome != salesforcesim.Acked {
			result = "not acknowledged, it will be sent again: " + d.Reason
		}
		p.out.stamped("envelope %d with %s: %s after %s", d.Number, plural(len(d.Notifications), "notification"), result,
			d.Took.Round(time.Millisecond))
		return
	}
	text, err := json.Marshal(struct {
		Envelope      int               `json:"envelope"`
		Object        string            `json:"object"`
		Notifications []notification.ID `json:"notifications"`
		Status        int               `json:"status"`
		Outcome       string            `json:"outcome"`
		Reason        string            `json:"reason,omitempty"`
		Milliseconds  float64           `json:"ms"`
	}{
		d.Number, d.Object, d.Notifications, d.Status, string(d.Outcome), d.Reason,
		float64(d.Took) / float64(time.Millisecond),
	})
	if err == nil { // it has nothing that could fail
		p.out.printf("%s", text)
	}
}

func (p *salesforcePlay) report() error {
	stats := p.org.Stats()
	if p.flags.asJSON {
		return p.r.printJSON(stats)
	}
	p.out.printf("%s, %d acknowledged, in %s; %d sent again after it", plural(stats.Queued, "notification"), stats.Acked,
		plural(stats.Posts, "envelope"), stats.Repeated)
	return nil
}

// pause waits; false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
