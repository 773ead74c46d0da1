package postgres

import (
	"errors"
	"strings"
)

// ErrNotReady is wrapped by the error of Start when the server did not come up, or ended while it came up.
var ErrNotReady = errors.New("the private Postgres did not start")

// ErrUnreachable is wrapped by the error of Start when the account that Postgres runs as cannot reach the data
// directory.
var ErrUnreachable = errors.New("data directory out of reach")

// NotFoundError says that no usable Postgres is installed. Its text is one line that says what to install.
type NotFoundError struct {
	// BinDir is the directory that was configured, empty when the usual places were searched.
	BinDir string
	// Tried has a line for each directory that was looked at and would not do.
	Tried []string
	// Fetch is why the programs could not be fetched, nil when that was not tried.
	Fetch error
}

// Error is one line.
func (e *NotFoundError) Error() string {
	var b strings.Builder
	if e.BinDir != "" {
		b.WriteString("no usable Postgres in the configured directory")
	} else {
		b.WriteString("no usable Postgres (initdb and postgres, version 13 or newer) on PATH, in " +
			strings.Join(installPlaces(), ", "))
	}
	if len(e.Tried) > 0 {
		b.WriteString(" (" + strings.Join(e.Tried, "; ") + ")")
	}
	if e.Fetch != nil {
		b.WriteString(", and fetching one failed (" + strings.ReplaceAll(e.Fetch.Error(), "\n", " ") + ")")
	}
	b.WriteString(": install it (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; " +
		"macOS: brew install postgresql@17), or set BECKON_POSTGRES_BIN to the directory of its programs, " +
		"or BECKON_DATABASE_URL to a server")
	return b.String()
}

// Unwrap is the reason why fetching failed.
func (e *NotFoundError) Unwrap() error { return e.Fetch }

// ErrExited is wrapped by Server.Err when the server ended without being asked to.
var ErrExited = errors.New("the private Postgres has ended by itself")

// errPatience is the cause of a wait that took too long.
var errPatience = errors.New("out of patience")
