package cli

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/store"
)

func (r *root) messagesSettle() *cobra.Command {
	var as string
	var asJSON bool
	var d store.Settlement
	cmd := &cobra.Command{
		Use:   "settle <message-id>",
		Short: "Decide by hand how a message in state unknown ended",
		Long: "Decide by hand how a message in state unknown ended, after a look into the Twilio console.\n\n" +
			"--as sent: Twilio has the message. With --sid its further way is followed.\n" +
			"--as absent: Twilio does not have it. It is queued again, or expired when its validity is over.\n\n" +
			"Only a message whose newest attempt is unknown can be settled. Who did it and why is kept in the table audit.",
		Example: "  beckon messages settle 01a20072-a77e-7b61-b08a-2e5f99895abf --as sent --sid SM0123456789abcdef0123456789abcdef --by ana\n" +
			"  beckon messages settle 01a20072-a77e-7b61-b08a-2e5f99895abf --as absent --by ana --note 'not in the console'",
		Args: exactlyOne("the id of one message"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d.MessageID, d.Sent = args[0], as == "sent"
			if err := checkSettlement(as, &d); err != nil {
				return err
			}
			return r.withLedger(cmd.Context(), func(ledger *store.Store, _ *config.Config) error {
				state, err := ledger.Settle(cmd.Context(), d)
				switch {
				case errors.Is(err, store.ErrNotFound):
					return fmt.Errorf("there is no message %s with an attempt", d.MessageID)
				case errors.Is(err, store.ErrSIDTaken):
					return fmt.Errorf("%s belongs to another attempt: see beckon trace %s", d.SID, d.SID)
				case err != nil:
					return err
				case asJSON:
					return r.printJSON(map[string]string{"id": d.MessageID, "state": string(state)})
				}
				r.printf("message %s is %s now\n", d.MessageID, state)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&as, "as", "", "sent or absent")
	cmd.Flags().StringVar(&d.SID, "sid", "", "the message's SID at Twilio, with --as sent")
	cmd.Flags().StringVar(&d.Operator, "by", "", "who decides (default: the account that calls)")
	cmd.Flags().StringVar(&d.Note, "note", "", "why, for whoever reads the record later")
	jsonFlag(cmd, &asJSON, "the new state as one JSON object")
	return cmd
}

func checkSettlement(as string, d *store.Settlement) error {
	switch {
	case as != "sent" && as != "absent":
		return usagef("--as must be sent or absent")
	case d.SID != "" && !d.Sent:
		return usagef("--sid is for --as sent only")
	case d.SID != "" && !regexp.MustCompile(`^(SM|MM)[0-9a-f]{32}$`).MatchString(d.SID):
		return usagef("%q is not a message SID such as SM0123456789abcdef0123456789abcdef", d.SID)
	}
	if d.Operator == "" {
		d.Operator = operator()
	}
	return nil
}
