package cli

import (
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/prices"
	"github.com/beckonhq/beckon/internal/store"
)

// centDigits are the decimals of an estimated cost: messages cost fractions of a cent.
const centDigits = 4

// statsFlags are the flags of stats.
type statsFlags struct {
	since, until  string
	zone          string
	by            []string
	asJSON, asCSV bool
}

func (r *root) stats() *cobra.Command {
	var flags statsFlags
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Sum up what was sent, delivered, read, replied to, and what it cost",
		Long: "Sum up the attempts to send. SENT is those that Twilio took: each is DELIVERED, FAILED or OPEN (no final word yet). REFUSED is those\n" +
			"that Twilio did not take; FAILED_BY_CODE has the codes of both. TWICE is messages that were delivered although a later attempt,\n" +
			"for example by SMS, was made and delivered too. A message that fell back to another channel counts on both.\n" +
			"Days, and times without a zone, are those of --zone. Costs are estimated when BECKON_PRICES_FILE names a file with prices.\n\n" +
			"Dimensions: " + strings.Join(store.Dimensions(), ", ") + ".",
		Example: "  beckon stats --since 7d\n  beckon stats --since 2026-05-01 --zone Europe/Berlin --by rule,day --csv",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query, err := flags.query(time.Now())
			if err != nil {
				return err
			}
			return r.withLedger(cmd.Context(), func(ledger *store.Store, cfg *config.Config) error {
				table, err := loadPrices(cfg.PricesFile)
				if err != nil {
					return err
				}
				found, err := ledger.Figures(cmd.Context(), query)
				if err != nil {
					return err
				}
				return r.writeFigures(newFigures(query.By, found, table), flags)
			})
		},
	}
	cmd.Flags().StringVar(&flags.since, "since", "", "from when on: how long ago (90m, 2h, 7d) or a time")
	cmd.Flags().StringVar(&flags.until, "until", "", "until when, the same")
	cmd.Flags().StringVar(&flags.zone, "zone", "UTC", "time zone of the days, such as Europe/Berlin")
	cmd.Flags().StringSliceVar(&flags.by, "by", []string{"rule", "channel"}, "what to group by, with commas; empty for one sum")
	cmd.Flags().BoolVar(&flags.asCSV, "csv", false, "as CSV")
	jsonFlag(cmd, &flags.asJSON, "one JSON object a line")
	return cmd
}

func (f *statsFlags) query(now time.Time) (store.FiguresQuery, error) {
	q := store.FiguresQuery{By: f.by, Zone: f.zone}
	zone, err := time.LoadLocation(f.zone)
	if err != nil || f.zone == "Local" {
		return q, usagef("--zone is %q: want a time zone such as Europe/Berlin, or UTC", f.zone)
	}
	for i, name := range f.by {
		switch {
		case !slices.Contains(store.Dimensions(), name):
			return q, usagef("--by %s: want some of %s", name, strings.Join(store.Dimensions(), ", "))
		case slices.Contains(f.by[:i], name):
			return q, usagef("--by %s comes twice", name)
		}
	}
	if f.asJSON && f.asCSV {
		return q, usagef("--json and --csv: want one of them")
	}
	if f.since != "" {
		if q.Since, err = parseWhenIn("since", f.since, now, zone); err != nil {
			return q, err
		}
	}
	if f.until != "" {
		if q.Until, err = parseWhenIn("until", f.until, now, zone); err != nil {
			return q, err
		}
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Until.After(q.Since) {
		return q, usagef("--until is not after --since")
	}
	return q, nil
}

// loadPrices is nil without a file.
func loadPrices(path string) (*prices.Table, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // there are none
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("read BECKON_PRICES_FILE: %w", err)
	}
	table, err := prices.Load(path, data)
	if err != nil {
		return nil, usageError{err}
	}
	return table, nil
}

