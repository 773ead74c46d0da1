package cli

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/quiet"
)

// hoursFlags are what `beckon hours` is asked.
type hoursFlags struct {
	hints     quiet.Hints
	window    string
	marketing bool
	at        string
	asJSON    bool
}

// hoursView is what `beckon hours --json` gives.
type hoursView struct {
	To      string     `json:"to"`
	Country string     `json:"country"`
	Regions []string   `json:"regions"`
	Zones   []string   `json:"zones"`
	By      string     `json:"by"` // what told the place: time_zone, address, number, nothing
	Rows    []hoursRow `json:"rows"`
	At      time.Time  `json:"at"`
	Open    bool       `json:"open"`
	Opens   *time.Time `json:"opens"` // null: not within two weeks
	Until   *time.Time `json:"until"` // null: no end
	Why     string     `json:"why,omitempty"`
}

type hoursRow struct {
	Name       string   `json:"name"`
	Zone       string   `json:"zone"`
	Hours      string   `json:"hours"`
	Closed     []string `json:"closed,omitempty"`
	Limit      string   `json:"limit,omitempty"` // on marketing about one subject
	Confidence string   `json:"confidence"`
	Source     string   `json:"source"`
}

func (r *root) hours() *cobra.Command {
	var flags hoursFlags
	cmd := &cobra.Command{
		Use:   "hours NUMBER",
		Short: "Show when a person may be written to, and why",
		Long: "Show where the owner of a phone number is taken to be, which rows of the table of quiet hours hold there, and whether\n" +
			"a message may go now, or at another time. The same code decides as in beckon serve; no server is needed.",
		Example: "  beckon hours +13055550123\n  beckon hours +13055550123 --state TX --at 2026-07-04T20:30:00-05:00",
		Args:    exactlyOne("one phone number"),
		RunE:    func(_ *cobra.Command, args []string) error { return r.showHours(args[0], flags) },
	}
	cmd.Flags().StringVar(&flags.hints.Zone, "zone", "", "the person's time zone, as a rule's place.time_zone gives it")
	cmd.Flags().StringVar(&flags.hints.Country, "country", "", "the person's country, code or English name")
	cmd.Flags().StringVar(&flags.hints.State, "state", "", "the person's state or province, code or English name")
	cmd.Flags().StringVar(&flags.hints.PostalCode, "postal-code", "", "the person's postal code")
	cmd.Flags().StringVar(&flags.window, "window", string(quiet.Respect), "as a rule's quiet_hours: respect, ignore, or the name of a window")
	cmd.Flags().BoolVar(&flags.marketing, "marketing", false, "for a marketing message")
	cmd.Flags().StringVar(&flags.at, "at", "", "the moment to ask about, such as 2026-07-04T20:30:00-05:00 (default: now)")
	jsonFlag(cmd, &flags.asJSON, "one JSON object")
	return cmd
}

func (r *root) showHours(number string, flags hoursFlags) error {
	cfg, err := r.load()
	if err != nil {
		return err
	}
	to, err := address.ParsePerson(number, cfg.DefaultRegion)
	if err != nil {
		return usagef("the number is %w: write it as +14155550123, or an id of WhatsApp as US.1A2B3C", err)
	}
	at, err := momentFlag(flags.at)
	if err != nil {
		return err
	}
	law, err := cfg.Law()
	if err != nil {
		return usagef("%w", err)
	}
	if flags.hints.Zone != "" {
		if _, err := law.Zones().Get(flags.hints.Zone); err != nil {
			return usagef("--zone: %w", err)
		}
	}
	v, err := newHoursView(law, to, at, flags)
	if err != nil {
		return err
	}
	if (flags.hints.State != "" || flags.hints.PostalCode != "") && (v.By == "number" || v.By == "nothing") {
		r.complain("beckon: the state and postal code are not understood, and left out as those of a record would be\n")
	}
	if flags.hints.Country != "" && law.CountryCode(flags.hints.Country) == "" {
		r.complain("beckon: the country is not understood, and left out as that of a record would be\n")
	}
	if flags.asJSON {
		return r.printJSON(v)
	}
	return r.writeHours(v)
}

func newHoursView(law *quiet.Law, to address.Address, at time.Time, flags hoursFlags) (*hoursView, error) {
	place := law.Locate(to, flags.hints)
	rules, err := law.Rules(place, quiet.Wish(flags.window), flags.marketing)
	if err != nil {
		return nil, usagef("--window: %w", err)
	}
	v := &hoursView{To: string(to), Country: place.Country, Regions: append([]string{}, place.Regions...), By: place.From, Rows: []hoursRow{}, At: at}
	for _, zone := range place.Zones {
		v.Zones = append(v.Zones, zone.String())
	}
	for _, one := range rules {
		row := hoursRow{one.Name, one.Zone.String(), one.Row.Windows.String(), one.Row.Closed, "", one.Row.Confidence, one.Row.Source}
		if one.Row.Limit != nil {
			row.Limit = one.Row.Limit.String()
		}
		v.Rows = append(v.Rows, row)
	}
	answer, err := law.May(at, place, quiet.Wish(flags.window), flags.marketing)
	if errors.Is(err, quiet.ErrNoOpening) {
		v.Why = err.Error()
		return v, nil
	}
	if err != nil {
		return nil, err
	}
	local := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		t = t.In(place.Zones[0])
		return &t
	}
	v.Open, v.Opens, v.Until, v.Why = answer.Open, local(answer.Opens), local(answer.Until), answer.Why
	return v, nil
}

// place is where a person is, for people, and what told it.
func (v *hoursView) place() string {
	told := map[string]string{
		"time_zone": "the time zone", "address": "the address", "number": "the region of the number", "nothing": "nothing: each of these is possible",
	}
	return strings.TrimSpace(v.Country+" "+strings.Join(v.Regions, " ")) + ", by " + told[v.By]
}

// String is the row for people.
func (row hoursRow) String() string {
	text := row.Name + ": " + row.Hours
	if len(row.Closed) > 0 {
		text += ", closed " + strings.Join(row.Closed, ", ")
	}
	if row.Limit != "" {
		text += ", marketing up to " + row.Limit
	}
	text += " in " + row.Zone
	if known := strings.Trim(row.Confidence+": "+row.Source, ": "); known != "" {
		text += " (" + known + ")"
	}
	return text
}

func (r *root) writeHours(v *hoursView) error {
	table := tabwriter.NewWriter(r.streams.Out, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { _, _ = fmt.Fprintln(table, strings.Join(cells, "\t")) }
	line("place", v.place())
	for i, zone := range v.Zones {
		line([]string{"zones", ""}[min(i, 1)], zone)
	}
	for i, row := range v.Rows {
		line([]string{"rows", ""}[min(i, 1)], row.String())
	}
	line("at", v.At.Format(time.RFC3339))
	switch {
	case v.Opens == nil:
		line("closed", v.Why)
	case !v.Open:
		line("closed", "by "+v.Why)
		line("opens", v.Opens.Format(time.RFC3339))
	case v.Until == nil:
		line("open", "always")
	default:
		line("open", "until "+v.Until.Format(time.RFC3339))
	}
	return table.Flush()
}
