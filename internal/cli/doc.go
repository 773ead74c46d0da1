// Package cli is the command line: it reads flags and the configuration, calls the parts that do the work, and writes what
// a person or a program wants to read. Every command that lists has --json, one object a line.
//
// Exit codes: 0 good, 1 failed, 2 wrong usage or configuration. One table (exitCode) maps errors to them. A command that
// checks files (rules check, rules test, templates lint, doctor) ends with 1 when there are mistakes in what it checked, and
// with 2 when it was called wrongly or could not find what to check.
//
// Commands that need the ledger or the streams use the configured servers, or, when those are embedded, find the running
// `beckon serve` by the address file in the data directory.
//
// The tests are scripts (testdata/script), run in the process of the test against real servers.
package cli
