// Package rules holds the shipped example rule files with their tests. `beckon serve` reads rules from a directory; this
// copy inside the program is for `beckon demo`, which works from anywhere. The files are pure data: the package cannot
// fail, and `beckon rules test` (also in the tests of router/rule) checks them.
package rules

import (
	"embed"
	"io/fs"
)

//go:embed *.yaml
var files embed.FS

// Files is the folder of the shipped rule files and their tests (*_test.yaml).
func Files() fs.FS { return files }
