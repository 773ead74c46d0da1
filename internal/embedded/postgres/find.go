package postgres

import (
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// MinVersion is the oldest major version of Postgres that Beckon works with.
const MinVersion = 13

// Binaries are the programs of one Postgres installation.
type Binaries struct {
	// Dir is the directory that the programs are in, absolute.
	Dir string
	// Version is the major version, for example 17.
	Version int
}

// InitDB is the path of the initdb program.
func (b Binaries) InitDB() string { return filepath.Join(b.Dir, "initdb") }

// Postgres is the path of the server program.
func (b Binaries) Postgres() string { return filepath.Join(b.Dir, "postgres") }

// Find looks for the programs initdb and postgres: in binDir alone when it is given; else beside the initdb that PATH
// knows, then in the places where the packages of Debian, Red Hat, Homebrew and Postgres.app put them, newest first.
// The error is a *NotFoundError that lists what was looked at, and why it would not do.
func Find(ctx context.Context, binDir string) (Binaries, error) {
	missing := &NotFoundError{BinDir: binDir}
	return missing.find(ctx, candidates(binDir), 0)
}

// find returns the first installation in dirs that will do, and notes in e what is wrong with those before it. If want
// is not 0, the major version has to be that one: a cluster opens only with the version that made it.
func (e *NotFoundError) find(ctx context.Context, dirs []string, want int) (Binaries, error) {
	for _, dir := range dirs {
		found, err := inspect(ctx, dir)
		if err == nil && want != 0 && found.Version != want {
			err = fmt.Errorf("%s: version %d, but the data directory was made by version %d", dir, found.Version, want)
		}
		if err == nil {
			return found, nil
		}
		e.Tried = append(e.Tried, err.Error())
	}
	return Binaries{}, e
}

// installPlaces are glob patterns of the directories that the usual packages install the programs in.
func installPlaces() []string {
	return []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin",
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		"/usr/local/pgsql/bin",
	}
}

func candidates(binDir string) []string {
	if binDir != "" {
		return []string{binDir}
	}
	var dirs []string
	if initdb, err := exec.LookPath("initdb"); err == nil {
		// Debian and Homebrew put links on the path; the programs look for their libraries beside themselves.
		if target, err := filepath.EvalSymlinks(initdb); err == nil {
			initdb = target
		}
		dirs = append(dirs, filepath.Dir(initdb))
	}
	for _, pattern := range installPlaces() {
		found, err := filepath.Glob(pattern)
		if err != nil {
			continue // only a bad pattern, and a test reads them all
		}
		slices.SortFunc(found, newestFirst)
		dirs = append(dirs, found...)
	}
	return dirs
}

// newestFirst orders directories such as /usr/lib/postgresql/9.6/bin and /usr/lib/postgresql/17/bin by their version.
func newestFirst(a, b string) int {
	return cmp.Or(cmp.Compare(versionInPath(b), versionInPath(a)), cmp.Compare(b, a))
}

func versionInPath(dir string) float64 {
	name := filepath.Base(filepath.Dir(dir))
	version, err := strconv.ParseFloat(regexp.MustCompile(`[0-9]+(\.[0-9]+)?`).FindString(name), 64)
	if err != nil {
		return 0
	}
	return version
}

// inspect asks the server program in dir for its version.
func inspect(ctx context.Context, dir string) (Binaries, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Binaries{}, fmt.Errorf("%s: %w", dir, err)
	}
	found := Binaries{Dir: dir}
	if _, err := exec.LookPath(found.InitDB()); err != nil {
		return Binaries{}, fmt.Errorf("%s: no program initdb", dir)
	}
	out, err := exec.CommandContext(ctx, found.Postgres(), "--version").Output() //nolint:gosec // the operator names it
	if err != nil {
		return Binaries{}, fmt.Errorf("%s: postgres --version: %w", dir, err)
	}
	if found.Version, err = parseVersion(string(out)); err != nil {
		return Binaries{}, fmt.Errorf("%s: %w", dir, err)
	}
	if found.Version < MinVersion {
		return Binaries{}, fmt.Errorf("%s: version %d, want %d or newer", dir, found.Version, MinVersion)
	}
	return found, nil
}

// parseVersion reads the major version out of the answer of postgres --version: "postgres (PostgreSQL) 15.18 (Debian
// ...)", also "16beta2" and "18devel".
func parseVersion(out string) (int, error) {
	match := regexp.MustCompile(`\(PostgreSQL\) ([0-9]+)`).FindStringSubmatch(out)
	if match == nil {
		return 0, fmt.Errorf("postgres --version answered %q, want \"postgres (PostgreSQL) <version>\"", out)
	}
	version, err := strconv.Atoi(match[1])
	if err != nil {
		return 0, fmt.Errorf("postgres --version answered %q: %w", out, err)
	}
	return version, nil
}
