package consent

import (
	"slices"
	"strings"
)

// Verdict is what a reply says about consent, and why we think so: together the evidence of an entry in the ledger.
type Verdict struct {
	Keyword  Keyword
	Language string // of the word or pattern that decided; empty for None
	Normal   string // the reply as it was compared
	Rule     string // the word or pattern that decided; empty for None
}

// The longest courtesy and the longest phrase, in words.
const (
	longestCourtesy = 4
	longestPhrase   = 6
)

// stopSigns may mean an opt-out when there are no words. Beside words, emoji say nothing. noLanguage is ISO 639-2 for what has none.
const (
	stopSigns  = "🛑⛔🚫"
	noLanguage = "zxx"
)

// Classify tells what a reply says about consent. Any bytes will do; it never fails.
//
// A phrase of the vocabulary that is the whole reply counts, courtesy around it or not, and so does wording that says stop
// in so many words. A bare phrase, which has other senses too (END, CANCEL), must be the whole reply; so must START, since an
// opt-in is never guessed. What may mean an opt-out, a slip of the keyboard, a stop beside other sentences, or one that is put
// as a question, is for review.
func (w *Words) Classify(body string) Verdict {
	body = w.ownWords(body)
	r := normalize(body)
	v := Verdict{Normal: r.String()}
	if p, ok := w.phrases[v.Normal]; ok && len(r.words) <= longestPhrase {
		return v.decided(p.keyword, p.language, v.Normal)
	}
	if len(r.words) == 0 && strings.ContainsAny(body, stopSigns) {
		return v.decided(Review, noLanguage, "a stop sign")
	}
	sentences := w.withoutCourtesy(r)
	for _, decide := range []func(*reply, []sentence, *Verdict) bool{w.onlyPhrases, w.wording, w.amongOthers} {
		if decide(r, sentences, &v) {
			return v
		}
	}
	return v
}

// Pressed tells whether one of the texts that belong to a button or a list entry, such as its payload, opts out: it must be a phrase
// for stop, and nothing else. A bare phrase is none here, since the payload of "Cancel my visit" is cancel; nor are phrases for
// start and help, since a person who presses a button does not see its payload.
func (w *Words) Pressed(texts ...string) (Verdict, bool) {
	for _, text := range texts {
		normal := normalize(text).String()
		if p := w.phrases[normal]; p.keyword == Stop && !p.bare {
			return Verdict{Normal: normal}.decided(Stop, p.language, normal), true
		}
	}
	return Verdict{}, false
}

func (v Verdict) decided(keyword Keyword, language, rule string) Verdict {
	v.Keyword, v.Language, v.Rule = keyword, language, rule
	return v
}

// withoutCourtesy takes courtesy off both ends of each sentence, and drops a sentence that is nothing else.
func (w *Words) withoutCourtesy(r *reply) []sentence {
	var left []sentence
	for _, s := range r.sentences {
		for n := 1; n > 0 && s.lo < s.hi; {
			n = w.courtesyFrom(r.words[s.lo:s.hi])
			s.lo += n
		}
		for n := 1; n > 0 && s.lo < s.hi; {
			n = w.courtesyUpTo(r.words[s.lo:s.hi])
			s.hi -= n
		}
		if s.lo < s.hi {
			left = append(left, s)
		}
	}
	return left
}

// courtesyFrom tells how many words at the beginning are courtesy; the longest phrase goes first.
func (w *Words) courtesyFrom(words []string) int {
	for n := min(longestCourtesy, len(words)); n > 0; n-- {
		if w.courtesy[strings.Join(words[:n], " ")] {
			return n
		}
	}
	return 0
}

func (w *Words) courtesyUpTo(words []string) int {
	for n := min(longestCourtesy, len(words)); n > 0; n-- {
		if w.courtesy[strings.Join(words[len(words)-n:], " ")] {
			return n
		}
	}
	return 0
}

// onlyPhrases decides replies in which every sentence is the same kind of phrase.
func (w *Words) onlyPhrases(r *reply, sentences []sentence, v *Verdict) bool {
	var keyword Keyword
	for _, s := range sentences {
		p, text := w.phrase(r, s)
		if p.keyword == Stop && p.bare { // please cancel: probably, but what?
			p.keyword = Review
		}
		if p.keyword == None || p.keyword == Start || keyword != None && p.keyword != keyword {
			return false
		}
		keyword = p.keyword
		*v = v.decided(keyword, p.language, text)
	}
	return keyword != None
}

// phrase finds a sentence in the vocabulary. One that says the same word again and again says it once. A letter that is doubled by a slip
// of the keyboard (STTOP) makes a stop one for review: it may be another word (stoop).
func (w *Words) phrase(r *reply, s sentence) (phrase, string) {
	words := r.words[s.lo:s.hi]
	if same := slices.Compact(slices.Clone(words)); len(same) == 1 {
		words = same
	}
	if len(words) > longestPhrase {
		return phrase{}, ""
	}
	text := strings.Join(words, " ")
	if p, ok := w.phrases[text]; ok {
		return p, text
	}
	if p := w.phrases[simpleLetters(text)]; p.keyword == Stop && !p.bare {
		return phrase{Review, p.language, false}, simpleLetters(text)
	}
	return phrase{}, text
}

// wording decides by patterns: first what says stop, unless it is put as a question, then what may mean it.
func (w *Words) wording(r *reply, sentences []sentence, v *Verdict) bool {
	var doubtful *rule
	spans := make([]span, len(sentences))
	for i, s := range sentences {
		spans[i] = w.mask(span{words: r.words[s.lo:s.hi]})
		var said *rule
		w.sayStop.find(spans[i], func(found rule, _, _ int) bool { said = &found; return true })
		switch {
		case said == nil:
		case s.question || w.questions[r.words[s.lo]]:
			doubtful = said
		default:
			*v = v.decided(Stop, said.language, said.text)
			return true
		}
	}
	for _, s := range spans {
		if doubtful == nil {
			w.mayBeStop.find(s, func(found rule, _, _ int) bool { doubtful = &found; return true })
		}
	}
	if doubtful != nil {
		*v = v.decided(Review, doubtful.language, doubtful.text)
	}
	return doubtful != nil
}

// mask hides the words that are known to be in another sense.
func (w *Words) mask(s span) span {
	var masked []bool
	w.notStop.find(s, func(_ rule, at, n int) bool {
		if masked == nil {
			masked = make([]bool, len(s.words))
		}
		for i := at; i < at+n; i++ {
			masked[i] = true
		}
		return false
	})
	s.masked = masked
	return s
}

// amongOthers leaves a reply for review when one of its sentences is a phrase that has no other sense.
func (w *Words) amongOthers(r *reply, sentences []sentence, v *Verdict) bool {
	for _, s := range sentences {
		if p, text := w.phrase(r, s); p.keyword == Stop && !p.bare {
			*v = v.decided(Review, p.language, text)
			return true
		}
	}
	return false
}
