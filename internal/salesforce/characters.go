package salesforce

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

const byteOrderMark = "\xEF\xBB\xBF"

// checkCharacters looks at the whole document once, before it is parsed: UTF-8, and only characters that XML 1.0
// section 2.2 allows. The parser then needs no thought about either.
func checkCharacters(src []byte) error {
	if bytes.HasPrefix(src, []byte("\xFE\xFF")) || bytes.HasPrefix(src, []byte("\xFF\xFE")) {
		return malformed(0, "the encoding is UTF-16, only UTF-8 is accepted")
	}
	if !utf8.Valid(src) {
		return malformed(firstInvalid(src), "not valid UTF-8")
	}
	if at := firstControl(src); at >= 0 {
		return malformed(at, "a control character that XML does not allow")
	}
	if at := firstNoncharacter(src); at >= 0 {
		return malformed(at, "a character that XML does not allow")
	}
	return nil
}

func firstInvalid(src []byte) int {
	at := 0
	for at < len(src) {
		r, size := utf8.DecodeRune(src[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return at
}

// firstControl finds the first byte below space that is not tab, line feed or carriage return. It takes eight bytes at
// a time: the subtraction borrows into the top bit of a byte that is below 0x20, and a false alarm only costs a look.
func firstControl(src []byte) int {
	const (
		spaces = 0x2020202020202020
		tops   = 0x8080808080808080
	)
	i := 0
	for ; i+8 <= len(src); i += 8 {
		word := binary.LittleEndian.Uint64(src[i:])
		if (word-spaces)&^word&tops == 0 {
			continue
		}
		for j, c := range src[i : i+8] {
			if c < ' ' && !isSpace(c) {
				return i + j
			}
		}
	}
	for ; i < len(src); i++ {
		if c := src[i]; c < ' ' && !isSpace(c) {
			return i
		}
	}
	return -1
}

// firstNoncharacter finds U+FFFE or U+FFFF, the only characters above the controls that are valid UTF-8 and not XML.
func firstNoncharacter(src []byte) int {
	for from := 0; ; {
		at := bytes.Index(src[from:], []byte("\xEF\xBF"))
		if at < 0 {
			return -1
		}
		from += at
		if last := src[from+2]; last >= 0xBE { // valid UTF-8: a third byte is there
			return from
		}
		from += 3
	}
}

// isXMLRune is the production Char of XML 1.0, for characters that come by number.
func isXMLRune(r rune) bool {
	switch {
	case r < ' ':
		return r == '\t' || r == '\n' || r == '\r'
	case r >= 0xD800 && r <= 0xDFFF, r == 0xFFFE, r == 0xFFFF:
		return false
	default:
		return r <= utf8.MaxRune
	}
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\n' || c == '\t' || c == '\r'
}

// The bytes of a name, as bit masks over the lower and the upper half of ASCII.
const (
	lowNameBytes  uint64 = 1<<'-' | 1<<'.' | 0x3FF<<'0'
	highNameBytes uint64 = 0x3FFFFFF<<('A'-64) | 0x3FFFFFF<<('a'-64) | 1<<('_'-64)
)

// isNameByte knows the ASCII letters, digits, period, hyphen and underscore.
func isNameByte(c byte) bool {
	if c < 64 {
		return lowNameBytes>>c&1 != 0
	}
	return c < 128 && highNameBytes>>(c-64)&1 != 0
}

func isNameStart(c byte) bool {
	return isNameByte(c) && c > '9'
}

// isAPIName knows the API names of Salesforce: letters, digits and underscores, a letter first.
func isAPIName(name []byte) bool {
	if len(name) == 0 || !isNameStart(name[0]) || name[0] == '_' {
		return false
	}
	for _, c := range name {
		if !isNameByte(c) || c == '-' || c == '.' {
			return false
		}
	}
	return true
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}
