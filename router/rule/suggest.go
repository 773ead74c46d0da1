package rule

import "strings"

// didYouMean gives `; did you mean "x"?` for the nearest candidate, or nothing when none is near.
func didYouMean(got string, candidates []string) string {
	best, bestDistance := "", len(got)/3+1
	for _, c := range candidates {
		distance := editDistance(strings.ToLower(got), strings.ToLower(c))
		if distance <= bestDistance && (best == "" || distance < bestDistance) {
			best, bestDistance = c, distance
		}
	}
	if best == "" {
		return ""
	}
	return `; did you mean "` + best + `"?`
}

// editDistance is the Levenshtein distance in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
