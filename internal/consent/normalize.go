package consent

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Bounds of the work on one reply: what lies beyond is not looked at.
const (
	mostWords   = 2048 // the longest text of WhatsApp, 4096 characters, has no more
	longestWord = 40   // in letters
)

// reply is a normalised text: small Latin letters without accents, and digits, in words. What stood between the words is
// gone, but for the ends of sentences.
type reply struct {
	words     []string
	sentences []sentence
}

// sentence is a part of a reply: the words from lo up to hi, without hi.
type sentence struct {
	lo, hi   int
	question bool // it ended with a question mark
}

func (r *reply) String() string { return strings.Join(r.words, " ") }

// normalize reads any bytes. Its result is the same for every way to write a text that looks the same to a reader: case,
// accents, full-width letters, look-alikes of other scripts, invisible characters, emoji, punctuation, a letter that is
// written three times or more, and words that are spelt letter by letter. It is idempotent.
func normalize(body string) *reply {
	s := scanner{reply: &reply{}}
	var decomposed norm.Iter
	decomposed.InitString(norm.NFKD, body)
	for !decomposed.Done() && len(s.reply.words) < mostWords {
		for _, c := range string(decomposed.Next()) {
			s.read(c)
		}
	}
	s.endWord()
	s.endSentence(false)
	for i, word := range s.reply.words {
		s.reply.words[i] = squeeze(foldLookAlikes(word), 3)
	}
	s.reply.joinLetters()
	return s.reply
}

// scanner splits a decomposed text into words and sentences.
type scanner struct {
	reply *reply
	word  []rune
	begun int // the first word of the sentence that is being read
}

func (s *scanner) read(c rune) {
	switch {
	case unicode.In(c, unicode.Mn, unicode.Me, unicode.Cf): // accents, and what is not there to the reader
	case unicode.IsLetter(c), unicode.IsDigit(c):
		if len(s.word) < longestWord {
			s.word = append(s.word, fold(unicode.ToLower(c))...)
		}
	case strings.ContainsRune("'’‘`ʼ", c):
		if elided(string(s.word)) {
			s.endWord()
		}
	case strings.ContainsRune(".!?;\n。", c):
		s.endWord()
		s.endSentence(c == '?')
	default:
		s.endWord()
	}
}

func (s *scanner) endWord() {
	if len(s.word) > 0 {
		s.reply.words = append(s.reply.words, string(s.word))
		s.word = s.word[:0]
	}
}

func (s *scanner) endSentence(question bool) {
	end := len(s.reply.words)
	if end > s.begun {
		s.reply.sentences = append(s.reply.sentences, sentence{s.begun, end, question})
		s.begun = end
	}
}

// fold writes the letters that have no decomposition as the ones that people write instead.
func fold(c rune) []rune {
	switch c {
	case 'ł':
		return []rune{'l'}
	case 'ø':
		return []rune{'o'}
	case 'đ':
		return []rune{'d'}
	case 'ı':
		return []rune{'i'}
	case 'ß':
		return []rune("ss")
	case 'æ':
		return []rune("ae")
	case 'œ':
		return []rune("oe")
	}
	return []rune{c}
}

// elided tells whether an apostrophe after a word parts two words (French j', l', qu'), and is no contraction (don't, I'm).
func elided(word string) bool {
	return slices.Contains([]string{"c", "d", "j", "l", "m", "n", "s", "t", "qu"}, word)
}

// foldLookAlikes rewrites a word whose every letter is Latin or looks so: "ЅТОР" in Cyrillic is "stop". Any other word stays
// as it is.
func foldLookAlikes(word string) string {
	out := make([]rune, 0, len(word))
	changed := false
	for _, c := range word {
		latin, ok := lookAlike(c)
		if !ok {
			return word
		}
		changed = changed || latin != c
		out = append(out, latin)
	}
	if !changed {
		return word
	}
	return string(out)
}

// lookAlike gives the Latin letter that a small letter of Cyrillic or Greek looks like, in capitals or small.
func lookAlike(c rune) (rune, bool) {
	const (
		other = "авекмнорстухіјѕԁԛԝ" + "αβεζηικμνορτυχ"
		latin = "abekmhopctyxijsdqw" + "abezhikmnoptyx"
	)
	if c < 0x80 {
		return c, true
	}
	n := 0
	for _, o := range other {
		if o == c {
			return rune(latin[n]), true
		}
		n++
	}
	return 0, false
}

// squeeze writes a letter once that stands at least n times in a row. Digits stay: 1000 is not 10.
func squeeze(word string, n int) string {
	letters := []rune(word)
	out := make([]rune, 0, len(letters))
	for i := 0; i < len(letters); {
		end := i + 1
		for end < len(letters) && letters[end] == letters[i] {
			end++
		}
		if end-i >= n && unicode.IsLetter(letters[i]) {
			out = append(out, letters[i])
		} else {
			out = append(out, letters[i:end]...)
		}
		i = end
	}
	if len(out) == len(letters) {
		return word
	}
	return string(out)
}

// joinLetters makes one word of a text that is spelt letter by letter: "S.T.O.P.".
func (r *reply) joinLetters() {
	if len(r.words) < 3 {
		return
	}
	for _, word := range r.words {
		if len(word) != 1 || !unicode.IsLetter(rune(word[0])) {
			return
		}
	}
	r.words = []string{squeeze(strings.Join(r.words, ""), 3)}
	r.sentences = []sentence{{0, 1, false}}
}
