package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/stream"
	"github.com/beckonhq/beckon/internal/view"
)

// letterPage is how many dead letters are read together.
const letterPage = 100

func (r *root) deadLetters() *cobra.Command {
	return group("deadletters", "List, show, replay and drop what could not be processed",
		r.deadLettersList(), r.deadLettersShow(),
		r.deadLettersChange("replay", "Put dead letters back on their stream, to be worked on again",
			"Put dead letters back on their stream. A notification that ended as a dead letter is decided again, alone; an envelope\n"+
				"or callback that could not be read is worked on as it came. A letter is removed when the stream has confirmed it.",
			(*deed).replayLetter),
		r.deadLettersChange("drop", "Remove dead letters for good",
			"Remove dead letters for good. What they hold is lost, unless their stream still has it; the audit trail says that they were there.",
			(*deed).dropLetter),
	)
}

// letterFilter narrows a listing of dead letters; zero values do not.
type letterFilter struct {
	stream, org, reason, since string
	limit                      int

	from    time.Time
	orgID   notification.OrgID
	numbers []uint64
}

func (f *letterFilter) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.stream, "stream", "", "only those from this stream: NOTIFICATIONS, CALLBACKS or MESSAGES")
	cmd.Flags().StringVar(&f.org, "org", "", "only those of this organisation")
	cmd.Flags().StringVar(&f.reason, "reason", "", "only those whose reason contains this text")
	cmd.Flags().StringVar(&f.since, "since", "", "only those since: how long ago (90m, 2h, 7d) or a time")
	cmd.Flags().IntVar(&f.limit, "limit", 0, "most letters (0: all)")
}

// check reads the flags and the ids.
func (f *letterFilter) check(ids []string) error {
	var err error
	if f.since != "" {
		if f.from, err = parseWhen("since", f.since, time.Now()); err != nil {
			return err
		}
	}
	if f.org != "" {
		if f.orgID, err = notification.ParseOrgID(f.org); err != nil {
			return usagef("--org: %w", err)
		}
	}
	f.stream = strings.ToUpper(f.stream)
	if f.stream != "" && !slices.Contains(stream.Names(), stream.Name(f.stream)) {
		return usagef("there is no stream %q: the streams are %v", f.stream, stream.Names())
	}
	if f.limit < 0 {
		return usagef("--limit must be 0 (all) or more")
	}
	for _, id := range ids {
		number, err := strconv.ParseUint(id, 10, 64)
		if err != nil || number == 0 {
			return usagef("%q is not the id of a dead letter: beckon deadletters list shows them", id)
		}
		f.numbers = append(f.numbers, number)
	}
	return nil
}

func (f *letterFilter) fits(letter *stream.StoredDeadLetter) bool {
	return (f.stream == "" || letter.Stream == stream.Name(f.stream)) && (f.orgID == "" || letter.Org == f.orgID) &&
		strings.Contains(strings.ToLower(letter.Reason), strings.ToLower(f.reason)) && !letter.Stored.Before(f.from) &&
		(len(f.numbers) == 0 || slices.Contains(f.numbers, letter.Number))
}

// eachLetter calls do for the dead letters that fit, oldest first.
func (f *letterFilter) each(ctx context.Context, belt *stream.Client, do func(*stream.StoredDeadLetter) error) error {
	found, next := 0, uint64(0)
	for {
		letters, err := belt.DeadLettersFrom(ctx, next, letterPage)
		if err != nil || len(letters) == 0 {
			return err
		}
		for i := range letters {
			next = letters[i].Number + 1
			if !f.fits(&letters[i]) {
				continue
			}
			if err := do(&letters[i]); err != nil {
				return err
			}
			if found++; found == f.limit {
				return nil
			}
		}
	}
}

