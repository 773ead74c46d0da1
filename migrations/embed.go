// Package migrations holds the numbered SQL files that make and upgrade the ledger's schema. They are embedded into the
// binary; `beckon migrate` and every `beckon serve` apply what is missing, under a lock, and never change a file that has
// shipped. What the tables mean is told in the first file and in the doc comment of internal/store.
package migrations

import "embed"

//go:embed *.sql
var files embed.FS

// Files returns the migrations, named NNNNN_what.sql.
func Files() embed.FS { return files }