// figureView is one line of stats.
type figureView struct {
	By        map[string]string `json:"by"`
	Sent      int64             `json:"sent"`
	Delivered int64             `json:"delivered"`
	Read      int64             `json:"read"`
	Failed    int64             `json:"failed"`
	Open      int64             `json:"open"`
	Refused   int64             `json:"refused"`
	Codes     map[string]int64  `json:"failed_by_code"`
	Replied   int64             `json:"replied"`
	OptedOut  int64             `json:"opted_out"`
	Segments  int64             `json:"segments"`
	Twice     int64             `json:"delivered_twice"`
	Cost      string            `json:"estimated_cost,omitempty"` // a decimal
	Currency  string            `json:"currency,omitempty"`
	Unpriced  int64             `json:"unpriced,omitempty"` // messages that the file has no price for
}

func newFigures(by []string, found []store.Figure, table *prices.Table) []figureView {
	views := make([]figureView, len(found))
	for i, f := range found {
		v := figureView{
			By: map[string]string{}, Sent: f.Sent, Delivered: f.Delivered, Read: f.Read, Failed: f.Failed, Open: f.Open, Refused: f.Refused,
			Codes: map[string]int64{}, Twice: f.Twice, Replied: f.Replied, OptedOut: f.OptedOut, Segments: f.Segments,
		}
		for j, name := range by {
			v.By[name] = f.By[j]
		}
		for code, n := range f.Codes {
			v.Codes[strconv.Itoa(code)] = n
		}
		if table != nil {
			v.Cost, v.Unpriced = cost(f, table)
			v.Currency = table.Currency()
		}
		views[i] = v
	}
	return views
}

func cost(f store.Figure, table *prices.Table) (amount string, unpriced int64) {
	sum := new(big.Rat)
	for _, c := range f.Charged {
		one, known := table.Cost(c.Channel, c.Country, c.Category, c.Messages, c.Segments)
		if !known {
			unpriced += c.Messages
		}
		sum.Add(sum, one)
	}
	return sum.FloatString(centDigits), unpriced
}

func (r *root) writeFigures(views []figureView, flags statsFlags) error {
	if flags.asJSON {
		for _, v := range views {
			if err := r.printJSON(v); err != nil {
				return err
			}
		}
		return nil
	}
	priced := slices.ContainsFunc(views, func(v figureView) bool { return v.Currency != "" })
	head := append(slices.Clone(flags.by), "sent", "delivered", "read", "failed", "open", "refused", "failed_by_code", "replied", "opted_out", "segments",
		"twice")
	if priced {
		head = append(head, "estimated_cost", "currency", "unpriced")
	}
	if flags.asCSV {
		out := csv.NewWriter(r.streams.Out)
		err := out.Write(head)
		for _, v := range views {
			err = errors.Join(err, out.Write(v.cells(flags.by, priced)))
		}
		out.Flush()
		return errors.Join(err, out.Error())
	}
	table := tabwriter.NewWriter(r.streams.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, strings.ToUpper(strings.Join(head, "\t")))
	for _, v := range views {
		cells := v.cells(flags.by, priced)
		for i := range cells {
			cells[i] = dash(cells[i])
		}
		_, _ = fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	return table.Flush()
}

func (v *figureView) cells(by []string, priced bool) []string {
	var cells []string
	for _, name := range by {
		cells = append(cells, v.By[name])
	}
	var codes []string
	for _, code := range slices.Sorted(maps.Keys(v.Codes)) {
		codes = append(codes, fmt.Sprintf("%s:%d", code, v.Codes[code]))
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	cells = append(cells, number(v.Sent), number(v.Delivered), number(v.Read), number(v.Failed), number(v.Open), number(v.Refused),
		strings.Join(codes, " "), number(v.Replied), number(v.OptedOut), number(v.Segments), number(v.Twice))
	if priced {
		cells = append(cells, v.Cost, v.Currency, number(v.Unpriced))
	}
	return cells
}
