package templates

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"

	"golang.org/x/text/language"
)

// maxOutput bounds what one text may render to, in bytes; every channel's own limit is far below it.
const maxOutput = 64 << 10

// text is one compiled text in one language.
type text struct {
	tree      *template.Template
	source    string
	static    string   // what does not come from variables
	variables []string // names of the variables that it mentions, sorted
	line      int      // where it stands in the file
	column    int
}

// compileError is a mistake in a text: the line within it, from 0.
type compileError struct {
	line    int
	message string
}

// compile parses a text for one language. Mistakes are returned all at once where parsing can go on.
func compile(name, source, lang string) (*text, []compileError) {
	tag, ok := parseTag(lang)
	if !ok {
		tag = language.English
	}
	f := newFormatter(tag)
	tree, err := template.New(name).Option("missingkey=error").Funcs(f.functions()).Parse(source)
	if err != nil {
		return nil, []compileError{parseMistake(err)}
	}
	out := &text{tree: tree, source: source}
	w := walker{text: out, tree: tree.Tree}
	for _, defined := range tree.Templates() {
		if defined.Name() != name {
			w.problem(defined.Root, "define and block are not allowed")
		}
	}
	if tree.Tree != nil {
		w.walk(tree.Root, place{})
	}
	slices.Sort(out.variables)
	out.variables = slices.Compact(out.variables)
	return out, w.problems
}

// parseMistake takes the line out of text/template's message, whose prefix names nothing that a reader knows.
func parseMistake(err error) compileError {
	found := regexp.MustCompile(`(?s)^template: [^:]*:(\d+):(?:\d+:)? (.*)$`).FindStringSubmatch(err.Error())
	if found == nil {
		return compileError{message: err.Error()}
	}
	line, _ := strconv.Atoi(found[1]) // the pattern has digits only
	return compileError{line: max(line-1, 0), message: found[2]}
}

// walker collects what a text mentions, refuses what texts must not do, and guards range.
type walker struct {
	text     *text
	tree     *parse.Tree
	problems []compileError
}

func (w *walker) problem(at parse.Node, message string) {
	line := strings.Count(w.text.source[:min(int(at.Position()), len(w.text.source))], "\n")
	w.problems = append(w.problems, compileError{line: line, message: message})
}

// place is where in a text the walk is.
type place struct {
	inRange bool // a range may not stand in another
	moved   bool // inside with or range, where the dot is no longer the map of variables
}

func (w *walker) walk(node parse.Node, at place) {
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, item := range n.Nodes {
			w.walk(item, at)
		}
	case *parse.TextNode:
		w.text.static += string(n.Text)
	case *parse.ActionNode:
		w.pipe(n.Pipe, at)
	case *parse.IfNode:
		w.branch(&n.BranchNode, at, at)
	case *parse.WithNode:
		w.branch(&n.BranchNode, at, place{inRange: at.inRange, moved: true})
	case *parse.RangeNode:
		if at.inRange {
			w.problem(n, "range inside range is not allowed")
		}
		w.branch(&n.BranchNode, at, place{inRange: true, moved: true})
		guard := parse.NewIdentifier(listFunction).SetPos(n.Pos).SetTree(w.tree)
		n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Pos: n.Pos, Args: []parse.Node{guard}})
	case *parse.TemplateNode:
		w.problem(n, "template is not allowed")
	}
}

func (w *walker) branch(n *parse.BranchNode, at, inside place) {
	w.pipe(n.Pipe, at)
	w.walk(n.List, inside)
	w.walk(n.ElseList, at)
}

func (w *walker) pipe(pipe *parse.PipeNode, at place) {
	for _, cmd := range pipe.Cmds {
		for _, arg := range cmd.Args {
			w.argument(arg, at)
		}
	}
}

func (w *walker) argument(arg parse.Node, at place) {
	switch a := arg.(type) {
	case *parse.FieldNode:
		if !at.moved {
			w.text.variables = append(w.text.variables, a.Ident[0])
		}
	case *parse.VariableNode:
		if a.Ident[0] == "$" && len(a.Ident) > 1 {
			w.text.variables = append(w.text.variables, a.Ident[1])
		}
	case *parse.PipeNode:
		w.pipe(a, at)
	case *parse.ChainNode:
		w.argument(a.Node, at)
	case *parse.IdentifierNode:
		if a.Ident == listFunction || a.Ident == "call" {
			w.problem(a, fmt.Sprintf("function %q not defined", a.Ident))
		}
	}
}

// render runs the text over variables that plain has made. The error is a *failure.
func (t *text) render(vars map[string]any) (string, *failure) {
	var out bounded
	err := t.tree.Execute(&out, vars)
	switch {
	case out.full:
		return "", &failure{reason: errTooLong}
	case err != nil:
		return "", t.explain(err, vars)
	case strings.Contains(out.String(), noValue):
		// text/template writes this for null, whatever its options say.
		return "", &failure{variable: t.nulls(vars), reason: errNull}
	}
	return out.String(), nil
}

// noValue is what text/template writes for null.
const noValue = "<no value>"

// failure is why a text could not be rendered, without values.
type failure struct {
	variable string
	reason   error
}

// explain finds the reason in an error of text/template, whose own words may hold values.
func (t *text) explain(err error, vars map[string]any) *failure {
	if why, ok := errors.AsType[reason](err); ok {
		f := &failure{reason: why}
		switch {
		case why == errNull:
			f.variable = t.nulls(vars)
		case len(t.variables) == 1:
			f.variable = t.variables[0]
		}
		return f
	}
	if missing := t.missing(vars); missing != "" {
		return &failure{variable: missing, reason: errMissing}
	}
	if nulls := t.nulls(vars); nulls != "" {
		return &failure{variable: nulls, reason: errNull}
	}
	return &failure{reason: reason("a function or comparison got a value that it cannot take")}
}

// missing names the variables of the text that are not there.
func (t *text) missing(vars map[string]any) string {
	var names []string
	for _, name := range t.variables {
		if _, ok := vars[name]; !ok {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// nulls names the variables of the text that are null.
func (t *text) nulls(vars map[string]any) string {
	var names []string
	for _, name := range t.variables {
		if value, ok := vars[name]; ok && value == nil {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// bounded is a writer that refuses to grow beyond maxOutput.
type bounded struct {
	strings.Builder
	full bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxOutput {
		b.full = true
		return 0, errTooLong
	}
	return b.Builder.Write(p)
}
