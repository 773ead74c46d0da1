package cli

import (
	"context"
	"fmt"
	"os/user"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

func (r *root) consent() *cobra.Command {
	return group("consent", "Show and change what people agreed to",
		r.consentShow(), r.consentClassify(), r.consentSet("opt-out", consent.OptOut), r.consentSet("opt-in", consent.OptIn))
}

// parseAddress reads a phone number, or a WhatsApp business-scoped id such as US.1A2B (also US.ENT.1A2B).
func parseAddress(text, region string) (address.Address, error) {
	text = strings.TrimPrefix(strings.TrimSpace(text), "whatsapp:")
	if len(text) <= address.MaxLength && regexp.MustCompile(`^[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]+$`).MatchString(text) {
		return address.Address(text), nil
	}
	a, err := address.Parse(text, region)
	if err != nil {
		return "", usagef("the address is %w in region %s: write it as +14155550123", err, region)
	}
	return a, nil
}

// consentView is what the ledger says of one address.
type consentView struct {
	Address string            `json:"address"`
	State   map[string]string `json:"state"` // channel -> opt_in, opt_out or none
	History []consentEntry    `json:"history"`
	Review  bool              `json:"under_review,omitempty"`
}

type consentEntry struct {
	Action     string    `json:"action"`
	Channel    string    `json:"channel"`
	Source     string    `json:"source"`
	Evidence   string    `json:"evidence"`
	Note       string    `json:"note"`
	Org        string    `json:"org"`
	OccurredAt time.Time `json:"occurred_at"`
	RecordedAt time.Time `json:"recorded_at"`
}

func viewConsent(ctx context.Context, ledger *store.Store, a address.Address) (consentView, error) {
	v := consentView{Address: string(a), State: map[string]string{}, History: []consentEntry{}}
	states, err := ledger.Consent(ctx, []address.Address{a})
	if err != nil {
		return v, err
	}
	for _, channel := range []message.Channel{message.SMS, message.WhatsApp} {
		v.State[string(channel)] = string(states[a].On(channel))
		if v.State[string(channel)] == "" {
			v.State[string(channel)] = "none"
		}
	}
	v.Review = states[a].UnderReview()
	history, err := ledger.ConsentHistory(ctx, a)
	if err != nil {
		return v, err
	}
	for _, e := range history {
		v.History = append(v.History, consentEntry{
			string(e.Action), string(e.Channel), string(e.Source), e.Evidence, e.Note, string(e.Org),
			e.OccurredAt.UTC(), e.RecordedAt.UTC(),
		})
	}
	return v, nil
}

func (r *root) consentShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show <address>",
		Short:   "Show what a person agreed to, now and over time",
		Example: "  beckon consent show +14155550123\n  beckon consent show US.1A2B3C --json",
		Args:    exactlyOne("one phone number or WhatsApp id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.withAddress(cmd.Context(), args[0], func(ledger *store.Store, a address.Address) error {
				v, err := viewConsent(cmd.Context(), ledger, a)
				if err != nil {
					return err
				}
				if asJSON {
					return r.printJSON(v)
				}
				r.writeConsentState(&v)
				if len(v.History) == 0 {
					r.printf("no entry on record: transactional messages may be sent, marketing needs an opt-in\n")
					return nil
				}
				table := tabwriter.NewWriter(r.streams.Out, 0, 0, 2, ' ', 0)
				_, _ = fmt.Fprintln(table, "WHEN\tACTION\tCHANNEL\tSOURCE\tEVIDENCE\tNOTE")
				for _, e := range v.History {
					_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", e.OccurredAt.Local().Format(time.DateTime), words(e.Action),
						e.Channel, words(e.Source), e.Evidence, dash(oneLine(e.Note)))
				}
				return table.Flush()
			})
		},
	}
	jsonFlag(cmd, &asJSON, "as one JSON object")
	return cmd
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

func (r *root) writeConsentState(v *consentView) {
	r.printf("%s\n", v.Address)
	shown := map[string]string{
		string(consent.OptIn): "opted in", string(consent.OptOut): "opted out", "none": "nothing on record",
	}
	for _, channel := range []message.Channel{message.SMS, message.WhatsApp} {
		r.printf("  %-9s %s\n", channel, shown[v.State[string(channel)]])
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
				consent.Stop: "an opt-out", consent.Review: "for review: it may be an opt-out", consent.Start: "an opt-in",
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
func (r *root) withAddress(ctx context.Context, text string, do func(*store.Store, address.Address) error) error {
	cfg, err := r.load()
	if err != nil {
		return err
	}
	a, err := parseAddress(text, cfg.DefaultRegion) // before anything is connected to
	if err != nil {
		return err
	}
	return r.withConfiguredLedger(ctx, cfg, func(ledger *store.Store) error { return do(ledger, a) })
}

func (r *root) consentSet(use string, action consent.Action) *cobra.Command {
	var asJSON bool
	var channel, note string
	verb := strings.ReplaceAll(use, "-", " ")
	cmd := &cobra.Command{
		Use:     use + " <address>",
		Short:   "Record that a person wants to " + verb,
		Long:    "Record that a person wants to " + verb + ". It counts for every message that is not sent yet. Each call is an entry of its own.",
		Example: "  beckon consent " + use + " +14155550123 --note 'asked on the phone'\n  beckon consent " + use + " +14155550123 --channel sms",
		Args:    exactlyOne("one phone number or WhatsApp id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			channels := []string{string(consent.AllChannels), string(message.SMS), string(message.WhatsApp)}
			if !slices.Contains(channels, channel) {
				return usagef("there is no channel %q: want %s", channel, strings.Join(channels, ", "))
			}
			return r.withAddress(cmd.Context(), args[0], func(ledger *store.Store, a address.Address) error {
				err := ledger.AddConsent(cmd.Context(), consent.Entry{
					Org: consent.AnyOrg, Address: a, Channel: message.Channel(channel), Action: action, Source: consent.FromOperator,
					Evidence: operator() + " " + uuid.Must(uuid.NewV7()).String(), Note: note,
				})
				if err != nil {
					return err
				}
				v, err := viewConsent(cmd.Context(), ledger, a)
				if err != nil {
					return err
				}
				if asJSON {
					return r.printJSON(v)
				}
				r.writeConsentState(&v)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&channel, "channel", string(consent.AllChannels), "all, sms or whatsapp")
	cmd.Flags().StringVar(&note, "note", "", "why, for whoever reads the record later")
	jsonFlag(cmd, &asJSON, "the new state as one JSON object")
	return cmd
}

// operator is the account that calls, which is the evidence of an entry by hand.
func operator() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "unknown"
}
