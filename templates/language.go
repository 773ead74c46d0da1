package templates

import (
	"strings"

	"golang.org/x/text/language"
)

// fallbackLanguage is what a message is written in when the language asked for is unknown or not there.
const fallbackLanguage = "en"

// parseTag reads a BCP 47 tag or a Salesforce locale (es_MX, en_US_EURO loses its currency). An empty or unknown
// language is false.
func parseTag(text string) (language.Tag, bool) {
	tag, err := language.Parse(strings.TrimSuffix(strings.TrimSpace(text), "_EURO"))
	if err != nil || tag == language.Und {
		return language.Und, false
	}
	return tag, true
}

// localized is something written in several languages, in the order of the file.
type localized[T any] struct {
	tags   []string
	values map[string]T
}

func (l *localized[T]) add(tag string, value T) {
	if l.values == nil {
		l.values = make(map[string]T)
	}
	l.tags = append(l.tags, tag)
	l.values[tag] = value
}

// inherited is the value of tag or of its nearest parent.
func (l *localized[T]) inherited(tag string) (T, bool) {
	for _, candidate := range chain(tag) {
		if value, ok := l.values[candidate]; ok {
			return value, true
		}
	}
	var none T
	return none, false
}

// choose picks the language to write in out of those that there are: the one asked for, its parents, en, the first.
func choose(asked string, available []string) string {
	for _, candidate := range append(chain(asked), fallbackLanguage) {
		for _, tag := range available {
			if tag == candidate {
				return tag
			}
		}
	}
	if len(available) == 0 {
		return fallbackLanguage
	}
	return available[0]
}

// chain is a tag and its parents, nearest first; empty for an unknown language. Parents are CLDR's (es-MX, es-419, es)
// and the plain language at the end, which CLDR leaves out where the script differs (zh-TW, zh-Hant, zh).
// A tag with an unknown ending counts as what stands before it.
func chain(text string) []string {
	const longest = 64 // far beyond any real tag
	if len(text) > longest {
		return nil
	}
	tag, ok := parseTag(text)
	for !ok {
		end := strings.LastIndexAny(text, "-_")
		if end < 0 {
			return nil
		}
		text = text[:end]
		tag, ok = parseTag(text)
	}
	base, _ := tag.Base()
	var out []string
	for ; tag != language.Und; tag = tag.Parent() {
		out = append(out, tag.String())
	}
	if out[len(out)-1] != base.String() {
		out = append(out, base.String())
	}
	return out
}
