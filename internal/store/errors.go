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

// ErrDecided says that a review was decided before.
var ErrDecided = errors.New("it is decided already")

// ErrMigration says that a migration can't be applied to this database: it is not a matter of waiting.
var ErrMigration = errors.New("the schema can't be migrated")

// ErrSIDTaken says that an outcome was not stored because its SID belongs to another attempt.
var ErrSIDTaken = errors.New("the SID belongs to another attempt")

// errReadOnly says that what was asked for is no use from a server that takes no writes.
var errReadOnly = errors.New("the Postgres server takes no writes: it is a read-only standby, or set to read-only")

// errSilent is the cause of a call that took longer than callTimeout.
var errSilent = errors.New("the Postgres server does not answer")

// SQLSTATE codes and classes that this package tells apart.
//
// Source: PostgreSQL documentation, appendix A "PostgreSQL Error Codes".
const (
	codeSerialization = "40001"
	codeDeadlock      = "40P01"
	codeReadOnly      = "25006" // a write on a standby, or in a read-only transaction

	classCardinality = "21"
	classData        = "22" // a value that its type or column can't hold
	classConstraint  = "23"
	classLimit       = "54" // a value too large for an index or a row
	classOurs        = "P0" // raised by our own triggers
)

// Temporary tells whether the same call may succeed later without anybody changing the data. That is so for all that the
// server or the way to it may fail with: it is away, a read-only standby, out of resources, or its schema is being changed
// or restored. It is not for what a value itself causes: waiting would not cure that. A closed Store counts as temporary too:
// its program is ending, and what it could not do comes again.
func Temporary(err error) bool {
	if err == nil {
		return false
	}
	if errors.Is(err, ErrMoved) || errors.Is(err, ErrReplaying) || errors.Is(err, ErrErasureKey) {
		return true
	}
	if code := sqlState(err); code != "" {
		for _, class := range []string{classCardinality, classData, classConstraint, classLimit, classOurs} {
			if strings.HasPrefix(code, class) {
				return false
			}
		}
		return true
	}
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || errors.Is(err, errReadOnly) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
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
