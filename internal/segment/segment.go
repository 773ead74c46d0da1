package segment

import "unicode/utf8"

// The names of the encodings, as Twilio's calculator writes them.
const (
	GSM7 = "GSM-7"
	UCS2 = "UCS-2"
)

// Units that fit in the only part of a message and in each of several (3GPP TS 23.038 and TS 23.040).
const (
	gsmSingle = 160 // septets
	gsmPart   = 153
	ucsSingle = 70 // code units of 16 bits
	ucsPart   = 67
)

// Info is the size of a text on the wire.
type Info struct {
	Encoding string // GSM7 or UCS2
	Segments int    // parts, each billed as a message; 0 for the empty text
	Units    int    // septets (GSM7, an extension character counts 2) or 16-bit code units (UCS2), without headers
}

// Count gives the size of text. The empty text has no parts: Twilio refuses to send it (error 21602).
func Count(text string) Info {
	units, gsm := septetsOf(text)
	if gsm {
		return Info{Encoding: GSM7, Segments: parts(text, units, alphabet{septets, gsmSingle, gsmPart}), Units: units}
	}
	units = codeUnitsOf(text)
	return Info{Encoding: UCS2, Segments: parts(text, units, alphabet{codeUnits, ucsSingle, ucsPart}), Units: units}
}

// Split cuts text into the parts in which it travels. The parts put together are text, byte for byte; there are as many
// as Count says, so none for the empty text.
func Split(text string) []string {
	units, gsm := septetsOf(text)
	how := alphabet{septets, gsmSingle, gsmPart}
	if !gsm {
		units, how = codeUnitsOf(text), alphabet{codeUnits, ucsSingle, ucsPart}
	}
	switch {
	case text == "":
		return nil
	case units <= how.single:
		return []string{text}
	}
	var out []string
	start := 0
	how.cut(text, func(end int) {
		out = append(out, text[start:end])
		start = end
	})
	return append(out, text[start:])
}

// NonGSM lists the characters that force text into UCS-2, each once, in the order of their first appearance. It is
// empty for a text that fits GSM-7. A byte that isn't valid UTF-8 is listed as U+FFFD.
func NonGSM(text string) []rune {
	var found []rune
	seen := make(map[rune]bool)
	for _, r := range text {
		if septets(r) == 0 && !seen[r] {
			seen[r] = true
			found = append(found, r)
		}
	}
	return found
}

// alphabet is one of the two encodings: how many units a character takes and how many units fit.
type alphabet struct {
	size         func(rune) int
	single, part int
}

// cut calls at with the byte position of each border between two parts.
func (a alphabet) cut(text string, at func(int)) {
	used := 0
	for i, r := range text {
		size := a.size(r)
		if used+size > a.part {
			at(i)
			used = 0
		}
		used += size
	}
}

// parts is the number of parts that text, which takes the given units, is sent in.
func parts(text string, units int, how alphabet) int {
	if units == 0 {
		return 0
	}
	if units <= how.single {
		return 1
	}
	borders := 0
	how.cut(text, func(int) { borders++ })
	return borders + 1
}

// septetsOf is the size of text in GSM-7, and false when it doesn't fit that encoding.
func septetsOf(text string) (int, bool) {
	total := 0
	for _, r := range text {
		size := septets(r)
		if size == 0 {
			return 0, false
		}
		total += size
	}
	return total, true
}

func codeUnitsOf(text string) int {
	total := 0
	for _, r := range text {
		total += codeUnits(r)
	}
	return total
}

// codeUnits is the number of 16-bit units of a character in UTF-16, which is what phones read UCS-2 as.
func codeUnits(r rune) int {
	const lastOfBasicPlane = 0xFFFF
	if r > lastOfBasicPlane && r <= utf8.MaxRune {
		return 2
	}
	return 1
}
