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

// consentView is what the ledger says of one address.
type consentView struct {
	Address string            `json:"address"`
	Program string            `json:"program"`
	State   map[string]string `json:"state"` // channel -> the newest action, or none
	// Marketing has the channels on which marketing of the program may be sent.
	Marketing []string       `json:"marketing"`
	History   []consentEntry `json:"history"`
	Review    bool           `json:"under_review,omitempty"`
}

type consentEntry struct {
	Action         string    `json:"action"`
	Channel        string    `json:"channel"`
	Source         string    `json:"source"`
	Evidence       string    `json:"evidence"`
	Note           string    `json:"note"`
	Org            string    `json:"org"`
	OccurredAt     time.Time `json:"occurred_at"`
	RecordedAt     time.Time `json:"recorded_at"`
	Scope          string    `json:"scope"`
	Program        string    `json:"program,omitempty"` // of the scope: a program or a brand
	Purpose        string    `json:"purpose,omitempty"`
	Address        string    `json:"address"`
	Disclosure     string    `json:"disclosure,omitempty"`
	DisclosureHash string    `json:"disclosure_sha256,omitempty"`
	SourceURL      string    `json:"source_url,omitempty"`
	IP             string    `json:"ip,omitempty"`
	Operator       string    `json:"operator,omitempty"`
}

func viewEntry(e consent.Entry) consentEntry {
	return consentEntry{
		Action: string(e.Action), Channel: string(e.Channel), Source: string(e.Source), Evidence: e.Evidence, Note: e.Note,
		Org: string(e.Org), OccurredAt: e.OccurredAt.UTC(), RecordedAt: e.RecordedAt.UTC(), Scope: string(e.Scope.KindOrAll()),
		Program: e.Scope.Name, Purpose: string(e.Purpose), Address: string(e.Address), Disclosure: e.Proof.Disclosure,
		DisclosureHash: e.Proof.Hash(), SourceURL: e.Proof.SourceURL, IP: e.Proof.IP, Operator: e.Proof.Operator,
	}
}

// asked is which state a command shows.
type asked struct {
	program     string
	doubleOptIn bool
}

func viewConsent(ctx context.Context, ledger *store.Store, a address.Address, of asked) (consentView, error) {
	v := consentView{Address: string(a), Program: of.program, State: map[string]string{}, Marketing: []string{}, History: []consentEntry{}}
	states, err := ledger.Consent(ctx, []address.Address{a})
	if err != nil {
		return v, err
	}
	for _, channel := range []message.Channel{message.SMS, message.WhatsApp} {
		v.State[string(channel)] = string(states[a].In(channel, of.program))
		if states[a].Granted(channel, of.program, of.doubleOptIn) {
			v.Marketing = append(v.Marketing, string(channel))
		}
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
		v.History = append(v.History, viewEntry(e))
	}
	return v, nil
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
				v, err := viewConsent(cmd.Context(), ledger, a, asked{program, cfg.Consent.DoubleOptIn == "on"})
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
				return r.writeConsentHistory(v.History)
			})
		},
	}
	cmd.Flags().StringVar(&program, "program", message.DefaultProgram, "the program whose state is shown")
	jsonFlag(cmd, &asJSON, "as one JSON object")
	return cmd
}

func (r *root) writeConsentHistory(entries []consentEntry) error {
	table := tabwriter.NewWriter(r.streams.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "WHEN\tACTION\tCHANNEL\tABOUT\tSOURCE\tEVIDENCE\tNOTE")
	for _, e := range entries {
		about := e.Scope
		if e.Program != "" {
			about += " " + e.Program
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.OccurredAt.Local().Format(time.DateTime), words(e.Action),
			e.Channel, about, words(e.Source), oneLine(e.Evidence), dash(oneLine(e.Note)))
	}
	return table.Flush()
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
		string(consent.Confirm): "opted in, confirmed", string(consent.ReOptIn): "opted in again", string(consent.Erase): "erased",
	}
	for _, channel := range []message.Channel{message.SMS, message.WhatsApp} {
		r.printf("  %-9s %s\n", channel, shown[v.State[string(channel)]])
	}
	if len(v.Marketing) > 0 {
		r.printf("  marketing of program %s may go by %s\n", v.Program, strings.Join(v.Marketing, ", "))
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
