package app

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/pgtest"
	"github.com/beckonhq/beckon/internal/salesforce"
	"github.com/beckonhq/beckon/internal/twiliosim"
	"github.com/beckonhq/beckon/internal/twiliosim/twiliosimtest"
)

// The primary becomes a read-only standby under a running process, on the same address. The door accepts, the others wait,
// count nothing and say why; when the address leads to a primary again, all is sent, once.
func TestReadOnlyServerIsWaitedFor(t *testing.T) {
	t.Parallel()
	pair := pgtest.NewPair(t)
	twilio := twiliosimtest.NewServer(t, twiliosim.Config{NoMagic: true})
	cfg := settings(t, "BECKON_DATABASE_URL="+pair.Primary.DSN(), "BECKON_TWILIO_API_URL="+twilio.URL)
	h := start(t, cfg, config.Roles()...)
	h.healthy()
	h.escalate(1)
	require.Eventually(t, func() bool { return twilio.Stats().Created == 1 }, patience, tick)

	pair.Primary.Exec(t, "postgres", "alter system set default_transaction_read_only = on")
	pair.Primary.Exec(t, "postgres", "select pg_reload_conf()")
	require.Eventually(t, func() bool { return h.admin("/readyz?role=router", nil) == http.StatusServiceUnavailable }, patience, tick)
	var whole readiness
	require.Equal(t, http.StatusOK, h.admin("/readyz", &whole))
	require.Equal(t, statusDegraded, whole.Status)
	require.Equal(t, statusReady, whole.Roles[config.RoleIngest].Status)
	for _, role := range []string{config.RoleRouter, config.RoleDispatcher} {
		require.Equal(t, statusUnavailable, whole.Roles[role].Status)
		require.Contains(t, whole.Roles[role].Reason, "read-only standby")
	}
	waits := h.count("beckon_router_waits_total ")
	h.escalate(2)
	require.Eventually(t, func() bool { return h.count("beckon_router_waits_total ") != waits }, patience, tick)
	require.EqualValues(t, 1, twilio.Stats().Created)

	pair.Primary.Exec(t, "postgres", "alter system reset default_transaction_read_only")
	pair.Primary.Exec(t, "postgres", "select pg_reload_conf()")
	h.healthy()
	require.Eventually(t, func() bool { return twilio.Stats().Created == 2 }, patience, tick)
	require.Equal(t, "0", h.count("beckon_router_deadletters_total "))
	require.Equal(t, "0", h.count("beckon_dispatcher_deadletters_total "))
}

// escalate posts an envelope about the n-th case, which must be acknowledged.
func (h *house) escalate(n int) {
	h.t.Helper()
	id := func(prefix string) notification.ID {
		made, err := notification.ParseID(prefix + "5g000000000" + string(rune('0'+n)))
		require.NoError(h.t, err)
		return made
	}
	var body bytes.Buffer
	require.NoError(h.t, salesforce.Encode(&body, salesforce.EnvelopeSpec{Envelope: &notification.Envelope{
		Org: testOrg, Action: id("04k"), Object: "Case", Notifications: []notification.Notification{{
			ID: id("04l"), RecordID: id("500"), Fields: []notification.Field{
				{Name: "Id", Value: string(id("500"))},
				{Name: "IsEscalated", Value: "true"},
				{Name: "CaseNumber", Value: "7"},
				{Name: "Contact_Mobile__c", Value: "+1212220000" + string(rune('0'+n))},
				{Name: "Contact_First_Name__c", Value: "Ada"},
			},
		}},
	}}))
	response, err := h.client.Post(h.URL()+"/salesforce/outbound-messages", "text/xml; charset=UTF-8", &body)
	require.NoError(h.t, err)
	require.NoError(h.t, response.Body.Close())
	require.Equal(h.t, http.StatusOK, response.StatusCode)
}

// count is the text of a metric's value.
func (h *house) count(name string) string {
	h.t.Helper()
	_, text := h.get(h.AdminURL() + "/metrics")
	_, rest, found := strings.Cut(text, "\n"+name)
	require.True(h.t, found, name)
	value, _, _ := strings.Cut(rest, "\n")
	return value
}
