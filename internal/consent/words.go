package consent

import (
	_ "embed" // the shipped vocabulary
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

//go:embed words.yaml
var shippedWords []byte

// shippedName is what errors about the shipped vocabulary call it.
const shippedName = "words.yaml (shipped)"

// File is a vocabulary in the form of words.yaml, with the name that errors show.
type File struct {
	Name string
	Data []byte
}

// Words is what tells an opt-out from other replies. It does not change after loading and is safe for concurrent use.
type Words struct {
	phrases   map[string]phrase
	courtesy  map[string]bool // phrases of one to longestCourtesy words
	questions map[string]bool // words that a question begins with
	reactions map[string]bool // phrases that a phone puts before the message that somebody reacted to
	sayStop   patterns
	mayBeStop patterns
	notStop   patterns
}

// phrase is a whole reply, or a whole sentence of one.
type phrase struct {
	keyword  Keyword
	language string
	bare     bool // it has other senses too: it counts as the whole reply only
}

// vocabularyFile is the form of words.yaml; its comments say what each key is.
type vocabularyFile struct {
	NamedByLaw []entry               `yaml:"named_by_law"`
	Languages  map[string]vocabulary `yaml:"languages"`
}

type vocabulary struct {
	Source   string            `yaml:"source"`
	Stop     []entry           `yaml:"stop"`
	Bare     []entry           `yaml:"bare"`
	Start    []entry           `yaml:"start"`
	Help     []entry           `yaml:"help"`
	Typos    []entry           `yaml:"typos"`
	Courtesy []entry           `yaml:"courtesy"`
	Question []entry           `yaml:"question"`
	Reaction []entry           `yaml:"reaction"`
	Sets     map[string]string `yaml:"sets"`
	Says     []entry           `yaml:"says"`
	MayMean  []entry           `yaml:"may_mean"`
	Not      []entry           `yaml:"not"`
	Drop     []entry           `yaml:"drop"`
}

// entry is a text of a file and where it stands.
type entry struct {
	text string
	line int
}

// UnmarshalYAML takes a scalar.
func (e *entry) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.ScalarNode || strings.TrimSpace(node.Value) == "" {
		return fmt.Errorf("line %d: want a text", node.Line)
	}
	e.text, e.line = node.Value, node.Line
	return nil
}

// DefaultWords is the vocabulary that is shipped with the program. It panics if that file is broken, which a test rules out.
func DefaultWords() *Words {
	words, err := LoadWords()
	if err != nil {
		panic(err)
	}
	return words
}

// LoadWords reads the shipped vocabulary and files that add to it, or drop from it. Unknown keys, patterns that can't be
// read, and dropping what is not there, or what the law names, are errors; all are reported at once, with file and line.
func LoadWords(more ...File) (*Words, error) {
	l := loader{languages: map[string]*vocabulary{}}
	l.read(File{shippedName, shippedWords})
	for _, file := range more {
		l.read(file)
	}
	words := l.compile()
	if len(l.problems) > 0 {
		return nil, fmt.Errorf("opt-out vocabulary: %w", errors.Join(l.problems...))
	}
	return words, nil
}

// loader merges files, and remembers where each entry came from.
type loader struct {
	languages map[string]*vocabulary
	named     map[string]bool // by the law
	files     map[entry]string
	problems  []error
}

func (l *loader) complain(file string, line int, format string, args ...any) {
	problem := fmt.Errorf("%s:%d: %w", file, line, fmt.Errorf(format, args...))
	if !slices.ContainsFunc(l.problems, func(known error) bool { return known.Error() == problem.Error() }) {
		l.problems = append(l.problems, problem)
	}
}

func (l *loader) read(file File) {
	var read vocabularyFile
	if saysNothing(file.Data) {
		return
	}
	if err := yaml.Load(file.Data, &read, yaml.WithKnownFields()); err != nil {
		l.unreadable(file.Name, err)
		return
	}
	if l.named == nil { // the shipped file, which is read first
		l.named = map[string]bool{}
		for _, e := range read.NamedByLaw {
			l.named[normalize(e.text).String()] = true
		}
	} else if len(read.NamedByLaw) > 0 {
		l.complain(file.Name, read.NamedByLaw[0].line, "named_by_law can't be changed")
	}
	for _, language := range slices.Sorted(maps.Keys(read.Languages)) {
		l.merge(file.Name, language, read.Languages[language])
	}
}

// unreadable turns the YAML library's error into problems with file and line.
func (l *loader) unreadable(file string, err error) {
	text := strings.Join(strings.Fields(err.Error()), " ")
	line := 0
	if found := regexp.MustCompile(`\bL(\d+)\.C|\bline (\d+)`).FindStringSubmatch(text); found != nil {
		line, _ = strconv.Atoi(found[1] + found[2]) // digits only
	}
	l.complain(file, line, "%s", text)
}