func (r *root) deadLettersList() *cobra.Command {
	var filter letterFilter
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List dead letters, oldest first, without what they hold",
		Example: "  beckon deadletters list --since 24h\n  beckon deadletters list --stream CALLBACKS --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := filter.check(nil); err != nil {
				return err
			}
			cfg, err := r.load()
			if err != nil {
				return err
			}
			return r.withStreams(cmd.Context(), cfg, func(belt *stream.Client) error {
				if asJSON {
					return filter.each(cmd.Context(), belt, func(l *stream.StoredDeadLetter) error { return r.printJSON(view.NewLetter(l)) })
				}
				table := tabwriter.NewWriter(r.streams.Out, 0, 0, 2, ' ', 0)
				_, _ = fmt.Fprintln(table, "ID\tSTORED\tFROM\tORGANISATION\tNOTIFICATION\tREASON")
				n := 0
				err := filter.each(cmd.Context(), belt, func(l *stream.StoredDeadLetter) error {
					n++
					_, err := fmt.Fprintf(table, "%d\t%s\t%s %d\t%s\t%s\t%s\n", l.Number, l.Stored.Local().Format(time.DateTime), l.Stream, l.Seq,
						dash(string(l.Org)), dash(string(l.Only)), oneLine(l.Reason))
					return err
				})
				if err := errors.Join(err, table.Flush()); err != nil {
					return err
				}
				r.printf("%s\n", plural(n, "dead letter"))
				return nil
			})
		},
	}
	filter.add(cmd)
	jsonFlag(cmd, &asJSON, "one JSON object a line")
	return cmd
}

func (r *root) deadLettersShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show <id>",
		Short: "Show a dead letter with its history and what it holds (personal data)",
		Long: "Show a dead letter: why it is one, what was tried, and the original envelope or form. The original holds personal data;\n" +
			"it is shown on this terminal only.",
		Example: "  beckon deadletters show 3",
		Args:    exactlyOne("the id of one dead letter"),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter := letterFilter{limit: 1}
			if err := filter.check(args); err != nil {
				return err
			}
			cfg, err := r.load()
			if err != nil {
				return err
			}
			return r.withStreams(cmd.Context(), cfg, func(belt *stream.Client) error {
				found := false
				err := filter.each(cmd.Context(), belt, func(l *stream.StoredDeadLetter) error {
					found = true
					if asJSON {
						return r.printJSON(view.NewWholeLetter(l))
					}
					r.writeLetter(l)
					return nil
				})
				if err == nil && !found {
					return fmt.Errorf("there is no dead letter %s", args[0])
				}
				return err
			})
		},
	}
	jsonFlag(cmd, &asJSON, "as one JSON object")
	return cmd
}

func (r *root) writeLetter(l *stream.StoredDeadLetter) {
	r.printf("dead letter %d, stored %s\n", l.Number, l.Stored.Local().Format(traceTime))
	r.printf("  from          %s, sequence %d, subject %s\n", l.Stream, l.Seq, l.Subject)
	r.printf("  first stored  %s\n", l.First.Local().Format(traceTime))
	r.printf("  organisation  %s\n", dash(string(l.Org)))
	if l.Only != "" {
		r.printf("  notification  %s (alone; the others of its envelope are decided)\n", l.Only)
	}
	r.printf("  reason        %s\n", oneLine(l.Reason))
	for i, what := range l.History {
		r.printf("  %-12s  %s\n", map[bool]string{true: "history"}[i == 0], oneLine(what))
	}
	if len(l.Data) == 0 {
		r.printf("  it was stored without the original, which is read from its stream when it is replayed\n")
		return
	}
	r.printf("\n%s\n", visible(string(l.Data)))
}

// visible keeps control characters from the terminal, but for line breaks and tabs.
func visible(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' && c != '\n' && c != '\t' || c == 0x7f || c >= 0x80 && c < 0xa0 {
			return '?'
		}
		return c
	}, text)
}

