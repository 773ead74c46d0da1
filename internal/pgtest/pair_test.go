package pgtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/pgtest"
)

// What is committed on the primary is on the standby when that is promoted.
func TestPair(t *testing.T) {
	t.Parallel()
	pair := pgtest.NewPair(t)
	pair.Primary.Exec(t, "beckon", "create table kept (n int)")
	pair.Primary.Exec(t, "beckon", "insert into kept values (1)")
	conn, err := pgx.Connect(t.Context(), pair.Standby.DSN())
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "insert into kept values (2)")
	require.ErrorContains(t, err, "25006")
	require.NoError(t, conn.Close(t.Context()))

	pair.Primary.Kill(t)
	pair.Promote(t)
	conn, err = pgx.Connect(t.Context(), pair.DSN())
	require.NoError(t, err)
	var sum int
	require.NoError(t, conn.QueryRow(t.Context(), "select sum(n) from kept").Scan(&sum))
	require.Equal(t, 1, sum)
	require.NoError(t, conn.Close(t.Context()))
}
