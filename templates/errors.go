package templates

import (
	"errors"
	"fmt"
	"strings"

	"github.com/beckonhq/beckon/internal/message"
)

// ErrNotFound says that no template has the name asked for.
var ErrNotFound = errors.New("template not found")

// Problem is one mistake in one template file.
type Problem struct {
	File    string
	Line    int // from 1; 0 when the whole file is meant
	Column  int // from 1, in characters; 0 when unknown
	Message string
}

// String is file:line:column: message.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// LoadError holds every mistake of every file, in the order of file name and position.
type LoadError struct {
	Problems []Problem
}

// Error lists the problems, one a line.
func (e *LoadError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return "template files can't be used:\n" + strings.Join(lines, "\n")
}

// RenderError says why a template could not be rendered for one channel. It never holds the value of a variable.
type RenderError struct {
	Template string
	Channel  message.Channel
	Language string
	Variable string // the variable at fault; empty when it is not known to be one
	Reason   string
}

// Error names the template, the channel, the language and the reason.
func (e *RenderError) Error() string {
	about := ""
	if e.Variable != "" {
		about = "variable " + e.Variable + ": "
	}
	return fmt.Sprintf("template %s (%s, %s): %s%s", e.Template, e.Channel, e.Language, about, e.Reason)
}

// reason is an error whose text is free of values, so that it may be shown. Functions return nothing else.
type reason string

func (r reason) Error() string { return string(r) }

// Reasons that more than one place gives.
const (
	errNull    = reason("is null")
	errMissing = reason("is missing")
	errTooLong = reason("the output is too long")
)
