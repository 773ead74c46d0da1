package arch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// listed is what "go list" says about one package.
type listed struct {
	ImportPath, Dir, Name string
	Imports, Deps         []string
	GoFiles, CgoFiles     []string
	IgnoredGoFiles        []string
}

// path is the folder within the module.
func (p listed) path() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

func (p listed) files() []string {
	return slices.Concat(p.GoFiles, p.CgoFiles, p.IgnoredGoFiles)
}

func TestImportsKeepTheBorders(t *testing.T) {
	t.Parallel()
	report(t, crossings(packages(t), rules()))
}

func TestRulesNameWhatExists(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile(filepath.Join(root(), "go.mod"))
	require.NoError(t, err)
	report(t, vanished(packages(t), string(mod), rules()))
}

func report(t *testing.T, found []string) {
	t.Helper()
	for _, f := range found {
		t.Error(f)
	}
}

func TestEveryPackageHasOneDocComment(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		documented := documentedFiles(t, p)
		switch {
		case len(documented) == 0:
			t.Errorf("%s has no doc comment: write doc.go (what it takes, gives, promises, how it fails)", p.path())
		case len(documented) > 1:
			t.Errorf("%s has a doc comment in each of %v: keep one", p.path(), documented)
		case len(p.files()) > 1 && p.Name != "main" && documented[0] != "doc.go":
			t.Errorf("%s has its doc comment in %s: move it to doc.go", p.path(), documented[0])
		}
	}
}

func TestNamesSaySomething(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		for part := range strings.SplitSeq(p.path(), "/") {
			require.NotContains(t, saysNothing(), part, "%s: name it after what it does", p.path())
		}
	}
}

func TestTopLevelIsTheDataFlow(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(root())
	require.NoError(t, err)
	var folders []string
	for _, e := range entries {
		switch {
		case e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !slices.Contains(untracked(), e.Name()):
			folders = append(folders, e.Name())
		case filepath.Ext(e.Name()) == ".go":
			t.Errorf("%s: no Go file lies at the top level", e.Name())
		}
	}
	var allowed []string
	for name := range topLevel() {
		allowed = append(allowed, name)
	}
	require.ElementsMatch(t, allowed, folders)
}

func TestOnlyMainEndsTheProcess(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if within(p.path(), "cmd") {
			continue
		}
		for _, file := range p.files() {
			parsed := parse(t, filepath.Join(p.Dir, file), parser.SkipObjectResolution)
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, call := range exits(parsed) {
				t.Errorf("%s/%s calls %s: return an error, main exits", p.path(), file, call)
			}
		}
	}
}

// crossings lists every import that a rule forbids.
func crossings(all []listed, rules []rule) []string {
	var out []string
	for _, r := range rules {
		for _, p := range all {
			if !r.binds(p.path()) {
				continue
			}
			imports := p.Imports
			if r.deep {
				imports = p.Deps
			}
			for _, imported := range imports {
				if r.forbids(imported) {
					out = append(out, fmt.Sprintf("%s must not import %s: %s", p.path(), imported, r.reason))
				}
			}
		}
	}
	return out
}

func (r rule) binds(path string) bool {
	for exempt := range r.except {
		if within(path, exempt) {
			return false
		}
	}
	return len(r.who) == 0 || slices.ContainsFunc(r.who, func(who string) bool { return within(path, who) })
}

func (r rule) forbids(imported string) bool {
	matches := func(pattern string) bool { return within(imported, whole(pattern)) }
	return slices.ContainsFunc(r.ban, matches) && !slices.ContainsFunc(r.allow, matches)
}

// vanished lists paths in rules that are neither a package, a folder of packages, nor a module in go.mod.
func vanished(all []listed, mod string, rules []rule) []string {
	var out []string
	check := func(path string) {
		if strings.Contains(strings.Split(path, "/")[0], ".") {
			if !strings.Contains(mod, "\t"+path+" v") {
				out = append(out, path+" is named in a rule, but go.mod does not require it")
			}
			return
		}
		if !slices.ContainsFunc(all, func(p listed) bool { return within(p.path(), path) }) {
			out = append(out, path+" is named in a rule, but there is no such package")
		}
	}
	for _, r := range rules {
		for _, path := range slices.Concat(r.who, r.ban, r.allow) {
			check(path)
		}
		for path := range r.except {
			check(path)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// whole is the import path of a path in a rule.
func whole(path string) string {
	if strings.Contains(strings.Split(path, "/")[0], ".") {
		return path
	}
	return module + "/" + path
}

func documentedFiles(t *testing.T, p listed) []string {
	t.Helper()
	var out []string
	for _, file := range p.files() {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		if parse(t, filepath.Join(p.Dir, file), parser.PackageClauseOnly|parser.ParseComments).Doc != nil {
			out = append(out, file)
		}
	}
	return out
}

// exits lists the calls that end the process.
func exits(file *ast.File) []string {
	var out []string
	ast.Inspect(file, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if pkg, ok := selector.X.(*ast.Ident); ok {
			name := pkg.Name + "." + selector.Sel.Name
			if name == "os.Exit" || strings.HasPrefix(name, "log.Fatal") || name == "syscall.Exit" {
				out = append(out, name)
			}
		}
		return true
	})
	return out
}

func parse(t *testing.T, path string, mode parser.Mode) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, mode)
	require.NoError(t, err)
	return file
}

func root() string { return filepath.Join("..", "..") }

// listOnce: the packages are listed once for all tests.
var listOnce = sync.OnceValues(list)

// packages is every package of the module.
func packages(t *testing.T) []listed {
	t.Helper()
	all, err := listOnce()
	require.NoError(t, err)
	require.Greater(t, len(all), 5, "go list must have found the module")
	return all
}

func list() ([]listed, error) {
	cmd := exec.CommandContext(context.Background(), "go", "list",
		"-json=ImportPath,Dir,Name,Imports,Deps,GoFiles,CgoFiles,IgnoredGoFiles", "./...")
	cmd.Dir = root()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, stderr.String())
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return slices.DeleteFunc(all, func(p listed) bool { return p.path() == "internal/zz" }), nil
}
