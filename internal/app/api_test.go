package app

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/store"
	"github.com/beckonhq/beckon/internal/view"
)

// decide puts one notification with a message for each address into the ledger, all suppressed but the first.
func (h *house) decide(addresses ...address.Address) []string {
	h.t.Helper()
	now := time.Now().Truncate(time.Millisecond)
	const id, record = notification.ID("04l000000000001AAA"), notification.ID("500000000000001AAA")
	var made []store.NewMessage
	var ids []string
	for i, to := range addresses {
		state, reason := message.Suppressed, message.ReasonOptedOut
		if i == 0 {
			state, reason = message.Queued, message.ReasonNone
		}
		ids = append(ids, uuid.Must(uuid.NewV7()).String())
		made = append(made, store.NewMessage{Message: message.Message{
			ID: ids[i], Org: testOrg, NotificationID: id, RecordID: record, Object: "Case", ContactID: "003000000000001AAA",
			Rule: "rule-" + strconv.Itoa(i), Template: "case-escalated", Language: "en", Purpose: message.Transactional,
			Channels: []message.Channel{message.SMS}, To: to, State: state, Reason: reason, NotBefore: now.Add(time.Hour), CreatedAt: now,
			Content: message.Content{SMS: &message.SMSContent{Text: "Hi", Language: "en", Encoding: "GSM-7", Segments: 1}},
		}})
	}
	envelope := &notification.Envelope{
		Org: testOrg, Action: "04k000000000001AAA", Object: "Case", Received: now,
		Notifications: []notification.Notification{{ID: id, RecordID: record}},
	}
	_, err := h.store.Decide(h.t.Context(), []store.Envelope{{Envelope: envelope, Seq: 1}}, func(store.Pending) store.Decided {
		return store.Decided{Outcome: notification.Matched, RuleSet: "a rule set", Messages: made, Detail: []byte(`{"rules":[]}`)}
	})
	require.NoError(h.t, err)
	return ids
}

func TestAPI(t *testing.T) {
	t.Parallel()
	h := start(t, withPostgres(t), config.RoleRouter)
	h.healthy()
	list := func(query url.Values) []string {
		t.Helper()
		var answer struct{ Messages []view.Message }
		require.Equal(t, http.StatusOK, h.admin("/api/v1/messages?"+query.Encode(), &answer))
		require.NotNil(t, answer.Messages, "an empty list is no null")
		ids := []string{}
		for _, m := range answer.Messages {
			ids = append(ids, m.ID)
		}
		return ids
	}
	require.Empty(t, list(nil))
	ids := h.decide("+14155550100", "+14155550101", "+14155550101")
	for name, c := range map[string]struct {
		query url.Values
		want  []string
	}{
		"all, oldest first": {nil, ids},
		"of a state":        {url.Values{"state": {"suppressed"}}, ids[1:]},
		"of no such state":  {url.Values{"state": {"teleported"}}, []string{}},
		"to a number":       {url.Values{"to": {"+14155550100"}}, ids[:1]},
		"to nobody":         {url.Values{"to": {"+14155550199"}}, []string{}},
		"both":              {url.Values{"to": {"+14155550101"}, "state": {"queued"}}, []string{}},
		"the first two":     {url.Values{"limit": {"2"}}, ids[:2]},
		"limit and state":   {url.Values{"limit": {"1"}, "state": {"suppressed"}}, ids[1:2]},
		"most":              {url.Values{"limit": {"1000"}}, ids},
	} {
		require.Equal(t, c.want, list(c.query), name)
	}
	for _, limit := range []string{"0", "-1", "1001", "ten", "1e2"} {
		var answer problem
		require.Equal(t, http.StatusBadRequest, h.admin("/api/v1/messages?limit="+limit, &answer), limit)
		require.Contains(t, answer.Error, "limit")
	}
	for _, id := range []string{ids[0], "04l000000000001AAA", "500000000000001AAA"} {
		var trace view.Trace
		require.Equal(t, http.StatusOK, h.admin("/api/v1/trace/"+id, &trace), id)
		require.Len(t, trace.Notifications, 1, id)
		require.Equal(t, "a rule set", trace.Notifications[0].RuleSet)
		require.NotEmpty(t, trace.Messages, id)
		require.Equal(t, "+14155550100", trace.Messages[0].To)
	}
	for _, id := range []string{"nothing", uuid.NewString(), "04l000000000009AAA", "%27"} {
		var answer problem
		require.Equal(t, http.StatusNotFound, h.admin("/api/v1/trace/"+id, &answer), id)
		require.NotEmpty(t, answer.Error)
	}
	h.openAPI()
}

// openAPI checks that the description is OpenAPI 3.0, that everything in it is served, and that it has every field.
func (h *house) openAPI() {
	h.t.Helper()
	var spec struct {
		OpenAPI    string
		Paths      map[string]map[string]any
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	require.Equal(h.t, http.StatusOK, h.admin("/api/v1/openapi.json", &spec))
	require.Regexp(h.t, `^3\.0\.\d+$`, spec.OpenAPI, "External Services of Salesforce read no 3.1")
	require.NotEmpty(h.t, spec.Paths)
	for path, methods := range spec.Paths {
		for method := range methods {
			require.Contains(h.t, []string{"get", "post"}, method)
		}
		if methods["get"] == nil || strings.HasPrefix(path, "/api/v1/conversations/") || strings.HasPrefix(path, "/api/v1/media/") {
			continue // they need a conversation: see their own tests
		}
		status, body := h.get(h.AdminURL() + strings.NewReplacer("{id}", "04l000000000001AAA", "{address}", "%2B14155550100").Replace(path))
		require.Equal(h.t, http.StatusOK, status, path)
		require.True(h.t, json.Valid([]byte(body)), path)
	}
	for schema, fields := range map[string]reflect.Type{
		"Message": reflect.TypeFor[view.Message](), "Conversation": reflect.TypeFor[view.Conversation](), "Turn": reflect.TypeFor[view.Turn](),
		"Consent": reflect.TypeFor[view.Consent](), "ConsentEntry": reflect.TypeFor[view.ConsentEntry](), "OptInQuestion": reflect.TypeFor[view.OptInQuestion](),
	} {
		var names []string
		for field := range fields.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			names = append(names, name)
			require.Contains(h.t, spec.Components.Schemas[schema].Properties, name)
		}
		for name := range spec.Components.Schemas[schema].Properties {
			require.True(h.t, slices.Contains(names, name), name)
		}
	}
	_, metrics := h.get(h.AdminURL() + "/metrics")
	for _, name := range []string{"beckon_build_info", "go_goroutines", "beckon_rules_reload_failed"} {
		require.Contains(h.t, metrics, "\n"+name)
	}
}

// A process without a ledger says so.
func TestAPIWithoutALedger(t *testing.T) {
	t.Parallel()
	h := start(t, settings(t), config.RoleIngest)
	for _, path := range []string{"/api/v1/messages", "/api/v1/trace/x"} {
		var answer problem
		require.Equal(t, http.StatusServiceUnavailable, h.admin(path, &answer))
		require.Contains(t, answer.Error, "ledger")
	}
	require.Equal(t, http.StatusOK, h.admin("/api/v1/openapi.json", nil))
	var alive map[string]string
	require.Equal(t, http.StatusOK, h.admin("/healthz", &alive))
	require.Equal(t, map[string]string{"status": "alive"}, alive)
	require.Equal(t, http.StatusNotFound, h.admin("/api/v1/nothing", nil))
}
