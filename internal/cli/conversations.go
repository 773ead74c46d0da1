package cli

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/view"
	"github.com/beckonhq/beckon/templates"
)

func (r *root) conversations() *cobra.Command {
	return group("conversations", "Read what people answered, and answer them",
		r.conversationsList(), r.conversationsShow(), r.conversationsReply(), r.conversationsAssign(), r.conversationsClose())
}

func (r *root) conversationsList() *cobra.Command {
	var asJSON bool
	var state, with string
	var filter store.ConversationFilter
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List conversations, the one with the newest reply first",
		Example: "  beckon conversations list --state open --marked\n  beckon conversations list --assigned-to ana --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter.State = store.ConversationState(state)
			if state != "" && filter.State != store.ConversationOpen && filter.State != store.ConversationClosed {
				return usagef("--state must be open or closed")
			}
			if filter.Limit < 0 {
				return usagef("--limit must be 0 (all) or more")
			}
			return r.withLedger(cmd.Context(), func(ledger *store.Store, cfg *config.Config) error {
				filter.With = numberOf(with, cfg)
				if asJSON {
					return ledger.Conversations(cmd.Context(), filter, func(c store.Conversation) error {
						return r.printJSON(view.NewConversation(c))
					})
				}
				return r.conversationTable(cmd, ledger, filter)
			})
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "open or closed")
	cmd.Flags().StringVar(&with, "with", "", "only those with this number")
	cmd.Flags().StringVar(&filter.AssignedTo, "assigned-to", "", "only those of this person")
	cmd.Flags().BoolVar(&filter.Marked, "marked", false, "only those that wait for a human")
	cmd.Flags().IntVar(&filter.Limit, "limit", 0, "most conversations to list (0: all)")
	jsonFlag(cmd, &asJSON, "one JSON object a line")
	return cmd
}

// numberOf reads a number as people write it; what is none is kept as written.
func numberOf(text string, cfg *config.Config) address.Address {
	number, err := address.Parse(text, cfg.DefaultRegion)
	if err != nil {
		return address.Address(text)
	}
	return number
}

func (r *root) conversationTable(cmd *cobra.Command, ledger *store.Store, filter store.ConversationFilter) error {
	table := tabwriter.NewWriter(r.streams.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "LAST REPLY\tSTATE\tWAITS\tASSIGNED TO\tCHANNEL\tWITH\tTEXT\tID")
	n := 0
	err := ledger.Conversations(cmd.Context(), filter, func(c store.Conversation) error {
		n++
		waits := ""
		if !c.MarkedAt.IsZero() {
			waits = "for a human"
		}
		_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.LastInboundAt.Local().Format(time.DateTime), c.State, dash(waits),
			dash(oneLine(c.AssignedTo)), c.Channel, string(c.With), dash(oneLine(c.LastText)), c.ID)
		return err
	})
	if err := errors.Join(err, table.Flush()); err != nil {
		return err
	}
	r.printf("%s\n", plural(n, "conversation"))
	return nil
}

// conversationArg is the argument of the commands about one conversation.
const conversationArg = "the id of one conversation, or the number of a person with whom there is one only"

// findConversation takes an id or a person's number.
func (r *root) findConversation(cmd *cobra.Command, ledger *store.Store, cfg *config.Config, arg string) (*store.Conversation, error) {
	filter := store.ConversationFilter{ID: arg}
	if uuid.Validate(arg) != nil {
		filter = store.ConversationFilter{With: numberOf(arg, cfg)}
	}
	var found []store.Conversation
	err := ledger.Conversations(cmd.Context(), filter, func(c store.Conversation) error { found = append(found, c); return nil })
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, fmt.Errorf("there is no conversation %s: beckon conversations list shows them", arg)
	case len(found) > 1:
		ids := make([]string, len(found))
		for i, c := range found {
			ids[i] = fmt.Sprintf("%s (%s by %s)", c.ID, c.Channel, c.Sender)
		}
		return nil, fmt.Errorf("there are several conversations with %s, name one by its id: %s", arg, strings.Join(ids, ", "))
	}
	return &found[0], nil
}

