package app

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/config"
)

// Prometheus sees no increase in a series that begins at 1. What an alert wants to see rise has to be there, at 0, before it happens, else
// nobody hears of the first failure.
func TestAlertsSeeTheFirstFailure(t *testing.T) {
	t.Parallel()
	alerts, err := os.ReadFile("../../deploy/prometheus/alerts.yml")
	require.NoError(t, err)
	h := start(t, withPostgres(t), config.RoleIngest, config.RoleRouter, config.RoleDispatcher)
	h.healthy()
	_, metrics := h.get(h.AdminURL() + "/metrics")
	byRule := []string{"beckon_optouts_total", "beckon_rule_messages_total"} // begin with the first message of a rule
	found := 0
	for _, one := range regexp.MustCompile(`increase\((beckon_\w+)(?:\{(\w+)=~?"([^"]+)"\})?\[`).FindAllStringSubmatch(string(alerts), -1) {
		name, label, values := one[1], one[2], one[3]
		if slices.Contains(byRule, name) {
			continue
		}
		found++
		series := regexp.MustCompile(`(?m)^` + name + `(\{.*\b` + label + `="(` + values + `)".*\})? \d`)
		if label == "" {
			series = regexp.MustCompile(`(?m)^` + name + `(\{.*\})? \d`)
		}
		require.Regexp(t, series, metrics, one[0])
	}
	require.Greater(t, found, 5)
}
