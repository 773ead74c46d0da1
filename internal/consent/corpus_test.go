package consent_test

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/consent"
)

// labelled is a row of the corpus.
type labelled struct {
	part, label, language, text string
	line                        int
}

func corpus(t *testing.T) []labelled {
	t.Helper()
	file, err := os.Open("testdata/replies.tsv")
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	unescape := strings.NewReplacer(`\n`, "\n", `\u200b`, "\u200b")
	var rows []labelled
	scanner := bufio.NewScanner(file)
	for line := 1; scanner.Scan(); line++ {
		if strings.HasPrefix(scanner.Text(), "#") {
			continue
		}
		fields := strings.Split(scanner.Text(), "\t")
		require.Lenf(t, fields, 4, "line %d", line)
		require.Contains(t, []string{"tune", "held", "fresh", "blind", "late"}, fields[0])
		require.Contains(t, []string{"stop", "review", "out", "start", "help", "none"}, fields[1])
		rows = append(rows, labelled{fields[0], fields[1], fields[2], unescape.Replace(fields[3]), line})
	}
	require.NoError(t, scanner.Err())
	return rows
}

// score counts what the detection makes of rows. Found are opt-outs that were noticed, at once or for review.
type score struct {
	rows, optOuts, found, flagged, immediate, immediateRight, othersRight int
}

func (s *score) add(row labelled, got consent.Keyword) {
	isOptOut := row.label == "stop" || row.label == "review" || row.label == "out"
	flagged := got == consent.Stop || got == consent.Review
	s.rows++
	s.optOuts += count(isOptOut)
	s.flagged += count(flagged)
	s.found += count(flagged && isOptOut)
	s.immediate += count(got == consent.Stop)
	s.immediateRight += count(got == consent.Stop && row.label == "stop")
	s.othersRight += count(!isOptOut && (string(got) == row.label || got == consent.None && row.label == "none"))
}

func count(so bool) int {
	if so {
		return 1
	}
	return 0
}

func (s *score) recall() float64    { return float64(s.found) / float64(s.optOuts) }
func (s *score) precision() float64 { return float64(s.found) / float64(s.flagged) }
func (s *score) atOnce() float64    { return float64(s.immediateRight) / float64(s.immediate) }

// The corpus is our own: these figures say that what we thought of works, not how people write. The parts "fresh", "blind"
// and "late" were made up to be unlike the others; they are only reported.
func TestCorpus(t *testing.T) {
	t.Parallel()
	rows := corpus(t)
	words := consent.DefaultWords()
	scores := map[string]*score{"tune": {}, "held": {}, "both": {}, "fresh": {}, "blind": {}, "late": {}}
	var wrong strings.Builder
	for _, row := range rows {
		v := words.Classify(row.text)
		scores[row.part].add(row, v.Keyword)
		if row.part == "tune" || row.part == "held" {
			scores["both"].add(row, v.Keyword)
		}
		if want := consent.Keyword(strings.TrimSuffix(row.label, "none")); v.Keyword != want {
			if row.part == "blind" || row.part == "late" {
				continue // who sees them makes patterns for them
			}
			fmt.Fprintf(&wrong, "\n  line %d, %s: %q is %q, want %q (%s %q)", row.line, row.part, row.text, v.Keyword, want, v.Language, v.Rule)
		}
	}
	t.Logf("not as labelled:%s", wrong.String())
	t.Logf("%-5s %5s %9s %7s %10s %9s %20s", "part", "rows", "opt-outs", "recall", "precision", "at once", "precision at once")
	for _, part := range []string{"tune", "held", "both", "fresh", "blind", "late"} {
		s := scores[part]
		t.Logf("%-5s %5d %9d %7.4f %10.4f %9d %20.4f", part, s.rows, s.optOuts, s.recall(), s.precision(), s.immediate, s.atOnce())
	}
	both := scores["both"]
	require.GreaterOrEqual(t, both.rows, 400)
	for _, part := range []string{"tune", "held", "both"} {
		require.GreaterOrEqual(t, scores[part].recall(), 0.99, part)
		require.GreaterOrEqual(t, scores[part].precision(), 0.98, part)
	}
	require.GreaterOrEqual(t, both.atOnce(), 0.995)
	require.Equal(t, both.rows-both.optOuts-(both.flagged-both.found), both.othersRight, "START and HELP are never mistaken")
}
