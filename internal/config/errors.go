package config

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	// File, Line and Column say where, when it is in the file; lines and columns count from 1.
	File         string
	Line, Column int
	// Name is the YAML path or the variable.
	Name string
	// Text says what is wrong and what to do. It never quotes a secret or a phone number.
	Text string
}

// String is the problem on one line: "beckon.yaml:3:5: http.addr: ...".
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ":")
		if p.Line > 0 {
			fmt.Fprintf(&b, "%d:%d:", p.Line, p.Column)
		}
		b.WriteString(" ")
	}
	if p.Name != "" {
		b.WriteString(p.Name + ": ")
	}
	return b.String() + p.Text
}

// Error is the error of Load: everything that is wrong, in the order file, environment, relations between values.
type Error struct {
	// Problems has at least one element.
	Problems []Problem
}

// Error has one line for each problem.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	lines = append(lines, "bad configuration:")
	for _, p := range e.Problems {
		lines = append(lines, "  "+p.String())
	}
	return strings.Join(lines, "\n")
}

// Missing is one thing that a role needs and that is not configured.
type Missing struct {
	// Role is ingest, router or dispatcher.
	Role string
	// Name is the variable, or several with "or" between them.
	Name string
	// Why says what the role needs it for.
	Why string
}

// MissingError is the error of Check: what is missing for the roles, and role names that do not exist.
type MissingError struct {
	// Missing has a line for each role and thing.
	Missing []Missing
	// UnknownRoles are names that are no role.
	UnknownRoles []string
}

// Error has one line for each missing thing.
func (e *MissingError) Error() string {
	lines := []string{"cannot start, the configuration is not complete:"}
	for _, role := range e.UnknownRoles {
		lines = append(lines, fmt.Sprintf("  there is no role %q: the roles are %s", role, strings.Join(Roles(), ", ")))
	}
	for _, m := range e.Missing {
		lines = append(lines, fmt.Sprintf("  role %s needs %s: %s", m.Role, m.Name, m.Why))
	}
	return strings.Join(lines, "\n")
}
