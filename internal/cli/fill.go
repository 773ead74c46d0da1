package cli

import (
	"maps"
	"slices"

	"github.com/beckonhq/beckon/templates"
)

// maxFills bounds the tries to find values that a template can show.
const maxFills = 4096

// placeholder stands for a variable of which nothing but the name is known.
type placeholder string

// filler looks for values of the variables that nobody gave.
type filler struct {
	set      *templates.Set
	template string
	vars     map[string]any
	open     []string // variables without a value
	tries    int
}

// fill replaces placeholders: by the name in angle brackets, and where a function wants a number, a time or a currency, by
// one. It changes as few as possible. What no value fits is left to the preview to complain about.
func fill(set *templates.Set, template string, vars map[string]any) {
	f := filler{set: set, template: template, vars: vars}
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if _, ok := vars[name].(placeholder); ok {
			f.open, vars[name] = append(f.open, name), "<"+name+">"
		}
	}
	for changes := range len(f.open) + 1 {
		if f.try(0, changes) {
			return
		}
	}
}

// try gives values to as many as changes variables from the given one on, and tells whether the template shows them all.
func (f *filler) try(from, changes int) bool {
	if changes == 0 {
		return f.fits()
	}
	for i := from; i < len(f.open) && f.tries < maxFills; i++ {
		name := f.open[i]
		before := f.vars[name]
		for _, value := range []string{"1234.5", "2026-05-04T10:00:00-04:00", "USD"} {
			f.vars[name] = value
			if f.try(i+1, changes-1) {
				return true
			}
		}
		f.vars[name] = before
	}
	return false
}

func (f *filler) fits() bool {
	f.tries++
	for _, language := range f.set.Languages(f.template) {
		if _, err := f.set.Render(f.template, language, f.vars); err != nil {
			return false
		}
	}
	return true
}
