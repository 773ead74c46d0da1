package store_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/store"
)

func TestAuditIsOnlyEverAddedTo(t *testing.T) {
	t.Parallel()
	l := open(t)
	ctx := t.Context()
	require.NoError(t, l.AddAudit(ctx, store.AuditEntry{Operator: "ada", Action: "deadletters.drop", Subject: "a"}))
	require.NoError(t, l.AddAudit(ctx, store.AuditEntry{Operator: "bo", Action: "replay.force", Subject: "b", Detail: json.RawMessage(`{"n": 1}`)}))
	all, err := l.Audit(ctx, store.AuditFilter{})
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, "ada", all[0].Operator)
	require.JSONEq(t, `{}`, string(all[0].Detail))
	for name, filter := range map[string]store.AuditFilter{
		"action": {Action: "replay.force"}, "subject": {Subject: "b"}, "since": {Since: time.Now().Add(-time.Hour), Limit: 1},
	} {
		some, err := l.Audit(ctx, filter)
		require.NoError(t, err, name)
		require.Len(t, some, 1, name)
		require.Equal(t, "bo", some[0].Operator, name)
	}
	for _, sql := range []string{
		`update audit set operator = 'nobody'`, `delete from audit`, `truncate audit`,
	} {
		_, err := l.db.Exec(ctx, sql)
		require.ErrorContains(t, err, "audit is only ever added to", sql)
	}
}
