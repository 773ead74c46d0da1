package salesforce

import (
	"bytes"
	"unicode/utf8"
)

// cursor remembers where something occurs next in the document, so that asking for many short pieces whether they
// contain it costs one fast search over the document in all.
type cursor struct {
	at int // position of the next one, as far as it is known
}

// within says whether one lies in [start, end). Calls come with rising positions.
func (c *cursor) within(start, end int, find func(from int) int) bool {
	if c.at < start {
		c.at = find(start)
	}
	return c.at < end
}

func (s *scanner) nextAmpersand(from int) int {
	return from + lengthTo(s.src[from:], bytes.IndexByte(s.src[from:], '&'))
}

func (s *scanner) nextCarriage(from int) int {
	return from + lengthTo(s.src[from:], bytes.IndexByte(s.src[from:], '\r'))
}

func (s *scanner) nextCDATAClose(from int) int {
	return from + lengthTo(s.src[from:], bytes.Index(s.src[from:], []byte("]]>")))
}

func lengthTo(rest []byte, at int) int {
	if at < 0 {
		return len(rest)
	}
	return at
}

// characters reads text up to the next tag into s.text, with line ends normalised and references replaced.
func (s *scanner) characters() error {
	start := s.pos
	end := start + lengthTo(s.src[start:], bytes.IndexByte(s.src[start:], '<'))
	s.pos = end
	if len(s.open) == 0 {
		if len(trimSpace(s.src[start:end])) > 0 {
			return malformed(start, "text outside of the root element")
		}
		s.text, s.shared = nil, true
		return nil
	}
	if s.cdataClose.within(start, end, s.nextCDATAClose) {
		return malformed(s.cdataClose.at, "]]> in text")
	}
	return s.decode(start, end)
}

// plain says whether the text at [start, end) is its own value, and well-formed.
func (s *scanner) plain(start, end int) bool {
	return !s.ampersand.within(start, end, s.nextAmpersand) &&
		!s.carriage.within(start, end, s.nextCarriage) &&
		!s.cdataClose.within(start, end, s.nextCDATAClose)
}

// decode puts the character data or attribute value at [start, end) into s.text.
func (s *scanner) decode(start, end int) error {
	raw := s.src[start:end]
	switch {
	case s.ampersand.within(start, end, s.nextAmpersand):
		decoded, err := s.appendDecoded(s.decoded[:0], start, end)
		if err != nil {
			return err
		}
		s.decoded = decoded
	case s.carriage.within(start, end, s.nextCarriage):
		s.decoded = appendLines(s.decoded[:0], raw)
	default:
		s.text, s.shared = raw, true
		return nil
	}
	s.text, s.shared = s.decoded, false
	return nil
}

// appendDecoded appends the text at [start, end), which holds references.
func (s *scanner) appendDecoded(dst []byte, start, end int) ([]byte, error) {
	for start < end {
		length := lengthTo(s.src[start:end], bytes.IndexByte(s.src[start:end], '&'))
		dst = appendLines(dst, s.src[start:start+length])
		start += length
		if start == end {
			break
		}
		semicolon := bytes.IndexByte(s.src[start:end], ';')
		if semicolon < 0 {
			return nil, malformed(start, "an ampersand that begins no reference")
		}
		r, ok := reference(s.src[start+1 : start+semicolon])
		if !ok {
			return nil, malformed(start, "an entity other than lt, gt, amp, apos and quot, or no XML character")
		}
		dst = utf8.AppendRune(dst, r)
		start += semicolon + 1
	}
	return dst, nil
}

// reference is the character of what stands between & and ; .
func reference(name []byte) (rune, bool) {
	if len(name) > 1 && name[0] == '#' {
		return numericReference(name[1:])
	}
	switch string(name) {
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "amp":
		return '&', true
	case "apos":
		return '\'', true
	case "quot":
		return '"', true
	default:
		return 0, false
	}
}

func numericReference(digits []byte) (rune, bool) {
	base := rune(10)
	if digits[0] == 'x' {
		base, digits = 16, digits[1:]
	}
	r := rune(0)
	for _, c := range digits {
		digit := rune(99)
		switch {
		case '0' <= c && c <= '9':
			digit = rune(c - '0')
		case 'a' <= c && c <= 'f':
			digit = rune(c-'a') + 10
		case 'A' <= c && c <= 'F':
			digit = rune(c-'A') + 10
		}
		r = r*base + digit
		if digit >= base || r > utf8.MaxRune {
			return 0, false
		}
	}
	return r, len(digits) > 0 && isXMLRune(r)
}

// appendLines appends text with every CR LF and every lone CR as LF (XML 1.0 section 2.11).
func appendLines(dst, text []byte) []byte {
	for {
		at := bytes.IndexByte(text, '\r')
		if at < 0 {
			return append(dst, text...)
		}
		dst = append(append(dst, text[:at]...), '\n')
		text = text[at+1:]
		if len(text) > 0 && text[0] == '\n' {
			text = text[1:]
		}
	}
}
