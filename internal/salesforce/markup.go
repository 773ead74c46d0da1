package salesforce

import "bytes"

// prolog reads what may stand before the root and is no markup of its own: a byte order mark, white space (real captures
// begin with a line feed, though XML forbids it before a declaration), and the XML declaration.
func (s *scanner) prolog() error {
	if bytes.HasPrefix(s.src, []byte(byteOrderMark)) {
		s.pos = len(byteOrderMark)
	}
	s.skipSpace()
	rest := s.src[s.pos:]
	if !bytes.HasPrefix(rest, []byte("<?xml")) || len(rest) < 6 || !isSpace(rest[5]) {
		return nil
	}
	s.begin = s.pos
	s.pos += len("<?xml")
	return s.xmlDeclaration()
}

// xmlDeclaration reads version, encoding and standalone, in this order, the last two optional (XML 1.0 section 2.8).
func (s *scanner) xmlDeclaration() error {
	version, found, err := s.pseudoAttribute("version")
	if err != nil {
		return err
	}
	if !found || (string(version) != "1.0" && string(version) != "1.1") {
		return malformed(s.begin, "the XML declaration has no version 1.0")
	}
	encoding, found, err := s.pseudoAttribute("encoding")
	if err != nil {
		return err
	}
	if found && !s.acceptsEncoding(encoding) {
		return malformed(s.begin, "the declared encoding is not UTF-8")
	}
	standalone, found, err := s.pseudoAttribute("standalone")
	if err != nil {
		return err
	}
	if found && string(standalone) != "yes" && string(standalone) != "no" {
		return malformed(s.begin, "standalone is neither yes nor no")
	}
	s.skipSpace()
	if !bytes.HasPrefix(s.src[s.pos:], []byte("?>")) {
		return malformed(s.begin, "the XML declaration is not well-formed")
	}
	s.pos += 2
	return nil
}

// acceptsEncoding takes UTF-8, and its subset US-ASCII when the document keeps to it.
func (s *scanner) acceptsEncoding(encoding []byte) bool {
	if bytes.EqualFold(encoding, []byte("utf-8")) {
		return true
	}
	if !bytes.EqualFold(encoding, []byte("us-ascii")) {
		return false
	}
	return bytes.IndexFunc(s.src, func(r rune) bool { return r >= 0x80 }) < 0
}

// pseudoAttribute reads one named part of the XML declaration, if it comes next.
func (s *scanner) pseudoAttribute(name string) (value []byte, found bool, err error) {
	back := s.pos
	if !s.skipSpace() || !bytes.HasPrefix(s.src[s.pos:], []byte(name)) {
		s.pos = back
		return nil, false, nil
	}
	s.pos += len(name)
	value, err = s.equalsQuoted()
	if err == nil && !s.shared {
		err = malformed(s.begin, "the XML declaration is not well-formed")
	}
	return value, err == nil, err
}

// comment skips a comment. Two hyphens may only stand at its end (XML 1.0 section 2.5).
func (s *scanner) comment() error {
	inside := s.src[s.pos+len("<!--"):]
	end := bytes.Index(inside, []byte("--"))
	if end < 0 || len(inside) < end+3 || inside[end+2] != '>' {
		return malformed(s.begin, "a comment that does not end, or holds two hyphens")
	}
	s.pos += len("<!--") + end + len("-->")
	return nil
}

// cdata reads a CDATA section as text.
func (s *scanner) cdata() error {
	if len(s.open) == 0 {
		return malformed(s.begin, "text outside of the root element")
	}
	start := s.pos + len("<![CDATA[")
	length := bytes.Index(s.src[start:], []byte("]]>"))
	if length < 0 {
		return malformed(s.begin, "a CDATA section that does not end")
	}
	end := start + length
	s.pos = end + len("]]>")
	s.text, s.shared = s.src[start:end], true
	if s.carriage.within(start, end, s.nextCarriage) {
		s.decoded = appendLines(s.decoded[:0], s.text)
		s.text, s.shared = s.decoded, false
	}
	return nil
}