func (r *root) conversationsShow() *cobra.Command {
	var asJSON bool
	limit := 50
	cmd := &cobra.Command{
		Use:     "show <id|number>",
		Short:   "Show a conversation with its newest messages, in both directions",
		Example: "  beckon conversations show +14155550123\n  beckon conversations show 019ab0c4-... --json",
		Args:    exactlyOne(conversationArg),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return usagef("--limit must be 1 or more")
			}
			return r.withLedger(cmd.Context(), func(ledger *store.Store, cfg *config.Config) error {
				c, err := r.findConversation(cmd, ledger, cfg, args[0])
				if err != nil {
					return err
				}
				newest, err := ledger.Newest(cmd.Context(), c.ID) // before the turns, so that it never names what they lack
				if err != nil {
					return err
				}
				turns, err := ledger.Turns(cmd.Context(), c, time.Time{}, limit)
				if err != nil {
					return err
				}
				v := view.NewWholeConversation(c, turns, newest)
				if asJSON {
					return r.printJSON(v)
				}
				return r.writeConversation(v)
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "most messages to show, the newest")
	jsonFlag(cmd, &asJSON, "one JSON object")
	return cmd
}

func (r *root) writeConversation(v view.WholeConversation) error {
	r.printf("conversation %s\n", v.ID)
	r.printf("  with %s on %s by %s, %s, assigned to %s\n", v.With, v.Channel, v.Sender, v.State, orNobody(v.AssignedTo))
	r.printf("  record %s, contact %s\n", dash(v.RecordID), dash(v.ContactID))
	if v.Marked {
		r.printf("  waits for a human since %s, says the rule %s\n", v.MarkedAt.Local().Format(time.DateTime), v.MarkedBy)
	}
	if v.PausedUntil != nil && v.PausedUntil.After(time.Now()) {
		r.printf("  automatic answers pause until %s\n", v.PausedUntil.Local().Format(time.DateTime))
	}
	if v.WindowEnds != nil {
		r.printf("  free text may be sent until %s\n", v.WindowEnds.Local().Format(time.DateTime))
	}
	table := tabwriter.NewWriter(r.streams.Out, 0, 0, 2, ' ', 0)
	for _, t := range v.Turns {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", t.At.Local().Format(time.DateTime), speaker(t), dash(strings.TrimSpace(t.State+" "+t.Reason)), said(t))
	}
	return table.Flush()
}

func orNobody(name string) string {
	if name == "" {
		return "nobody"
	}
	return oneLine(name)
}

// speaker is who said it.
func speaker(t view.Turn) string {
	switch {
	case t.Direction == "inbound":
		return "person"
	case t.By != "":
		return oneLine(t.By)
	case t.Rule != "":
		return t.Rule
	}
	return t.Origin
}

// said is a message in one line.
func said(t view.Turn) string {
	text := oneLine(t.Text)
	if text == "" && t.Template != "" {
		text = "(template " + t.Template + placeholders(t.Variables) + ")"
	}
	parts := []string{text}
	for _, m := range t.Media {
		parts = append(parts, fmt.Sprintf("[%s: %s]", oneLine(m.ContentType), m.Path))
	}
	return dash(strings.TrimSpace(strings.Join(parts, " ")))
}

// answerFlags are those of conversations reply.
type answerFlags struct {
	text, template, language string
	vars                     map[string]string
	by, key, seen            string
	asJSON                   bool
}

func (r *root) conversationsReply() *cobra.Command {
	var flags answerFlags
	cmd := &cobra.Command{
		Use:   "reply <id|number> (--text <text> | --template <name>)",
		Short: "Answer in a conversation",
		Long: "Answer in a conversation, on its channel. The message goes the way of all messages: an opt-out stops it. Reply rules pause for\n" +
			"a while (BECKON_REPLY_PAUSE). On WhatsApp free text is allowed for 24 hours after the person's last message; later an approved\n" +
			"template is: --template names one of the template files, --var gives its variables.",
		Example: "  beckon conversations reply +14155550123 --text 'We are on our way.'\n" +
			"  beckon conversations reply 019ab0c4-... --template appointment-reminder --var first_name=Ana --language es",
		Args: exactlyOne(conversationArg),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (flags.text == "") == (flags.template == "") {
				return usagef("%s takes either --text or --template", cmd.CommandPath())
			}
			return r.withLedger(cmd.Context(), func(ledger *store.Store, cfg *config.Config) error {
				c, err := r.findConversation(cmd, ledger, cfg, args[0])
				if err != nil {
					return err
				}
				content, err := r.answerContent(flags)
				if err != nil {
					return err
				}
				id, made, err := ledger.AnswerConversation(cmd.Context(), store.Answer{
					ConversationID: c.ID, Content: content, Template: flags.template, Language: flags.language, By: orOperator(flags.by),
					Key: flags.key, Seen: flags.seen, Pause: cfg.Replies.Pause,
				})
				if errors.Is(err, store.ErrWindow) {
					return fmt.Errorf("%w: see --template", err)
				}
				if err != nil {
					return err
				}
				if flags.asJSON {
					return r.printJSON(map[string]any{"message_id": id, "made": made})
				}
				if !made {
					r.printf("this answer was given before: beckon trace %s\n", id)
					return nil
				}
				r.printf("the answer is queued: beckon trace %s\n", id)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&flags.text, "text", "", "what to write")
	cmd.Flags().StringVar(&flags.template, "template", "", "the template to write by")
	cmd.Flags().StringToStringVar(&flags.vars, "var", nil, "a variable of the template, name=value")
	cmd.Flags().StringVar(&flags.language, "language", "", "of the template")
	cmd.Flags().StringVar(&flags.by, "by", "", "who writes (default: the account that calls)")
	cmd.Flags().StringVar(&flags.key, "key", "", "a second answer with the same key is not sent")
	cmd.Flags().StringVar(&flags.seen, "seen", "", "answer only if this is still the newest, as show --json names it")
	jsonFlag(cmd, &flags.asJSON, "one JSON object")
	return cmd
}

// answerContent is what the flags say, for every channel.
func (r *root) answerContent(flags answerFlags) (message.Content, error) {
	if flags.template == "" {
		content, err := templates.FreeText(flags.text)
		if err != nil {
			return content, usagef("--text: %w", err)
		}
		return content, nil
	}
	p, err := r.loadTemplates(policyFlags{})
	if err != nil {
		return message.Content{}, err
	}
	if !p.templates.Has(flags.template) {
		return message.Content{}, usagef("there is no template %q: beckon templates list shows them", flags.template)
	}
	vars := make(map[string]any, len(flags.vars))
	for name, value := range flags.vars {
		vars[name] = value
	}
	content, err := p.templates.Render(flags.template, flags.language, vars)
	if content.SMS == nil && content.WhatsApp == nil && err != nil {
		return content, err
	}
	return content, nil // a channel that can't be rendered is missing: the ledger says so if it is the one
}

func orOperator(name string) string {
	if name == "" {
		return operator()
	}
	return name
}

func (r *root) conversationsAssign() *cobra.Command {
	var to, by string
	cmd := &cobra.Command{
		Use:     "assign <id|number>",
		Short:   "Give a conversation to somebody",
		Example: "  beckon conversations assign +14155550123 --to ana\n  beckon conversations assign 019ab0c4-... --to ''",
		Args:    exactlyOne(conversationArg),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("to") {
				return usagef("%s takes --to with a name, or '' for nobody", cmd.CommandPath())
			}
			return r.withConversation(cmd, args[0], func(ledger *store.Store, c *store.Conversation) error {
				if err := ledger.AssignConversation(cmd.Context(), c.ID, to, orOperator(by)); err != nil {
					return err
				}
				r.printf("the conversation is assigned to %s\n", orNobody(to))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "a name (required); empty: nobody")
	cmd.Flags().StringVar(&by, "by", "", "who does so (default: the account that calls)")
	return cmd
}

func (r *root) conversationsClose() *cobra.Command {
	var by string
	cmd := &cobra.Command{
		Use:     "close <id|number>",
		Short:   "Close a conversation; the person's next reply opens it again",
		Example: "  beckon conversations close +14155550123",
		Args:    exactlyOne(conversationArg),
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.withConversation(cmd, args[0], func(ledger *store.Store, c *store.Conversation) error {
				if err := ledger.CloseConversation(cmd.Context(), c.ID, orOperator(by)); err != nil {
					return err
				}
				r.printf("the conversation is closed\n")
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&by, "by", "", "who does so (default: the account that calls)")
	return cmd
}

func (r *root) withConversation(cmd *cobra.Command, arg string, do func(*store.Store, *store.Conversation) error) error {
	return r.withLedger(cmd.Context(), func(ledger *store.Store, cfg *config.Config) error {
		c, err := r.findConversation(cmd, ledger, cfg, arg)
		if err != nil {
			return err
		}
		return do(ledger, c)
	})
}
