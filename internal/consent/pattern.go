package consent

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A pattern describes a run of words within one sentence. Its parts stand apart by spaces:
//
//	stop            the word
//	stop|quit       one of them
//	unsub*          a word that begins so
//	{send}          one of a set, which is given by name in the same language; also among alternatives
//	please?         may be missing
//	#               a number
//	...             up to three words of any kind
//	^  $            first and last: only at the beginning, at the end of a sentence (courtesy does not count)
type pattern struct {
	text    string
	parts   []part
	atStart bool
	atEnd   bool
}

// part is one element of a pattern.
type part struct {
	words    []string // sorted
	prefixes []string
	number   bool
	optional bool
	gap      bool
}

// longestGap is how many words the part "..." stands for at most; mostParts bounds a pattern.
const (
	longestGap = 3
	mostParts  = 16
)

func parsePattern(text string, sets map[string]string) (*pattern, error) {
	p := &pattern{text: text}
	fields := strings.Fields(text)
	if len(fields) > 0 && fields[0] == "^" {
		p.atStart, fields = true, fields[1:]
	}
	if n := len(fields); n > 0 && fields[n-1] == "$" {
		p.atEnd, fields = true, fields[:n-1]
	}
	if len(fields) == 0 || len(fields) > mostParts {
		return nil, fmt.Errorf("a pattern has 1 to %d parts", mostParts)
	}
	for _, field := range fields {
		one, err := parsePart(field, sets)
		if err != nil {
			return nil, fmt.Errorf("part %q: %w", field, err)
		}
		p.parts = append(p.parts, one)
	}
	if first, last := p.parts[0], p.parts[len(p.parts)-1]; first.optional || first.gap || first.number || last.gap {
		return nil, errors.New("the first part must be a word, and the last one no gap")
	}
	return p, nil
}

func parsePart(field string, sets map[string]string) (part, error) {
	if field == "..." {
		return part{gap: true}, nil
	}
	var p part
	field, p.optional = strings.CutSuffix(field, "?")
	for one := range strings.SplitSeq(field, "|") {
		if name, isSet := strings.CutPrefix(one, "{"); isSet {
			name = strings.TrimSuffix(name, "}")
			words, known := sets[name]
			if !known {
				return p, fmt.Errorf("there is no set %q", name)
			}
			for word := range strings.SplitSeq(words, "|") {
				if err := p.add(strings.TrimSpace(word)); err != nil {
					return p, fmt.Errorf("set %q: %w", name, err)
				}
			}
			continue
		}
		if err := p.add(one); err != nil {
			return p, err
		}
	}
	slices.Sort(p.words)
	return p, nil
}

func (p *part) add(word string) error {
	if word == "#" {
		p.number = true
		return nil
	}
	stem, prefix := strings.CutSuffix(word, "*")
	normal := normalize(stem)
	if len(normal.words) != 1 {
		return fmt.Errorf("%q is not one word", word)
	}
	if prefix {
		p.prefixes = append(p.prefixes, normal.words[0])
	} else {
		p.words = append(p.words, normal.words[0])
	}
	return nil
}

func (p *part) takes(word string) bool {
	if _, found := slices.BinarySearch(p.words, word); found {
		return true
	}
	for _, prefix := range p.prefixes {
		if strings.HasPrefix(word, prefix) {
			return true
		}
	}
	return p.number && strings.Trim(word, "0123456789") == ""
}

// span is a sentence that patterns are held against. Masked words are not there for them.
type span struct {
	words  []string
	masked []bool // nil: none
}

// at tells how many words from position i on the pattern takes; 0 when it does not match there.
func (p *pattern) at(s span, i int) int {
	if p.atStart && i > 0 {
		return 0
	}
	end := p.rest(s, i, 0)
	return max(0, end-i)
}

// rest matches the parts from number n on, and returns where the match ends, or -1.
func (p *pattern) rest(s span, i, n int) int {
	if n == len(p.parts) {
		if p.atEnd && i < len(s.words) {
			return -1
		}
		return i
	}
	one := &p.parts[n]
	if one.gap {
		for skipped := 0; skipped <= longestGap && i+skipped <= len(s.words); skipped++ {
			if end := p.rest(s, i+skipped, n+1); end >= 0 {
				return end
			}
			if s.hidden(i + skipped) {
				break
			}
		}
		return -1
	}
	if i < len(s.words) && !s.hidden(i) && one.takes(s.words[i]) {
		if end := p.rest(s, i+1, n+1); end >= 0 {
			return end
		}
	}
	if one.optional {
		return p.rest(s, i, n+1)
	}
	return -1
}

func (s span) hidden(i int) bool { return i < len(s.masked) && s.masked[i] }

// patterns are many patterns, by the word that they begin with.
type patterns struct {
	byWord map[string][]rule
	others []rule // begin with a stem
}

// rule is a pattern of a language.
type rule struct {
	*pattern

	language string
}

func (p *patterns) add(r rule) {
	if p.byWord == nil {
		p.byWord = map[string][]rule{}
	}
	first := &r.parts[0]
	for _, word := range first.words {
		p.byWord[word] = append(p.byWord[word], r)
	}
	if len(first.prefixes) > 0 {
		p.others = append(p.others, r)
	}
}

// find calls found for every match; it ends when found returns true.
func (p *patterns) find(s span, found func(r rule, at, n int) bool) {
	for i, word := range s.words {
		if s.hidden(i) {
			continue
		}
		for _, rules := range [][]rule{p.byWord[word], p.others} {
			for _, r := range rules {
				if n := r.at(s, i); n > 0 && found(r, i, n) {
					return
				}
			}
		}
	}
}
