package cli

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/app"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/embedded"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

// withBelt connects to the configured NATS server, or to that of a running `beckon serve`, for one command.
func (r *root) withBelt(ctx context.Context, cfg *config.Config, do func(*stream.Client) error) error {
	target := app.NATSTarget(cfg)
	if target.URL == "" {
		addresses, err := embedded.ReadAddresses(cfg.DataDir)
		if err != nil {
			return err
		}
		if target = (stream.Target{URL: addresses.NATSURL, Token: addresses.NATSToken}); target.URL == "" {
			return fmt.Errorf("the beckon serve that runs on %s has no NATS server of its own: set BECKON_NATS_URL", cfg.DataDir)
		}
	}
	asking, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	belt, err := stream.Attach(asking, target)
	if err != nil {
		return err
	}
	defer belt.Close()
	return do(belt)
}

// withStreams is withBelt for commands that need the streams to be there.
func (r *root) withStreams(ctx context.Context, cfg *config.Config, do func(*stream.Client) error) error {
	return r.withBelt(ctx, cfg, func(belt *stream.Client) error {
		if err := belt.Present(ctx); err != nil {
			return err
		}
		return do(belt)
	})
}

// withBoth is for commands that change the belt: what they do is written to the audit trail.
func (r *root) withBoth(ctx context.Context, do func(*deed, *config.Config) error) error {
	cfg, err := r.load()
	if err != nil {
		return err
	}
	return r.withStreams(ctx, cfg, func(belt *stream.Client) error {
		return r.withConfiguredLedger(ctx, cfg, func(ledger *store.Store) error {
			return do(&deed{belt: belt, ledger: ledger}, cfg)
		})
	})
}

// deed is what an operator does to the belt.
type deed struct {
	belt   *stream.Client
	ledger *store.Store
	by     string
}

// note writes to the audit trail.
func (d *deed) note(ctx context.Context, action, subject string, detail any) error {
	encoded, err := json.Marshal(detail)
	if err != nil {
		return fmt.Errorf("write the audit trail: %w", err)
	}
	return d.ledger.AddAudit(ctx, store.AuditEntry{Operator: d.by, Action: action, Subject: subject, Detail: encoded})
}

// orderFlags are common to the commands that change the belt.
type orderFlags struct {
	yes bool
	by  string
}

func (f *orderFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	cmd.Flags().StringVar(&f.by, "by", "", "who does it, for the audit trail (default: the account that calls)")
}

func (f *orderFlags) operator() string { return cmp.Or(strings.TrimSpace(f.by), operator()) }

// confirm asks on the terminal. Anything but yes is a no, which ends the command.
func (r *root) confirm(question string) error {
	r.printf("%s [yes/no] ", question)
	answer, _ := bufio.NewReader(r.streams.In).ReadString('\n') // no answer is a no
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "yes", "y":
		return nil
	}
	r.printf("\n")
	r.complain("beckon: nothing was done; say yes, or use --yes\n")
	return errSilent
}

// parseWhen reads a time: how long ago (90m, 2h, 7d), a date, or a time in RFC 3339.
func parseWhen(flag, text string, now time.Time) (time.Time, error) {
	return parseWhenIn(flag, text, now, time.Local) //nolint:gosmopolitan // an operator's clock
}

// parseWhenIn is parseWhen with the zone of times that name none.
func parseWhenIn(flag, text string, now time.Time, zone *time.Location) (time.Time, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, zone); err == nil {
			return at, nil
		}
	}
	return time.Time{}, usagef("--%s is %q: want how long ago (90m, 2h, 7d) or a time such as 2026-05-04T10:00:00Z", flag, text)
}
