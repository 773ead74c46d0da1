package cli

import (
	"bufio"
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/lifemark"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
)

// recovery is what the flags of beckon recover say.
type recovery struct {
	yes          bool
	since, until string
	note         string
}

func (r *root) recover() *cobra.Command {
	var f recovery
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Show what was lost by Postgres or NATS, and go on after it",
		Long: "Compare Postgres with what NATS remembers of it, and the streams with what Postgres remembers of them, and say what was lost.\n" +
			"When you agree, what can be made again is made again: notifications and callbacks since the end of a restored ledger are\n" +
			"worked on again, and every message that may have been sent since is looked up at Twilio before it is sent. Until then nothing is.\n\n" +
			"With --since and --until a gap is recovered from that neither store knows of, since both were put back.",
		Example: "  beckon recover\n  beckon recover --yes --note 'restored the backup of Monday night'\n" +
			"  beckon recover --since 2026-11-20T03:00:00Z --until 2026-11-20T09:30:00Z",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			request, err := f.request()
			if err != nil {
				return err
			}
			return r.withStores(cmd.Context(), func(ledger *store.Store, belt *stream.Client) error {
				return r.runRecovery(cmd.Context(), ledger, belt, f.yes, request)
			})
		},
	}
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	cmd.Flags().StringVar(&f.note, "note", "", "why, for whoever reads the audit later")
	cmd.Flags().StringVar(&f.since, "since", "", "with --until: what was sent since this time is not in Postgres, RFC 3339")
	cmd.Flags().StringVar(&f.until, "until", "", "with --since: nothing was sent after this time, RFC 3339")
	return cmd
}

func (f *recovery) request() (lifemark.Request, error) {
	request := lifemark.Request{Operator: operator(), Note: f.note}
	if f.since == "" && f.until == "" {
		return request, nil
	}
	var err, err2 error
	request.Began, err = time.Parse(time.RFC3339, f.since)
	request.Ended, err2 = time.Parse(time.RFC3339, f.until)
	if err != nil || err2 != nil || !request.Began.Before(request.Ended) {
		return request, usagef("--since and --until go together, each like 2026-11-20T03:00:00Z, the first one earlier")
	}
	return request, nil
}

func (r *root) runRecovery(ctx context.Context, ledger *store.Store, belt *stream.Client, yes bool, request lifemark.Request) error {
	report, err := lifemark.Look(ctx, ledger, belt)
	if err != nil {
		return err
	}
	r.writeReport(report, request)
	if report.Nothing() && request.Began.IsZero() {
		return nil
	}
	if !yes {
		r.printf("type yes to go on: ")
		answer, _ := bufio.NewReader(r.streams.In).ReadString('\n')
		if strings.TrimSpace(answer) != "yes" {
			r.printf("nothing was changed\n")
			return errSilent
		}
	}
	if err := lifemark.Recover(ctx, ledger, belt, report, request); err != nil {
		return err
	}
	r.printf("done: work goes on by itself; /readyz and beckon messages list --state unknown show how far it is\n")
	return nil
}

func (r *root) writeReport(report *lifemark.Report, request lifemark.Request) {
	r.printf("ledger: %s\n", report.Finding.Text())
	began, gap := report.Finding.Began, report.Finding.Holds()
	if !request.Began.IsZero() {
		began, gap = request.Began, true
		r.printf("ledger: you say that it lacks what was sent from %s to %s\n", request.Began.Format(time.RFC3339), request.Ended.Format(time.RFC3339))
	}
	if gap {
		r.printf("        notifications and callbacks since then are worked on again; what may have been sent is looked up at Twilio first\n")
	}
	if gap && report.Kept.After(began) {
		r.printf("        the belt keeps envelopes since %s only: what came before and is not in Postgres is not decided again\n",
			report.Kept.Format(time.RFC3339))
	}
	if gap && report.Heard.After(began) {
		r.printf("        the belt keeps replies since %s only: opt-outs between the two times may be missing in Postgres; enter those that\n"+
			"        you know of with beckon consent opt-out first\n", report.Heard.Format(time.RFC3339))
	}
	for _, loss := range report.Losses {
		r.printf("belt:   %s\n", lifemark.LossText(loss))
	}
	for _, open := range report.Replays {
		r.printf("replay: since %s the streams are worked on again, nothing is sent until that is done\n", open.Recovered.Format(time.RFC3339))
	}
	if report.Nothing() && !gap {
		r.printf("there is nothing to recover from\n")
	}
}

// withStores opens the configured ledger and belt, or those of a running `beckon serve`, for one command.
func (r *root) withStores(ctx context.Context, do func(*store.Store, *stream.Client) error) error {
	return r.withLedger(ctx, func(ledger *store.Store, cfg *config.Config) error {
		return r.withBelt(ctx, cfg, func(belt *stream.Client) error { return do(ledger, belt) })
	})
}