// deadLettersChange makes the commands that replay or drop.
func (r *root) deadLettersChange(
	use, short, long string, do func(*deed, context.Context, *stream.StoredDeadLetter, string) error,
) *cobra.Command {
	var filter letterFilter
	var order orderFlags
	var all bool
	cmd := &cobra.Command{
		Use: use + " <id>... | --all", Short: short, Long: long,
		Example: "  beckon deadletters " + use + " 3 4\n  beckon deadletters " + use + " --all --reason 'decode the envelope' --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return usagef("%s takes either ids or --all with a filter", cmd.CommandPath())
			}
			if err := filter.check(args); err != nil {
				return err
			}
			return r.withBoth(cmd.Context(), func(d *deed, _ *config.Config) error {
				d.by = order.operator()
				return r.changeLetters(cmd.Context(), d, &letterChange{verb: use, filter: &filter, yes: order.yes, do: do})
			})
		},
	}
	filter.add(cmd)
	order.add(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "all letters that fit the filter")
	return cmd
}

// letterChange is what is to be done to the letters that fit.
type letterChange struct {
	verb   string
	filter *letterFilter
	yes    bool // do not ask
	do     func(*deed, context.Context, *stream.StoredDeadLetter, string) error
}

func (r *root) changeLetters(ctx context.Context, d *deed, c *letterChange) error {
	var numbers []uint64
	err := c.filter.each(ctx, d.belt, func(l *stream.StoredDeadLetter) error {
		numbers = append(numbers, l.Number)
		return nil
	})
	if err != nil {
		return err
	}
	for _, number := range c.filter.numbers {
		if !slices.Contains(numbers, number) {
			return fmt.Errorf("there is no dead letter %d", number)
		}
	}
	if len(numbers) == 0 {
		r.printf("no dead letter fits\n")
		return nil
	}
	if !c.yes {
		if err := r.confirm(fmt.Sprintf("This will %s %s. Go on?", c.verb, plural(len(numbers), "dead letter"))); err != nil {
			return err
		}
	}
	order, done := uuid.Must(uuid.NewV7()).String(), 0
	exact := letterFilter{numbers: numbers} // those that were counted, not what came since
	var failed []error
	err = exact.each(ctx, d.belt, func(l *stream.StoredDeadLetter) error {
		if err := c.do(d, ctx, l, order); err != nil {
			failed = append(failed, fmt.Errorf("%s dead letter %d: %w", c.verb, l.Number, err))
			return ctx.Err()
		}
		done++
		return nil
	})
	r.printf("%s: %s\n", c.verb, plural(done, "dead letter"))
	return errors.Join(append(failed, err)...)
}

// letterNote is what the audit trail keeps of a dead letter.
type letterNote struct {
	Letter       uint64 `json:"letter"`
	Stream       string `json:"stream"`
	Seq          uint64 `json:"seq"`
	Org          string `json:"org,omitempty"`
	Notification string `json:"notification_id,omitempty"`
	Reason       string `json:"reason"`
	Replay       string `json:"replay_id,omitempty"`
}

func (d *deed) noteLetter(ctx context.Context, action string, l *stream.StoredDeadLetter, replay string) error {
	subject := string(l.Only)
	if subject == "" {
		subject = fmt.Sprintf("%s/%d", l.Stream, l.Seq)
	}
	return d.note(ctx, action, subject, letterNote{l.Number, string(l.Stream), l.Seq, string(l.Org), string(l.Only), l.Reason, replay})
}

// replayLetter puts a letter back and then removes it. After a crash in between it is put back twice, which the ledger finds out.
func (d *deed) replayLetter(ctx context.Context, l *stream.StoredDeadLetter, order string) error {
	if err := d.noteLetter(ctx, "deadletters.replay", l, order); err != nil {
		return err
	}
	if _, err := d.belt.PutLetterBack(ctx, *l, order); err != nil {
		return err
	}
	return d.belt.DropDeadLetter(ctx, l.Number)
}

func (d *deed) dropLetter(ctx context.Context, l *stream.StoredDeadLetter, _ string) error {
	if err := d.noteLetter(ctx, "deadletters.drop", l, ""); err != nil {
		return err
	}
	return d.belt.DropDeadLetter(ctx, l.Number)
}
