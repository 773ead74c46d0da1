package torture

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/beckonhq/beckon/internal/stream"
)

// Report is what a run found.
type Report struct {
	Command  string         `json:"command"` // repeats the run
	Seed     uint64         `json:"seed"`
	Began    time.Time      `json:"began"`
	For      time.Duration  `json:"for_ns"`    // of harm
	Settled  time.Duration  `json:"settle_ns"` // from the end of harm to rest
	AtRest   bool           `json:"at_rest"`   // everything came to rest in time
	Waiting  string         `json:"waiting,omitempty"`
	Counts   Counts         `json:"counts"`
	Went     map[string]int `json:"went"` // what the dispatchers went through, about
	Faults   []Suffered     `json:"faults"`
	Crashes  []Crash        `json:"crashes,omitempty"`
	Findings []Finding      `json:"findings,omitempty"`
	Dir      string         `json:"dir,omitempty"` // data and logs, if they are still there

	Streams   []stream.Holding       `json:"-"`
	Consumers []stream.ConsumerState `json:"-"`
}

// Good tells whether the guarantees held: nothing lost, nothing sent twice, nothing sent against an opt-out, the books agree.
func (r *Report) Good() bool {
	c := r.Counts
	return r.AtRest && c.Lost == 0 && c.Duplicated == 0 && c.Violations == 0 && c.Strangers == 0 && c.Misbooked == 0 &&
		c.Unsettled == 0 && c.Refused == 0 && c.Accepted > 0
}

// JSON writes the report as one JSON object.
func (r *Report) JSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(r); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// Text writes the report for people.
func (r *Report) Text(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(table, format+"\n", args...) }
	line("\nWhat the four ledgers say after %s of harm and %s to settle", r.For, r.Settled.Round(time.Second/10))
	r.flow(line)
	r.verdicts(line)
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	r.went(w)
	if err := r.recoveryTable(w); err != nil {
		return err
	}
	r.troubles(w)
	verdict := "PASSED: nothing lost, nothing sent twice"
	if !r.Good() {
		verdict = "FAILED"
	}
	if _, err := fmt.Fprintf(w, "\n%s\nrepeat it with: %s\n", verdict, r.Command); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func (r *Report) flow(line func(string, ...any)) {
	c := r.Counts
	line("  Salesforce\tnotifications queued\t%d", c.Queued)
	line("  Salesforce\tnotifications accepted (acknowledged by Beckon)\t%d", c.Accepted)
	line("  NATS\tof them stored in NOTIFICATIONS\t%d", c.Stored)
	line("  Postgres\tof them decided\t%d", c.Decided)
	line("  Postgres\trepetitions found to be duplicates\t%d", c.Repeated)
	line("  Postgres\tnotifications that a rule matched\t%d", c.Matched)
	line("  Postgres\tmessages made\t%d", c.Made)
	line("  Postgres\tattempts to send them\t%d", c.Attempts)
	line("  Postgres\tmessages rightly not sent (opted out, or refused for good)\t%d", c.Suppressed)
	line("  Twilio\tmessages accepted\t%d", c.AtTwilio)
	line("  people\topt-outs that the door confirmed\t%d", c.Stops)
}

func (r *Report) verdicts(line func(string, ...any)) {
	c := r.Counts
	line("\t\t")
	line("  LOST\taccepted, and neither sent nor ended for a named reason\t%d", c.Lost)
	for _, where := range slices.Sorted(maps.Keys(c.LostAt)) {
		line("\t  at %s\t%d", where, c.LostAt[where])
	}
	line("  DUPLICATED\tsent more often than once\t%d", c.Duplicated)
	line("  UNKNOWN\tan outcome that Beckon does not know, and says so\t%d", c.Unknown)
	line("  remaining window\tcalls that Twilio took after the lease of their attempt\t%d", c.LateArrivals)
	line("\t  of them while a dispatcher was frozen across the lease's end\t%d", c.LateFrozen)
	line("\t  of these sent twice by it\t%d", c.WindowDouble)
	line("  consent\tsent although the door had confirmed the opt-out\t%d", c.Violations)
	line("\tclaimed before the opt-out, arrived after it\t%d", c.CrossedInAir)
	line("  books\tat Twilio, though the ledger says not sent\t%d", c.Misbooked)
	line("\tat Twilio, though nobody asked for it\t%d", c.Strangers)
	line("\tstream messages that no consumer has finished\t%d", c.Unsettled)
	line("\tnotifications never acknowledged\t%d", c.Refused)
}

// went shows that the harm did reach the protocol.
func (r *Report) went(w io.Writer) {
	_, _ = fmt.Fprintf(w, "\nWhat the dispatchers went through, by their own counters (a kill takes up to a second of them along)\n")
	for _, words := range slices.Sorted(maps.Keys(r.Went)) {
		_, _ = fmt.Fprintf(w, "  %6d  %s\n", r.Went[words], words)
	}
}

// recoveryTable shows how long it took after the faults, by kind and target.
func (r *Report) recoveryTable(w io.Writer) error {
	groups := map[string][]Suffered{}
	for _, s := range r.Faults {
		if s.Problem == "" {
			key := string(s.Kind) + "\t" + family(s.Target)
			groups[key] = append(groups[key], s)
		}
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(table, "\nTime to recover after each fault, from its healing, in seconds: middle / longest\n")
	_, _ = fmt.Fprintf(table, "  FAULT\tTARGET\tTIMES\tNEXT ACCEPTED\tNEXT SENT\tMOST DONE\tALL DONE\n")
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		group := groups[key]
		column := func(of func(Recovery) time.Duration) string {
			var all []time.Duration
			for _, s := range group {
				if d := of(s.Recovery); d != never {
					all = append(all, d)
				}
			}
			if len(all) == 0 {
				return "-"
			}
			slices.Sort(all)
			return fmt.Sprintf("%.1f / %.1f", all[len(all)/2].Seconds(), all[len(all)-1].Seconds())
		}
		_, _ = fmt.Fprintf(table, "  %s\t%d\t%s\t%s\t%s\t%s\n", key, len(group),
			column(func(r Recovery) time.Duration { return r.NextAck }), column(func(r Recovery) time.Duration { return r.NextSend }),
			column(func(r Recovery) time.Duration { return r.Most }),
			column(func(r Recovery) time.Duration { return r.Clear }))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// family is a target without the numbers that tell its like apart.
func family(target string) string {
	for _, number := range []string{"-1", "-2", "-3"} {
		target = strings.ReplaceAll(target, number, "")
	}
	return strings.ReplaceAll(target, "[a-mo-z]*", "*")
}

func (r *Report) troubles(w io.Writer) {
	if !r.AtRest {
		_, _ = fmt.Fprintf(w, "\nIt did not come to rest in time: %s\n", r.Waiting)
	}
	for _, c := range r.Crashes {
		_, _ = fmt.Fprintf(w, "\n%s ended by itself at %s and was started again: %s\n", c.Process, stamp(c.At), c.Error)
	}
	const most = 20
	for i, f := range r.Findings {
		if i == most {
			_, _ = fmt.Fprintf(w, "\nand %d more, see --json\n", len(r.Findings)-most)
			break
		}
		_, _ = fmt.Fprintf(w, "\n%s: notification %s, message %s\n", f.What, f.Notification, f.Message)
		for _, detail := range f.Details {
			_, _ = fmt.Fprintf(w, "  %s\n", detail)
		}
	}
	if r.Dir != "" {
		_, _ = fmt.Fprintf(w, "\ndata and logs are in %s\n", r.Dir)
	}
}
