package cli

import (
	"cmp"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

// word is what an operator enters about a person.
type word struct {
	channel, program, brand, note, by string
	proof                             consent.Proof
}

func (w *word) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&w.channel, "channel", string(consent.AllChannels), "all, sms or whatsapp")
	cmd.Flags().StringVar(&w.program, "program", "", "only about this program (default: about everything)")
	cmd.Flags().StringVar(&w.brand, "brand", "", "only about the programs of this brand")
	cmd.Flags().StringVar(&w.note, "note", "", "why, for whoever reads the record later")
	cmd.Flags().StringVar(&w.by, "by", "", "who enters it (default: the account that calls)")
	cmd.Flags().StringVar(&w.proof.Disclosure, "disclosure", "", "the words that the person agreed to")
	cmd.Flags().StringVar(&w.proof.SourceURL, "source-url", "", "where the person agreed")
	cmd.Flags().StringVar(&w.proof.IP, "ip", "", "the person's address on the internet")
}

// scope checks channel, program and brand.
func (w *word) scope() (consent.Scope, error) {
	channels := []string{string(consent.AllChannels), string(message.SMS), string(message.WhatsApp)}
	switch {
	case !slices.Contains(channels, w.channel):
		return consent.Scope{}, usagef("there is no channel %q: want %s", w.channel, strings.Join(channels, ", "))
	case w.program != "" && w.brand != "":
		return consent.Scope{}, usagef("give --program or --brand, not both")
	case w.program != "" && !consent.IsProgram(w.program):
		return consent.Scope{}, usagef("program %q must be a name in kebab-case, or brand/name", w.program)
	case w.brand != "" && !consent.IsBrand(w.brand):
		return consent.Scope{}, usagef("brand %q must be a name in kebab-case", w.brand)
	case w.brand != "":
		return consent.Scope{Kind: consent.ScopeBrand, Name: w.brand}, nil
	}
	return consent.ProgramScope(w.program), nil
}

func (r *root) consentSet(use string, action consent.Action, verb string) *cobra.Command {
	var asJSON bool
	var w word
	cmd := &cobra.Command{
		Use:     use + " <address>",
		Short:   "Record that a person wants to " + verb,
		Long:    "Record that a person wants to " + verb + ". It counts for every message that is not sent yet. Each call is an entry of its own.",
		Example: "  beckon consent " + use + " +14155550123 --note 'asked on the phone'\n  beckon consent " + use + " +14155550123 --channel sms --program newsletter",
		Args:    exactlyOne("one phone number or WhatsApp id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			scope, err := w.scope()
			if err != nil {
				return err
			}
			return r.withAddress(cmd.Context(), args[0], func(ledger *store.Store, a address.Address, cfg *config.Config) error {
				w.proof.Operator = cmp.Or(w.by, operator())
				err := ledger.AddConsent(cmd.Context(), consent.Entry{
					Org: consent.AnyOrg, Address: a, Channel: message.Channel(w.channel), Action: action, Scope: scope, Proof: w.proof,
					Source: consent.FromOperator, Evidence: w.proof.Operator + " " + uuid.Must(uuid.NewV7()).String(), Note: w.note,
				})
				if err != nil {
					return err
				}
				program := cmp.Or(w.program, message.DefaultProgram)
				v, err := viewConsent(cmd.Context(), ledger, a, asked{program, cfg.Consent.DoubleOptIn == "on"})
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
	w.flags(cmd)
	jsonFlag(cmd, &asJSON, "the new state as one JSON object")
	return cmd
}

// consentAlias joins two addresses of one person.
func (r *root) consentAlias() *cobra.Command {
	var by string
	cmd := &cobra.Command{
		Use:   "alias <address> <address>",
		Short: "Record that two addresses belong to one person",
		Long: "Record that two addresses belong to one person, a phone number and the id that WhatsApp shows in its place, say. What the person\n" +
			"says under one of them then counts for the other one too. Beckon learns it by itself when Twilio tells both.",
		Example: "  beckon consent alias +14155550123 US.1A2B3C --by ana",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 { //nolint:mnd // as its name says
				return usagef("%s takes two addresses, phone numbers or WhatsApp ids", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.withAddress(cmd.Context(), args[0], func(ledger *store.Store, a address.Address, cfg *config.Config) error {
				same, err := parseAddress(args[1], cfg.DefaultRegion)
				if err != nil {
					return err
				}
				if same == a {
					return usagef("the two addresses are the same")
				}
				if err := ledger.AddAlias(cmd.Context(), a, same, consent.FromOperator, cmp.Or(by, operator())); err != nil {
					return err
				}
				r.printf("%s and %s belong to one person\n", string(a), string(same))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&by, "by", "", "who says so (default: the account that calls)")
	return cmd
}
