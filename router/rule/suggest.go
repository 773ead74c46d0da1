package rule

import "github.com/beckonhq/beckon/internal/suggest"

// didYouMean gives `; did you mean "x"?` for the nearest candidate, or nothing when none is near.
func didYouMean(got string, candidates []string) string {
	if best := suggest.Nearest(got, candidates); best != "" {
		return `; did you mean "` + best + `"?`
	}
	return ""
}
