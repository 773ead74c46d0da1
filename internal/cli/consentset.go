package cli

import (
	"cmp"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/store"
)

func wordFlags(cmd *cobra.Command, w *consent.Word) (at *string) {
	cmd.Flags().StringVar(&w.Channel, "channel", string(consent.AllChannels), "all, sms or whatsapp")
	cmd.Flags().StringVar(&w.Program, "program", "", "only about this program (default: about everything)")
	cmd.Flags().StringVar(&w.Brand, "brand", "", "only about the programs of this brand")
	cmd.Flags().StringVar(&w.Note, "note", "", "why, for whoever reads the record later")
	cmd.Flags().StringVar(&w.Proof.Operator, "by", "", "who enters it (default: the account that calls)")
	cmd.Flags().StringVar(&w.Proof.Disclosure, "disclosure", "", "the words that the person agreed to")
	cmd.Flags().StringVar(&w.Proof.SourceURL, "source-url", "", "where the person agreed")
	cmd.Flags().StringVar(&w.Proof.IP, "ip", "", "the person's address on the internet")
	cmd.Flags().StringVar(&w.Language, "language", "", "to ask in, with double opt-in (default: that of the newest message to the person)")
	return cmd.Flags().String("at", "", "when it was said, in RFC 3339 (default: now)")
}

// entryOf checks what an operator enters.
func entryOf(w consent.Word, at string) (consent.Entry, error) {
	if at != "" {
		var err error
		if w.OccurredAt, err = time.Parse(time.RFC3339, at); err != nil {
			return consent.Entry{}, usagef("--at: want a time in RFC 3339 such as 2026-05-01T12:00:00Z")
		}
	}
	entry, err := w.Entry(time.Now())
	if err != nil {
		return entry, usagef("%w", err)
	}
	return entry, nil
}

func (r *root) consentSet(use string, action consent.Action, verb string) *cobra.Command {
	var asJSON bool
	var w consent.Word
	var at *string
	cmd := &cobra.Command{
		Use:     use + " <address>",
		Short:   "Record that a person wants to " + verb,
		Long:    "Record that a person wants to " + verb + ". It counts for every message that is not sent yet. Each call is an entry of its own.",
		Example: "  beckon consent " + use + " +14155550123 --note 'asked on the phone'\n  beckon consent " + use + " +14155550123 --channel sms --program newsletter",
		Args:    exactlyOne("one phone number or WhatsApp id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			w.Action, w.Proof.Operator = action, cmp.Or(w.Proof.Operator, operator())
			entry, err := entryOf(w, *at)
			if err != nil {
				return err
			}
			return r.withAddress(cmd.Context(), args[0], func(ledger *store.Store, a address.Address, cfg *config.Config) error {
				entry.Address, entry.Source, entry.Ask = a, consent.FromOperator, cfg.AsksToConfirm()
				entry.Evidence = w.Proof.Operator + " " + uuid.Must(uuid.NewV7()).String()
				err := ledger.AddConsent(cmd.Context(), entry)
				if err != nil {
					return err
				}
				program := cmp.Or(w.Program, entry.Scope.Program())
				v, err := viewConsent(cmd.Context(), ledger, a, program, cfg)
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
	at = wordFlags(cmd, &w)
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
