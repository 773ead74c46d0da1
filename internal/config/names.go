package config

import (
	"regexp"
	"strings"
)

// isServiceLink says whether Kubernetes sets the variable by itself, for a service whose name begins with beckon:
// BECKON_SERVICE_HOST, BECKON_INGEST_PORT_8080_TCP_ADDR and the like.
func isServiceLink(name string) bool {
	return regexp.MustCompile(
		`_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`).MatchString(name)
}

// didYouMean is ": did you mean X?" for the name nearest to the given one, or nothing when none is near.
func didYouMean(name string, names []string) string {
	best, least := "", 1+max(2, len(name)/4)
	for _, candidate := range names {
		if d := distance(strings.ToLower(name), strings.ToLower(candidate)); d < least {
			best, least = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return ": did you mean " + best + "?"
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
