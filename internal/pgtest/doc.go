// Package pgtest gives a test a new, empty database in a real Postgres.
//
// The first call of DSN in a test binary starts one server from the Postgres programs of the machine (the places that
// internal/embedded/postgres knows; as root it runs as an unprivileged account). It takes about a second. All tests of
// the binary share the server; each call of DSN makes a database of its own, which goes when its test ends. So tests
// that use it can run in parallel.
//
// The server listens on a Unix socket in a temporary directory, never on the network, and does not sync to disk: it
// is not for tests of what survives a power cut.
//
// Nothing is left behind. A shell between the test binary and the server holds the reading end of a pipe; when the
// binary ends in any way (also by a panic, the timeout of go test, or kill -9), the pipe closes, and the shell ends the
// server and removes its directory. There is nothing to call at the end of a test run and no goroutine that goleak sees.
//
// NewPair starts a primary and a standby of its own for one test, which can kill the one and promote the other. Those sync to
// disk.
//
// A machine without Postgres fails the test and says what to install; it never skips.
package pgtest
