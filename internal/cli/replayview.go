package cli

import (
	"maps"
	"slices"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/store"
)

// writeReplay tells what a replay did, or would do.
func (r *root) writeReplay(flags *replayFlags, report *replayReport) error {
	if flags.asJSON {
		return r.printJSON(report)
	}
	if report.DryRun {
		r.printf("dry run: nothing was changed. By the rules and templates here this would happen:\n")
	} else {
		r.printf("replay %s\n", report.ID)
	}
	r.printf("  envelopes      %d, with %s\n", report.Envelopes, plural(report.Notifications, "notification"))
	if report.Unreadable > 0 {
		r.printf("  left out       %s that can't be read: see beckon deadletters list\n", plural(report.Unreadable, "envelope"))
	}
	for _, line := range []struct {
		result store.ReplayResult
		words  string
	}{
		{store.ReplayDecided, "decided        %d that never were before\n"},
		{store.ReplayDecidedAgain, "decided again  %d\n"},
		{store.ReplayDuplicate, "left alone     %d whose decision stands\n"},
	} {
		if n := report.Results[line.result]; n > 0 {
			r.printf("  "+line.words, n)
		}
	}
	for _, outcome := range []notification.Outcome{notification.Matched, notification.NoMatch, notification.RuleError, notification.DeadLetter} {
		if n := report.Outcomes[outcome]; n > 0 {
			r.printf("    %-16s %d\n", words(string(outcome)), n)
		}
	}
	r.printf("  messages       %d made, %d not made since they were made before\n", report.Made, report.Held)
	for _, rule := range slices.Sorted(maps.Keys(report.Rules)) {
		r.printf("    %-16s %d\n", rule, report.Rules[rule])
	}
	return nil
}
