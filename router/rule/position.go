package rule

import (
	"slices"
	"unicode"

	"go.yaml.in/yaml/v4"
)

// position is a place in a file; line and column count from 1.
type position struct {
	line, column int
}

func at(node *yaml.Node) position { return position{node.Line, node.Column} }

// file is the text of one file with the starts of its lines.
type file struct {
	name  string
	runes []rune
	lines []int // index in runes of the first character of each line
}

func newFile(name string, data []byte) *file {
	f := &file{name: name, runes: []rune(string(data)), lines: []int{0}}
	for i, r := range f.runes {
		if r == '\n' {
			f.lines = append(f.lines, i+1)
		}
	}
	return f
}

// offset is the index of a position in the text, or -1 when it lies outside.
func (f *file) offset(p position) int {
	if p.line < 1 || p.line > len(f.lines) {
		return -1
	}
	if i := f.lines[p.line-1] + p.column - 1; i >= 0 && i <= len(f.runes) {
		return i
	}
	return -1
}

func (f *file) position(offset int) position {
	line, found := slices.BinarySearch(f.lines, offset)
	if !found {
		line--
	}
	return position{line + 1, offset - f.lines[line] + 1}
}

// inScalar maps the n-th character of a scalar's value back to the file. It walks value and file side by side, because
// YAML folds lines, takes away indentation and knows escapes; where they cannot be matched the scalar's own place is
// the answer.
func (f *file) inScalar(node *yaml.Node, n int) position {
	i := f.scalarStart(node)
	if i < 0 {
		return at(node)
	}
	for k, r := range []rune(node.Value) {
		for i < len(f.runes) && !unicode.IsSpace(r) && f.runes[i] != r {
			i++
		}
		if i >= len(f.runes) {
			return at(node)
		}
		if k == n {
			return f.position(i)
		}
		if !unicode.IsSpace(r) || unicode.IsSpace(f.runes[i]) {
			i++
		}
	}
	return f.position(min(i, len(f.runes)))
}

// scalarStart is the index in the file of the first character of a scalar's value.
func (f *file) scalarStart(node *yaml.Node) int {
	start := at(node)
	switch {
	case node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		start = position{node.Line + 1, 1}
	case node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		start.column++
	}
	return f.offset(start)
}
