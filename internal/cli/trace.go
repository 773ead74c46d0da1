package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/view"
)

func (r *root) trace() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "trace <notification-id | message-id | message-sid | record-id>",
		Short: "Show the whole way of a notification, message or record",
		Long: "Show the whole way of a notification, message or record: decisions, what the gates said, attempts, callbacks, replies, dead\n" +
			"letters, and what operators did. The last line says why the newest message was not sent, or what it waits for.",
		Example: "  beckon trace 006000000000001AAA",
		Args:    exactlyOne("one id: of a notification, a message or a record"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.withLedger(cmd.Context(), func(ledger *store.Store, cfg *config.Config) error {
				trace, err := ledger.Trace(cmd.Context(), args[0])
				if errors.Is(err, store.ErrNotFound) {
					return r.notInLedger(cmd.Context(), cfg, args[0])
				}
				if err != nil {
					return err
				}
				shown := view.NewTrace(trace, r.lettersAbout(cmd.Context(), cfg, trace)...)
				if asJSON {
					return r.printJSON(shown)
				}
				return writeTrace(r.streams.Out, shown)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as one JSON object")
	return cmd
}

// lettersAbout looks among the dead letters; without NATS the ledger's part is shown alone.
func (r *root) lettersAbout(ctx context.Context, cfg *config.Config, trace *store.Trace) (letters []stream.StoredDeadLetter) {
	err := r.withStreams(ctx, cfg, func(belt *stream.Client) (err error) {
		letters, err = belt.FindDeadLetters(ctx, view.AboutAny(trace))
		return err
	})
	if err != nil {
		r.complain("beckon: dead letters are not looked at: %v\n", err)
	}
	return letters
}

// notInLedger says of an id that was never decided where it may be: in a dead letter, or still before the router.
func (r *root) notInLedger(ctx context.Context, cfg *config.Config, id string) error {
	nothing := fmt.Errorf("nothing has the id %s: no notification, message or record", id)
	short := []byte(notification.ID(id).Short())
	return r.withStreams(ctx, cfg, func(belt *stream.Client) error {
		letters, err := belt.FindDeadLetters(ctx, func(l *stream.StoredDeadLetter) bool { return bytes.Contains(l.Data, short) })
		if err != nil {
			return errors.Join(nothing, err)
		}
		if len(letters) > 0 {
			return fmt.Errorf("%w; dead letter %d mentions it: beckon deadletters show %d", nothing, letters[0].Number, letters[0].Number)
		}
		pending, err := belt.Pending(ctx)
		if err != nil {
			return errors.Join(nothing, err)
		}
		if waiting := int(pending[stream.Router].Waiting) + pending[stream.Router].Unfinished; waiting > 0 {
			return fmt.Errorf("%w; %s wait before the router and may hold it", nothing, plural(waiting, "envelope"))
		}
		return nothing
	})
}
