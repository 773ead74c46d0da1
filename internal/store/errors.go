package store

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrNotFound says that a row that was asked for by its id is not there.
var ErrNotFound = errors.New("not found")

// SQLSTATE codes and classes that this package tells apart.
//
// Source: PostgreSQL documentation, appendix A "PostgreSQL Error Codes".
const (
	codeUniqueViolation = "23505"
	codeSerialization   = "40001"
	codeDeadlock        = "40P01"
	codeReadOnly        = "25006"

	classConnection = "08"
	classResources  = "53"
	classOperator   = "57"
)

// Temporary tells whether the same call may succeed later without anybody changing the data: the server is away, is
// shutting down, is a read-only standby, or is out of resources.
func Temporary(err error) bool {
	if err == nil {
		return false
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case pg.Code == codeReadOnly, retryable(err):
			return true
		case strings.HasPrefix(pg.Code, classConnection), strings.HasPrefix(pg.Code, classResources),
			strings.HasPrefix(pg.Code, classOperator):
			return true
		}
		return false
	}
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		pgconn.SafeToRetry(err) || isNetwork(err)
}

// retryable tells whether the transaction lost against another one and should be run again at once.
func retryable(err error) bool {
	code := sqlState(err)
	return code == codeSerialization || code == codeDeadlock
}

func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}