// saysNothing tells whether a file is empty but for comments, which the YAML library takes for a mistake.
func saysNothing(data []byte) bool {
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

// merge adds a file's part about a language to what is there.
func (l *loader) merge(file, language string, more vocabulary) {
	have := l.languages[language]
	if have == nil {
		have = &vocabulary{Sets: map[string]string{}}
		l.languages[language] = have
	}
	lists, added := have.lists(), more.lists()
	for i := range lists {
		for _, e := range *added[i] {
			l.from(file, e)
		}
	}
	for _, e := range more.Drop {
		l.drop(file, have, e)
	}
	for i := range lists {
		*lists[i] = append(*lists[i], *added[i]...)
	}
	maps.Copy(have.Sets, more.Sets)
}

// lists are all lists of entries but drop.
func (v *vocabulary) lists() []*[]entry {
	return []*[]entry{&v.Stop, &v.Bare, &v.Start, &v.Help, &v.Typos, &v.Courtesy, &v.Question, &v.Reaction, &v.Says, &v.MayMean, &v.Not}
}

func (l *loader) from(file string, e entry) {
	if l.files == nil {
		l.files = map[entry]string{}
	}
	l.files[e] = file
}

func (l *loader) drop(file string, have *vocabulary, dropped entry) {
	if l.named[normalize(dropped.text).String()] {
		l.complain(file, dropped.line, "%q can't be dropped: the law names it", dropped.text)
		return
	}
	found := false
	for _, list := range have.lists() {
		n := len(*list)
		*list = slices.DeleteFunc(*list, func(e entry) bool { return strings.EqualFold(e.text, dropped.text) })
		found = found || len(*list) < n
	}
	if !found {
		l.complain(file, dropped.line, "there is no %q to drop in this language", dropped.text)
	}
}

func (l *loader) compile() *Words {
	w := &Words{phrases: map[string]phrase{}, courtesy: map[string]bool{}, questions: map[string]bool{}, reactions: map[string]bool{}}
	languages := slices.Sorted(maps.Keys(l.languages))
	for _, form := range []func(string) string{asItIs, simpleLetters} { // what is written so goes before what may be meant
		for _, language := range languages {
			v := l.languages[language]
			l.phrases(w, form, v.Stop, phrase{Stop, language, false})
			l.phrases(w, form, v.Bare, phrase{Stop, language, true})
			l.phrases(w, form, v.Start, phrase{Start, language, true})
			l.phrases(w, form, v.Help, phrase{Help, language, false})
			l.phrases(w, form, v.Typos, phrase{Review, language, false})
		}
	}
	for _, language := range languages {
		v := l.languages[language]
		for _, e := range v.Courtesy {
			w.courtesy[l.normal(e, longestCourtesy)] = true
		}
		for _, e := range v.Question {
			w.questions[l.normal(e, 1)] = true
		}
		for _, e := range v.Reaction {
			w.reactions[l.normal(e, longestPhrase)] = true
		}
		l.patterns(&w.sayStop, v.Says, language, v.Sets)
		l.patterns(&w.mayBeStop, v.MayMean, language, v.Sets)
		l.patterns(&w.notStop, v.Not, language, v.Sets)
	}
	return w
}

// normal is an entry as replies are looked up, of at most so many words.
func (l *loader) normal(e entry, most int) string {
	words := normalize(e.text).words
	if len(words) == 0 || len(words) > most {
		l.complain(l.files[e], e.line, "%q: want 1 to %d words", e.text, most)
	}
	return strings.Join(words, " ")
}

func asItIs(normal string) string { return normal }

// simpleLetters writes double letters once, which is what is left of "ARRRRET".
func simpleLetters(normal string) string { return squeeze(normal, 2) }

// phrases adds the phrases in a form. The first one that has a form keeps it, but a stop goes before anything else.
func (l *loader) phrases(w *Words, form func(string) string, entries []entry, p phrase) {
	for _, e := range entries {
		text := form(l.normal(e, longestPhrase))
		if known, there := w.phrases[text]; !there || known.keyword != Stop && p.keyword == Stop {
			w.phrases[text] = p
		}
	}
}

func (l *loader) patterns(to *patterns, entries []entry, language string, sets map[string]string) {
	for _, e := range entries {
		p, err := parsePattern(e.text, sets)
		if err != nil {
			l.complain(l.files[e], e.line, "pattern %q: %w", e.text, err)
			continue
		}
		to.add(rule{p, language})
	}
}
