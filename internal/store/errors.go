package store

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
)

// ErrNotFound says that a row that was asked for by its id is not there.
var ErrNotFound = errors.New("not found")

// ErrSIDTaken says that an outcome was not stored because its SID belongs to another attempt.
var ErrSIDTaken = errors.New("the SID belongs to another attempt")

// SQLSTATE codes and classes that this package tells apart.
//
// Source: PostgreSQL documentation, appendix A "PostgreSQL Error Codes".
const (
	codeSerialization = "40001"
	codeDeadlock      = "40P01"
	codeReadOnly      = "25006"
	codeIdleTooLong   = "25P03"
	codeLockTimeout   = "55P03"

	classConnection = "08"
	classResources  = "53"
	classOperator   = "57"
	classSystem     = "58" // the server can't read or write a file
)

// Temporary tells whether the same call may succeed later without anybody changing the data: the server is away, is
// shutting down, is a read-only standby, or is out of resources. A closed Store counts too: its program is ending, and what
// it could not do comes again.
func Temporary(err error) bool {
	if err == nil {
		return false
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case pg.Code == codeReadOnly, pg.Code == codeIdleTooLong, pg.Code == codeLockTimeout, retryable(err):
			return true
		case strings.HasPrefix(pg.Code, classConnection), strings.HasPrefix(pg.Code, classResources),
			strings.HasPrefix(pg.Code, classOperator), strings.HasPrefix(pg.Code, classSystem):
			return true
		}
		return false
	}
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, puddle.ErrClosedPool) || pgconn.SafeToRetry(err) || isNetwork(err)
}

// retryable tells whether the transaction lost against another one and should be run again at once.
func retryable(err error) bool {
	code := sqlState(err)
	return code == codeSerialization || code == codeDeadlock
}

func sqlState(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}
