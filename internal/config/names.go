package config

import (
	"regexp"

	"github.com/beckonhq/beckon/internal/suggest"
)

// isServiceLink says whether Kubernetes sets the variable by itself, for a service whose name begins with beckon:
// BECKON_SERVICE_HOST, BECKON_INGEST_PORT_8080_TCP_ADDR and the like.
func isServiceLink(name string) bool {
	return regexp.MustCompile(
		`_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`).MatchString(name)
}

// didYouMean is ": did you mean X?" for the name nearest to the given one, or nothing when none is near.
func didYouMean(name string, names []string) string {
	if best := suggest.Nearest(name, names); best != "" {
		return ": did you mean " + best + "?"
	}
	return ""
}
