// Package suggest finds what somebody meant who misspelt a name, for error messages that help. It is pure.
package suggest

import "strings"

// Nearest is the candidate that a misspelt name is nearest to, by edit distance without regard to case; empty when none is
// near. Of equally near ones the first counts.
func Nearest(got string, candidates []string) string {
	best, least := "", len(got)/3+2
	for _, candidate := range candidates {
		if d := distance(strings.ToLower(got), strings.ToLower(candidate)); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
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
			row[j+1] = min(substitute, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
