package rule

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake in a rule file, a test file or a WSDL. Line and Column count from 1 and are 0 when the mistake
// belongs to the file as a whole.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
}

// String is file:line:column: message, the form in which editors find the place.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// LoadError is what Load and LoadTests return when a file is wrong: all problems of all files, by file and position.
type LoadError struct {
	Problems []Problem
}

// Error lists the problems, one a line.
func (e *LoadError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// problems collects what is wrong while the files are read.
type problems struct {
	list []Problem
}

func (p *problems) add(file string, at position, format string, args ...any) {
	p.list = append(p.list, Problem{File: file, Line: at.line, Column: at.column, Message: fmt.Sprintf(format, args...)})
}

// sorted gives the problems by file and position, each once.
func (p *problems) sorted() []Problem {
	slices.SortStableFunc(p.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(p.list)
}

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	return &LoadError{Problems: p.sorted()}
}
