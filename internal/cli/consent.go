package cli

import (
	"context"
	"fmt"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/view"
)

func (r *root) consent() *cobra.Command {
	return group("consent", "Show and change what people agreed to",
		r.consentShow(), r.consentClassify(), r.consentSet("opt-out", consent.OptOut, "opt out"),
		r.consentSet("opt-in", consent.OptIn, "opt in"), r.consentSet("confirm", consent.Confirm, "confirm an opt-in"),
		r.consentSet("opt-in-again", consent.ReOptIn, "end an opt-out, as by START"), r.consentAlias(), r.consentExport(), r.consentErase(), r.consentImport())
}

// parseAddress reads a phone number, or a WhatsApp business-scoped id such as US.1A2B (also US.ENT.1A2B).
func parseAddress(text, region string) (address.Address, error) {
	a, err := address.ParsePerson(text, region)
	if err != nil {
		return "", usagef("the address is %w in region %s: write it as +14155550123", err, region)
	}
	return a, nil
}

// viewConsent reads what is held on a person, for one program.
func viewConsent(ctx context.Context, ledger *store.Store, a address.Address, program string, cfg *config.Config) (view.Consent, error) {
	held, err := ledger.ConsentOf(ctx, a)
	if err != nil {
		return view.Consent{}, err
	}
	return view.NewConsent(held, program, view.DoubleOptIn{On: cfg.AsksToConfirm(), Within: cfg.Consent.ConfirmWithin}), nil
}

func (r *root) consentShow() *cobra.Command {
	var asJSON bool
	var program string
	cmd := &cobra.Command{
		Use:     "show <address>",
		Short:   "Show what a person agreed to, now and over time",
		Example: "  beckon consent show +14155550123\n  beckon consent show US.1A2B3C --json",
		Args:    exactlyOne("one phone number or WhatsApp id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.withAddress(cmd.Context(), args[0], func(ledger *store.Store, a address.Address, cfg *config.Config) error {
				v, err := viewConsent(cmd.Context(), ledger, a, program, cfg)
				if err != nil {
					return err
				}
				if asJSON {
					return r.printJSON(v)
				}
				r.writeConsentState(&v)
				switch {
				case len(v.History) > 0:
					return r.writeConsentHistory(v.History)
				case v.Review:
					r.printf("no entry on record\n")
				default:
					r.printf("no entry on record: transactional messages may be sent, marketing needs an opt-in\n")
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&program, "program", message.DefaultProgram, "the program whose state is shown")
	jsonFlag(cmd, &asJSON, "as one JSON object")
	return cmd
}

func (r *root) writeConsentHistory(entries []view.ConsentEntry) error {
	table := tabwriter.NewWriter(r.streams.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "WHEN\tACTION\tCHANNEL\tABOUT\tSOURCE\tEVIDENCE\tNOTE")
	for _, e := range entries {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.OccurredAt.Local().Format(time.DateTime), words(e.Action),
			e.Channel, aboutWhat(e.Scope, e.Program), words(e.Source), oneLine(e.Evidence), dash(oneLine(e.Note)))
	}
	return table.Flush()
}

// aboutWhat is what an entry is about: all, program acme/news, brand acme.
func aboutWhat(scope, program string) string { return strings.TrimSpace(scope + " " + program) }

// questionState says how it stands with asking a person to confirm an opt-in.
func questionState(q *view.OptInQuestion) string {
	when := func(t *time.Time) string { return t.Local().Format(time.DateTime) }
	asked := "not asked yet"
	if q.AskedAt != nil {
		asked = "asked at " + when(q.AskedAt)
	}
	reason := ""
	if q.Reason != "" {
		reason = " (" + words(q.Reason) + ")"
	}
	switch q.State {
	case view.QuestionDue:
		return "the person is to be asked"
	case view.QuestionNotAsked:
		return "not asked" + reason
	case view.QuestionQueued:
		return "the question waits to be sent" + reason
	case view.QuestionFailed:
		return "the question did not arrive" + reason + ", see beckon trace " + q.MessageID
	case view.QuestionWaiting:
		return asked + ", waiting for YES until " + when(q.Until)
	case view.QuestionConfirmed:
		return asked + ", confirmed"
	case view.QuestionOptedOut:
		return asked + ", opted out since"
	case view.QuestionNoAnswer:
		return asked + ", no YES until " + when(q.Until)
	}
	return q.State
}

// oneLine keeps a person's words from breaking a table or the terminal.
func oneLine(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 {
			return ' '
		}
		return c
	}, text)
}

func (r *root) writeConsentState(v *view.Consent) {
	r.printf("%s\n", v.Address)
	shown := map[string]string{
		string(consent.OptIn): "opted in", string(consent.OptOut): "opted out", "none": "nothing on record",
		string(consent.Confirm): "opted in, confirmed", string(consent.ReOptIn): "opted in again", string(consent.Erase): "erased",
	}
	if len(v.History) > 0 { // there is something, but about something else
		shown["none"] += " about program " + v.Program
	}
	for _, channel := range []message.Channel{message.SMS, message.WhatsApp} {
		r.printf("  %-9s %s\n", channel, shown[v.State[string(channel)]])
	}
	if len(v.Marketing) > 0 {
		r.printf("  marketing of program %s may go by %s\n", v.Program, strings.Join(v.Marketing, ", "))
	}
	for i := range v.DoubleOptIn {
		r.printf("  double opt-in of %s: %s\n", aboutWhat(v.DoubleOptIn[i].Scope, v.DoubleOptIn[i].Program), questionState(&v.DoubleOptIn[i]))
	}
	if v.Review {
		r.printf("  sending is paused: a reply may be an opt-out, see beckon reviews list\n")
	}
}

// consentClassify shows what the detection makes of a reply, without a server.
func (r *root) consentClassify() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "classify <text>",
		Short:   "Show what a reply with this text would be taken for",
		Long:    "Show what a reply with this text would be taken for, and by which word or pattern. Nothing is stored.",
		Example: "  beckon consent classify 'please stop texting me'\n  BECKON_OPT_OUT_FILE=ours.yaml beckon consent classify 'sluta' --json",
		Args:    exactlyOne("one text, in quotes"),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := r.load()
			if err != nil {
				return err
			}
			words, err := cfg.Words()
			if err != nil {
				return err
			}
			v := words.Classify(args[0])
			if asJSON {
				return r.printJSON(map[string]string{"keyword": string(v.Keyword), "language": v.Language, "rule": v.Rule, "normal": v.Normal})
			}
			shown := map[consent.Keyword]string{
				consent.Stop: "an opt-out", consent.Review: "for review: it may be an opt-out", consent.Start: "the end of an opt-out, and no opt-in to marketing",
				consent.Help: "a request for help", consent.None: "an ordinary reply",
			}
			r.printf("%s\n", shown[v.Keyword])
			if v.Rule != "" {
				r.printf("  by %s (%s)\n", v.Rule, v.Language)
			}
			return nil
		},
	}
	jsonFlag(cmd, &asJSON, "as one JSON object")
	return cmd
}

// withAddress opens the ledger for a command about one address.
func (r *root) withAddress(ctx context.Context, text string, do func(*store.Store, address.Address, *config.Config) error) error {
	cfg, err := r.load()
	if err != nil {
		return err
	}
	a, err := parseAddress(text, cfg.DefaultRegion) // before anything is connected to
	if err != nil {
		return err
	}
	return r.withConfiguredLedger(ctx, cfg, func(ledger *store.Store) error { return do(ledger, a, cfg) })
}

// operator is the account that calls, which is the evidence of an entry by hand.
func operator() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "unknown"
}
