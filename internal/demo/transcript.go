package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Columns of the transcript: time, actor, text.
const (
	actorWidth  = 13
	indent      = 2 + 9 + 2 + actorWidth + 2
	width       = 100
	textWidth   = width - indent
	bubbleWidth = 56
)

// transcript writes what happens, with the time since the story began.
type transcript struct {
	out   io.Writer
	color bool
	began time.Time
	steps int
}

func newTranscript(out io.Writer, color bool) *transcript {
	return &transcript{out: out, color: color, began: time.Now()}
}

func (t *transcript) restart()             { t.began = time.Now() }
func (t *transcript) since() time.Duration { return time.Since(t.began) }

const (
	bold  = "1"
	dim   = "2"
	green = "32"
	cyan  = "36"
)

func (t *transcript) paint(style, text string) string {
	if !t.color || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

func (t *transcript) line(text string) {
	_, _ = io.WriteString(t.out, strings.TrimRight(text, " ")+"\n")
}

// plain writes a line outside of the columns.
func (t *transcript) plain(format string, args ...any) { t.line(fmt.Sprintf(format, args...)) }

func (t *transcript) title(text string) {
	t.line("")
	t.line("  " + t.paint(bold, text))
	t.line("")
}

// step begins a part of the story.
func (t *transcript) step(text string) {
	t.steps++
	heading := fmt.Sprintf("%d  %s ", t.steps, text)
	t.line("")
	t.line("  " + t.paint(bold, heading) + t.paint(dim, strings.Repeat("─", width-2-utf8.RuneCountInString(heading))))
}

// say writes that somebody did something, now.
func (t *transcript) say(actor, format string, args ...any) {
	lines := wrap(fmt.Sprintf(format, args...), textWidth)
	for i, text := range lines {
		if i > 0 {
			t.line(strings.Repeat(" ", indent) + text)
			continue
		}
		at := fmt.Sprintf("%9s", fmt.Sprintf("+%.3fs", t.since().Seconds()))
		t.line("  " + t.paint(dim, at) + "  " + t.paint(cyan, pad(actor, actorWidth)) + "  " + text)
	}
}

// bubble writes a text as a phone shows it.
func (t *transcript) bubble(title, text string) {
	margin := strings.Repeat(" ", indent)
	lines := wrap(text, bubbleWidth)
	inner := utf8.RuneCountInString(title) + 1
	for _, line := range lines {
		inner = max(inner, utf8.RuneCountInString(line))
	}
	t.line(margin + t.paint(green, "╭─ "+title+" "+strings.Repeat("─", inner-utf8.RuneCountInString(title))+"╮"))
	for _, line := range lines {
		t.line(margin + t.paint(green, "│ ") + " " + pad(line, inner) + " " + t.paint(green, "│"))
	}
	t.line(margin + t.paint(green, "╰─"+strings.Repeat("─", inner+2)+"╯"))
}

// table writes rows below a heading, each column as wide as it must be.
func (t *transcript) table(rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for i, row := range rows {
		var b strings.Builder
		for column, cell := range row {
			b.WriteString("  " + pad(cell, widths[column]))
		}
		if text := strings.TrimRight(b.String(), " "); i == 0 {
			t.line(t.paint(dim, text))
		} else {
			t.line(text)
		}
	}
}

func pad(text string, to int) string {
	return text + strings.Repeat(" ", max(0, to-utf8.RuneCountInString(text)))
}

// shorten cuts a text that is longer than limit.
func shorten(text string, limit int) string {
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return text
}

// wrap breaks a text at spaces so that no line is longer than limit, unless a word is.
func wrap(text string, limit int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= limit:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}
