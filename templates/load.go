package templates

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/beckonhq/beckon/internal/message"
)

// maxFile is the most bytes of a template file.
const maxFile = 1 << 20

// Set is all templates of one load. It does not change and is safe for concurrent use.
type Set struct {
	byName  map[string]*entry
	version string
}

// entry is one template.
type entry struct {
	name, file string
	sms        localized[*text]
	whatsapp   whatsapp
	media      map[message.Channel]*files
}

// whatsapp is the WhatsApp part of a template.
type whatsapp struct {
	present   bool
	sids      localized[string]
	anySID    string // one content_sid for every language
	text      localized[*text]
	variables []variable
	languages []string // of sids and texts together, in the order of the file
}

// variable is one entry of content_variables: its text compiled for each of the languages.
type variable struct {
	key  string
	name string // as written in the file, for messages
	text map[string]*text
}

// Load reads every *.yaml file in the root of fsys; a template's name is its file's name without the ending. The error
// is a *LoadError with every mistake of every file, or fs's own when the folder can't be read.
func Load(fsys fs.FS) (*Set, error) {
	files, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("template folder can't be read: %w", err)
	}
	set := &Set{byName: make(map[string]*entry)}
	hash := sha256.New()
	var problems []Problem
	for _, file := range files {
		name := file.Name()
		switch ending := path.Ext(name); {
		case file.IsDir() || strings.HasPrefix(name, "."):
			continue
		case ending == ".yml":
			problems = append(problems, Problem{File: name, Message: "template files end in .yaml: rename it"})
			continue
		case ending != ".yaml":
			continue
		}
		data, err := readFile(fsys, name)
		if err != nil {
			problems = append(problems, Problem{File: name, Message: err.Error()})
			continue
		}
		fmt.Fprintf(hash, "%s %d\n%s", name, len(data), data)
		one, wrong := parseFile(name, data)
		problems = append(problems, wrong...)
		set.byName[one.name] = one
	}
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b Problem) int {
			return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		return nil, &LoadError{Problems: problems}
	}
	const shown = 12
	set.version = hex.EncodeToString(hash.Sum(nil))[:shown]
	return set, nil
}

func readFile(fsys fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("can't be read: %w", err)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("is larger than %d bytes", maxFile)
	}
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("can't be read: %w", err)
	}
	return data, nil
}

// Names lists the templates, sorted.
func (s *Set) Names() []string {
	names := make([]string, 0, len(s.byName))
	for name := range s.byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Has tells whether there is a template of that name.
func (s *Set) Has(name string) bool { return s.byName[name] != nil }

// Channels lists the channels that a template has something for; none for an unknown template.
func (s *Set) Channels(name string) []message.Channel {
	t := s.byName[name]
	var out []message.Channel
	if t != nil && len(t.sms.tags) > 0 {
		out = append(out, message.SMS)
	}
	if t != nil && t.whatsapp.present {
		out = append(out, message.WhatsApp)
	}
	return out
}

// ContentUse is an approved template that a template file names.
type ContentUse struct {
	Template string
	Language string // empty: for every language
	SID      string
	Keys     []string // of its variables, in the order of the file
	File     string
}

// Placeholder tells whether the SID is one of the shipped templates, which stand for those of an account.
func (c ContentUse) Placeholder() bool { return strings.HasPrefix(c.SID, "HX"+strings.Repeat("0", 24)) }

// Contents lists the approved templates that the files name, sorted by template; those of one template as in its file.
func (s *Set) Contents() []ContentUse {
	var out []ContentUse
	for _, name := range s.Names() {
		t := s.byName[name]
		use := ContentUse{Template: name, SID: t.whatsapp.anySID, File: t.file}
		for _, v := range t.whatsapp.variables {
			use.Keys = append(use.Keys, v.key)
		}
		if use.SID != "" {
			out = append(out, use)
		}
		for _, tag := range t.whatsapp.sids.tags {
			use.Language, use.SID = tag, t.whatsapp.sids.values[tag]
			out = append(out, use)
		}
	}
	return out
}

// Languages lists the language tags that a template is written in, on any channel, sorted.
func (s *Set) Languages(name string) []string {
	t := s.byName[name]
	if t == nil {
		return nil
	}
	out := slices.Concat(t.sms.tags, t.whatsapp.languages)
	slices.Sort(out)
	return slices.Compact(out)
}

// Variables lists the variables that a template mentions on any channel and in any language, sorted: what a rule that
// uses it has to give.
func (s *Set) Variables(name string) []string {
	t := s.byName[name]
	if t == nil {
		return nil
	}
	var out []string
	for _, texts := range []localized[*text]{t.sms, t.whatsapp.text} {
		for _, one := range texts.values {
			out = append(out, one.variables...)
		}
	}
	for _, list := range t.media {
		for _, one := range list.texts() {
			out = append(out, one.variables...)
		}
	}
	for _, v := range t.whatsapp.variables {
		for _, one := range v.text {
			out = append(out, one.variables...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Version changes with the content of the files: 12 hexadecimal digits.
func (s *Set) Version() string { return s.version }

// isName tells a template's name: kebab-case.
func isName(name string) bool {
	return regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`).MatchString(name)
}
